"""How robust a classifier is under an attack, with intervals, in the literature's own words."""

from art_snn.metrics.robust import (
    Robustness as Robustness,
    against as against,
    paired_difference as paired_difference,
    robustness as robustness,
    union as union,
)
from art_snn.metrics.shares import CONFIDENCE as CONFIDENCE, Share as Share
