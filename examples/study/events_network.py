"""A small convolutional network for the frames of an event camera, for --model in the study."""

from torch import nn

from art_snn import LIF, Frames, SpikingNetwork, TimeDistributed


def network() -> SpikingNetwork:
    """From [N, 10, 2, 34, 34] to [N, 10], decay 0.5."""
    return SpikingNetwork(
        [
            TimeDistributed(nn.Conv2d(2, 16, 3, stride=2, padding=1)),
            LIF(),
            TimeDistributed(nn.Conv2d(16, 16, 3, stride=2, padding=1)),
            LIF(),
            TimeDistributed(nn.Flatten(), nn.Linear(16 * 9 * 9, 64)),
            LIF(),
            TimeDistributed(nn.Linear(64, 10)),
        ],
        Frames(10),
        input_shape=(10, 2, 34, 34),
    )
