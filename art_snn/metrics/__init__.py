"""How robust a classifier is: under an attack, with intervals, and by a certificate."""

from art_snn.metrics.certificate import Certificate as Certificate, l1_radius as l1_radius
from art_snn.metrics.robust import (
    SIGNIFICANT as SIGNIFICANT,
    Robustness as Robustness,
    against as against,
    p_words as p_words,
    paired_difference as paired_difference,
    robustness as robustness,
    union as union,
)
from art_snn.metrics.shares import CONFIDENCE as CONFIDENCE, Share as Share
from art_snn.metrics.smoothing import certify as certify
