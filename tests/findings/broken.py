"""Classifiers and attacks that are broken in one way each, around healthy ones of the digits."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from tests.classifiers import DIGITS as CLASSES


def around(module: nn.Module, **options: object) -> PyTorchClassifier:
    """ART's stock classifier of digits around a module."""
    settings = {"clip_values": (0.0, 1.0), "device_type": "cpu"} | options
    return PyTorchClassifier(module, nn.CrossEntropyLoss(), (1, 8, 8), CLASSES, **settings)


class Broken(nn.Module):
    """What it is broken in is done around another module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


def breaking(change: Callable[[nn.Module, Tensor], Tensor]) -> type[Broken]:
    """A module of which only that function of another module and the samples is told."""

    class Changed(Broken):
        def forward(self, x: Tensor) -> Tensor:
            return change(self.inner, x)

    return Changed


Whole = breaking(lambda inner, x: inner(x))
"""Is as it was: ART takes a bare nn.Sequential apart."""
Noisy = breaking(lambda inner, x: inner(x + 0.1 * torch.randn_like(x)))
"""Draws noise at every call, as Poisson encoders do."""
Softmax = breaking(lambda inner, x: inner(x).softmax(1))
"""Gives probabilities."""
Sharp = breaking(lambda inner, x: 1000 * inner(x))
"""Logits a thousand times as large, as of defensive distillation."""
Rough = breaking(
    lambda inner, x: inner(x) + 200 * torch.sin(3000 * x.flatten(1)[:, 20 : 20 + CLASSES])
)
"""Adds a wave that is finer than any budget."""
Infinite = breaking(lambda inner, x: inner(x) + 0 * (0 * x).sum((1, 2, 3)).sqrt()[:, None])
"""Right, by a square root whose slope at 0 has no end."""
Centred = breaking(lambda inner, x: inner(x - 0.5 * x.mean(0, keepdim=True)))
"""Subtracts what the batch has in common."""
Astray = breaking(lambda inner, x: inner(2 * x.detach() - x))
"""Gives the opposite of its gradient."""


@breaking
def Cut(inner: nn.Module, x: Tensor) -> Tensor:
    """Rounds its input, which no gradient passes."""
    return inner((16 * x).round().detach() / 16) * (1 + 0 * next(inner.parameters()).sum())


@breaking
def Dead(inner: nn.Module, x: Tensor) -> Tensor:
    """Passes the gradient of half of all samples only: where the first value is small."""
    logits = inner(x)
    live = (x.mean((1, 2, 3)) < x.mean().detach())[:, None]
    return torch.where(live, logits, logits.detach() + 0 * x.sum((1, 2, 3))[:, None])


@breaking
def Gridded(inner: nn.Module, x: Tensor) -> Tensor:
    """Passes the gradient only of samples that are made of sixteenths, as digits are."""
    whole = (16 * x == (16 * x).round()).flatten(1).all(1).view(-1, 1, 1, 1)
    return inner(torch.where(whole, x, x.detach() + 0 * x))


class Stateful(Broken):
    """Goes on from where the last call ended, as neurons do that nobody resets."""

    potential = 0.0

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x + self.potential)
        self.potential = 0.1 * float(x.detach().mean())
        return logits


class Leaky(Broken):
    """Adds the logits up in a buffer that nobody resets, as large as the last batch."""

    mem: Tensor | None

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.register_buffer("mem", None)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        if self.mem is not None and len(self.mem) == len(x):
            logits = logits + 0.9 * self.mem
        self.mem = logits.detach().bfloat16()
        return logits


class Unanswering(Broken):
    """Has no answer around some samples [n, ...]; or far from them, where it is lost."""

    def __init__(self, inner: nn.Module, samples: Tensor, lost: bool = False) -> None:
        super().__init__(inner)
        self.samples, self.lost = samples.flatten(1), lost

    def forward(self, x: Tensor) -> Tensor:
        # In the maximum norm, to the nearest of them [N, 1].
        far = torch.cdist(x.detach().flatten(1), self.samples, p=torch.inf).amin(1, keepdim=True)
        return torch.where(far >= 0.02 if self.lost else far < 0.2, torch.nan, self.inner(x))


class Learning(Broken):
    """Keeps batch norm in training mode, whatever mode it is told."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        self.norm.train()
        return self.inner(x + 0 * self.norm(x))


def queue(x: Tensor) -> Tensor:
    """With the gradient of one value at a time: the first that is above a quarter."""
    first = nn.functional.one_hot((x > 0.2501).int().argmax(1), x.shape[1])
    return 2 * torch.where(first == 1, x, x.detach()).sum(1) - 58


class Scripted(EvasionAttack):
    """Asks for predictions along a path, and returns something."""

    _estimator_requirements = ()

    def __init__(self, estimator, returned, *path):
        super().__init__(estimator=estimator)
        self.returned, self.path = returned, path

    def generate(self, x: np.ndarray, y: Any = None, **kwargs: Any) -> Any:
        for point in self.path:
            self.estimator.predict(point(x))
        return self.returned(x)


class Altered(EvasionAttack):
    """Another attack, and what is done to the samples and to what that returns."""

    _estimator_requirements = (PyTorchClassifier,)

    def __init__(self, attack, change):
        super().__init__(estimator=attack.estimator)
        self.attack, self.change = attack, change

    def generate(self, x: np.ndarray, y: Any = None, **kwargs: Any) -> np.ndarray:
        return self.change(x, self.attack.generate(x, y))
