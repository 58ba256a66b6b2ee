"""Small convolutional networks for the digits of scikit-learn, for --model in the study."""

from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed


def network() -> SpikingNetwork:
    """From [N, 1, 8, 8] to [N, 10], T = 4, decay 0.5."""
    return SpikingNetwork(
        [
            TimeDistributed(nn.Conv2d(1, 32, 3, padding=1)),
            LIF(),
            TimeDistributed(nn.Conv2d(32, 32, 3, stride=2, padding=1)),
            LIF(),
            TimeDistributed(nn.Flatten(), nn.Linear(512, 128)),
            LIF(),
            TimeDistributed(nn.Linear(128, 10)),
        ],
        Direct(4),
        input_shape=(1, 8, 8),
    )


def deeper() -> SpikingNetwork:
    """The same with four layers of neurons, and fewer of these."""
    return SpikingNetwork(
        [
            TimeDistributed(nn.Conv2d(1, 16, 3, padding=1)),
            LIF(),
            TimeDistributed(nn.Conv2d(16, 16, 3, stride=2, padding=1)),
            LIF(),
            TimeDistributed(nn.Flatten(), nn.Linear(256, 64)),
            LIF(),
            TimeDistributed(nn.Linear(64, 32)),
            LIF(),
            TimeDistributed(nn.Linear(32, 10)),
        ],
        Direct(4),
        input_shape=(1, 8, 8),
    )
