"""A file with a function that builds a network, as users write them."""

from __future__ import annotations

from pathlib import Path

SOURCE = """
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed


def mine():
    layers = [
        TimeDistributed(nn.Flatten(), nn.Linear({pixels}, 24)),
        LIF(),
        TimeDistributed(nn.Linear(24, {classes})),
    ]
    return SpikingNetwork(layers, Direct(4))
"""


def written(path: Path, pixels: int = 64, classes: int = 10) -> str:
    """Write the file; returns the name of its function, as --model takes it.

    :param pixels: of a sample, over all channels.
    """
    path.write_text(SOURCE.format(pixels=pixels, classes=classes))
    return f"{path}:mine"
