"""Outcomes of attacks written by hand."""

from collections.abc import Collection

import numpy as np

from art_snn.metrics import Robustness


def outcome(flips: int | Collection[int], samples: int = 10, wrong: int = 2) -> Robustness:
    """The first `wrong` samples misclassified from the start; flipped are those of the numbers, or
    so many behind the wrong ones."""
    flipped = range(wrong, wrong + flips) if isinstance(flips, int) else flips
    place = np.arange(samples)
    return Robustness(place >= wrong, ~np.isin(place, list(flipped)) & (place >= wrong))
