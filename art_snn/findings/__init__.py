"""Reasons to doubt a measured robustness, with the evidence and what to do."""

from art_snn.findings.attack import (
    examine_attack as examine_attack,
    examine_outcome as examine_outcome,
)
from art_snn.findings.examination import examine as examine
from art_snn.findings.finding import (
    OTHER_RULES as OTHER_RULES,
    Finding as Finding,
    Remedy as Remedy,
    Subject as Subject,
)
from art_snn.findings.strength import (
    change_randomly as change_randomly,
    examine_strength as examine_strength,
)
