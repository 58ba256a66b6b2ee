"""Robustness under an attack, with intervals, and by a certificate; and synaptic operations."""

from art_snn.metrics.certificate import Certificate as Certificate, certify as certify
from art_snn.metrics.energy import synaptic_operations as synaptic_operations
from art_snn.metrics.robust import (
    CONFIDENCE as CONFIDENCE,
    SIGNIFICANT as SIGNIFICANT,
    Robustness as Robustness,
    Share as Share,
    describe_difference as describe_difference,
    format_p as format_p,
    paired_difference as paired_difference,
    robustness as robustness,
    union as union,
)
