"""Whether a measured robustness can be believed: what speaks against it, with the evidence."""

from art_snn.findings.base import Finding as Finding, Subject as Subject
from art_snn.findings.examine import CHECKS as CHECKS, examine as examine
