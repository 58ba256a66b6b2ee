"""A sinabs network of IAFSqueeze layers: trained and attacked by its own gradient and by RGA."""

import sys

import torch
from art.attacks.evasion import ProjectedGradientDescent
from sinabs.activation import SingleSpike
from sinabs.layers import IAFSqueeze
from torch import Tensor, nn

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.interop import adapt

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
    x, y = (part[: 16 if small else None] for part in (data.x_test, data.y_test))
    print(f"clean accuracy {(classifier.predict(x).argmax(1) == y).mean():.3f}")
    for gradient in ("native", "rga"):
        classifier.set_params(gradient=gradient)
        attack = ProjectedGradientDescent(classifier, eps=0.15, eps_step=0.04, max_iter=10)
        accuracy = (classifier.predict(attack.generate(x, y)).argmax(1) == y).mean()
        print(f"under PGD by {gradient}: {accuracy:.3f}")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
