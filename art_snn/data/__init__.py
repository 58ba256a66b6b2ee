"""Data sets as numpy arrays, images in [0, 1] with channels first."""

from __future__ import annotations

from art_snn.data.dataset import Dataset
from art_snn.data.digits import digits
from art_snn.data.npz import from_npz

__all__ = ["Dataset", "digits", "from_npz"]
