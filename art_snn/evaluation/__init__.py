"""What an attack achieved, and what a gradient costs."""

from __future__ import annotations

from art_snn.evaluation.metrics import Robustness, Share, paired_difference, robustness

__all__ = ["Robustness", "Share", "paired_difference", "robustness"]
