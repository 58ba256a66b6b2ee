"""Build your own network: a skip connection, other neurons, Poisson spikes or event frames.

python examples/own_network.py
art-snn compare --model examples/own_network.py:build --epochs 10
"""

import sys

import torch
from torch import Tensor, nn

from art_snn import IF, LIF, Poisson, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed
from art_snn.data import digits


class Residual(nn.Module):
    """conv - bn - neuron - conv - bn, plus the input, then a neuron; all on [T, N, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            TimeDistributed(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)),
            LIF(decay=0.9, threshold=0.5, reset="soft"),
            TimeDistributed(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)),
        )
        self.neuron = IF()

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(x + self.body(x))


def build() -> SpikingNetwork:
    """The network, for digits of 1x8x8."""
    return SpikingNetwork(
        [
            TimeDistributed(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)),
            LIF(decay=0.5),
            Residual(16),
            TimeDistributed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10)),
        ],
        encoder=Poisson(steps=8),  # Direct(8) repeats the image, Frames() takes [N, T, C, H, W]
        input_shape=(1, 8, 8),
    )


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, network = digits(), build()
    classifier = PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=data.input_shape,
        nb_classes=data.classes,
        optimizer=torch.optim.Adam(network.parameters(), lr=3e-3),
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=1 if small else 10)
    accuracy = (classifier.predict(data.x_test).argmax(1) == data.y_test).mean()
    gradient = classifier.loss_gradient(data.x_test[:8], data.y_test[:8])
    print(f"accuracy {accuracy:.3f}, gradient {gradient.shape}, {network.execution}")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
