"""Data sets as numpy arrays: images [N, C, H, W] in [0, 1], and event frames [N, T, C, H, W]."""

from art_snn.data.dataset import Dataset as Dataset, from_npz as from_npz
from art_snn.data.events import events as events, from_events as from_events
from art_snn.data.images import (
    digits as digits,
    from_folder as from_folder,
    images as images,
)
from art_snn.data.load import NAMES as NAMES, Source as Source
from art_snn.data.raw_events import frames as frames
