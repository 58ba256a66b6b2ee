"""A SpikingJelly network in step mode 'm': its own gradient trains it and attacks it, then RGA."""

import sys

import torch
from torch import nn
from under_attack import report

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.interop import adapt

try:
    from spikingjelly.activation_based import functional, layer, neuron
except ImportError as error:
    sys.exit(f"This example needs SpikingJelly: pip install spikingjelly ({error})")


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, loss = digits(), nn.CrossEntropyLoss()
    net = nn.Sequential(
        layer.Conv2d(1, 16, 3, padding=1, bias=False),
        layer.BatchNorm2d(16),
        neuron.LIFNode(tau=2.0),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(256, 64),
        neuron.LIFNode(tau=2.0),
        layer.Linear(64, 10),
    )
    functional.set_step_mode(net, "m")
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    network = adapt(net, steps=8)  # repeats the image, runs net on [T, N, ...], averages over T
    classifier = PyTorchSpikingClassifier(
        network, loss, data.input_shape, data.classes, optimizer, clip_values=(0, 1)
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=2 if small else 10)
    report(classifier, small)


if __name__ == "__main__":
    main(small="--small" in sys.argv)
