"""A sinabs network of IAFSqueeze layers: its own gradient trains it and attacks it, then RGA."""

import sys

import torch
from torch import Tensor, nn
from under_attack import report

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.interop import adapt

try:
    from sinabs.activation import SingleSpike
    from sinabs.layers import IAFSqueeze
except ImportError as error:
    sys.exit(f"This example needs sinabs: pip install sinabs ({error})")

STEPS = 8


class Repeated(nn.Sequential):
    """Layers on [N * T, ...], as squeezing ones take it, for an image [N, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.repeat_interleave(STEPS, 0)).unflatten(0, (-1, STEPS)).mean(1)


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, loss = digits(), nn.CrossEntropyLoss()
    net = Repeated(
        nn.Conv2d(1, 16, 3, padding=1),
        IAFSqueeze(num_timesteps=STEPS, spike_fn=SingleSpike),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 64),
        IAFSqueeze(num_timesteps=STEPS, spike_fn=SingleSpike),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    network = adapt(net, encoder=None)  # net makes its time steps itself
    classifier = PyTorchSpikingClassifier(
        network, loss, data.input_shape, data.classes, optimizer, clip_values=(0, 1)
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=1 if small else 10)
    report(classifier, small)


if __name__ == "__main__":
    main(small="--small" in sys.argv)
