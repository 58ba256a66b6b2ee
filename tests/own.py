"""Networks of a user's own, written into a file as the command line takes them."""

from math import prod

SOURCE = """
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed


def build():
    layers = [
        TimeDistributed(nn.Flatten(), nn.Linear({inputs}, 8)),
        LIF(decay={decay}),
        TimeDistributed(nn.Linear(8, {classes})),
    ]
    return SpikingNetwork(layers, Direct(3), input_shape={shape})


def needy(width):
    return build()


def number():
    return 3


words = "no function"
"""


def own(folder, shape=(1, 4, 4), classes=2, decay=0.5):
    """The name of a function that builds a network of that input and so many classes."""
    file = folder / "mine.py"
    inputs = prod(shape)
    file.write_text(SOURCE.format(inputs=inputs, decay=decay, classes=classes, shape=shape))
    return f"{file}:build"
