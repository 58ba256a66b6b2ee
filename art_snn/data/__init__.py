"""Data sets as numpy arrays: images [N, C, H, W] in [0, 1], and event frames [N, T, C, H, W]."""

from __future__ import annotations

from art_snn.data.dataset import Dataset
from art_snn.data.digits import digits
from art_snn.data.events import events
from art_snn.data.folder import from_folder
from art_snn.data.images import images
from art_snn.data.load import NAMES, Source, load
from art_snn.data.npz import from_npz

__all__ = [
    "NAMES",
    "Dataset",
    "Source",
    "digits",
    "events",
    "from_folder",
    "from_npz",
    "images",
    "load",
]
