"""Whether a measured robustness can be believed: what speaks against it, with the evidence."""

from art_snn.findings.attack import (
    CHECKS_OF_ATTACKS as CHECKS_OF_ATTACKS,
    examine_attack as examine_attack,
)
from art_snn.findings.base import Finding as Finding, Subject as Subject
from art_snn.findings.examine import CHECKS as CHECKS, examine as examine
from art_snn.findings.outcome import (
    CHECKS_OF_OUTCOMES as CHECKS_OF_OUTCOMES,
    examine_outcome as examine_outcome,
)
from art_snn.findings.strength import (
    CHECKS_OF_STRENGTH as CHECKS_OF_STRENGTH,
    examine_strength as examine_strength,
)
