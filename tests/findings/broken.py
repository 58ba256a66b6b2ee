"""Classifiers that are broken in one way each, around a healthy one of the digits."""

import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from tests.networks import CLASSES


def around(module: nn.Module, **options: object) -> PyTorchClassifier:
    """ART's stock classifier of digits around a module."""
    settings = {"clip_values": (0.0, 1.0), "device_type": "cpu"} | options
    return PyTorchClassifier(module, nn.CrossEntropyLoss(), (1, 8, 8), CLASSES, **settings)


class Broken(nn.Module):
    """What it is broken in is done around another module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Noisy(Broken):
    """Draws noise at every call, as Poisson encoders do."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x + 0.1 * torch.randn_like(x))
        return found


class Softmax(Broken):
    """Gives probabilities."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x).softmax(1)
        return found


class Sharp(Broken):
    """Logits a thousand times as large, as of defensive distillation."""

    def forward(self, x: Tensor) -> Tensor:
        return 1000 * self.inner(x)


class Cut(Broken):
    """Rounds its input, which no gradient passes."""

    def forward(self, x: Tensor) -> Tensor:
        scale = 1 + 0 * next(self.inner.parameters()).sum()
        found: Tensor = self.inner((16 * x).round().detach() / 16) * scale
        return found


class Dead(Broken):
    """Passes the gradient of half of all samples only: where the first value is small."""

    def forward(self, x: Tensor) -> Tensor:
        found = self.inner(x)
        live = (x.mean((1, 2, 3)) < x.mean().detach())[:, None]
        return torch.where(live, found, found.detach() + 0 * x.sum((1, 2, 3))[:, None])


class Rough(Broken):
    """Adds a wave that is finer than any budget."""

    def forward(self, x: Tensor) -> Tensor:
        wave = torch.sin(3000 * x.flatten(1)[:, 20 : 20 + CLASSES])
        return self.inner(x) + 200 * wave


class Stateful(Broken):
    """Goes on from where the last call ended, as neurons do that nobody resets."""

    potential = 0.0

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x + self.potential)
        self.potential = 0.1 * float(x.detach().mean())
        return found


class Centred(Broken):
    """Subtracts what the batch has in common."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x - 0.5 * x.mean(0, keepdim=True))
        return found


class Learning(Broken):
    """Keeps batch norm in training mode, whatever mode it is told."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        self.norm.train()
        found: Tensor = self.inner(x + 0 * self.norm(x))
        return found
