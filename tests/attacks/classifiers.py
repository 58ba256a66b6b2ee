"""Classifiers of few weights for the tests of attacks, of which everything is known by hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from art_snn import PyTorchSpikingClassifier
from art_snn.attacks.queries import Queries, margin
from art_snn.progress import Progress
from tests.classifiers import FORMS, Tally, build
from tests.seeds import varied


def linear(weights: Any, bias: Any = None, **options: Any) -> PyTorchClassifier:
    """ART's stock classifier: logits = weights [K, *shape] x + bias [K]."""
    table = torch.as_tensor(np.asarray(weights, dtype=np.float64))
    layer = nn.Linear(table[0].numel(), len(table)).double()
    with torch.no_grad():
        layer.weight.copy_(table.flatten(1))
        layer.bias.copy_(torch.zeros(len(table)) if bias is None else torch.as_tensor(bias))
    module = nn.Sequential(nn.Flatten(), layer)
    return stock(module, tuple(table.shape[1:]), len(table), **options)


def smooth(seed: int = 0) -> tuple[PyTorchClassifier, nn.Module, Tensor]:
    """A classifier that is not linear and that no attack breaks, so that runs go to their ends.

    With its module, and three samples [3, 4], all of class 0."""
    generator = torch.Generator().manual_seed(varied(seed))
    module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
        # One class is far ahead everywhere.
        module[2].bias[0] += 100
    x = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    return stock(module, (4,), 3), module, x


def stock(module, shape, classes, **options):
    """ART's stock classifier around a module, in double precision; its `model` counts samples."""
    options = {"clip_values": (0.0, 1.0), "device_type": "cpu"} | options
    return PyTorchClassifier(_Whole(module), nn.CrossEntropyLoss(), shape, classes, **options)


def around(network, shape, classes=4, clip_values=(0.0, 1.0), **options):
    """A classifier around a spiking network."""
    options |= {"clip_values": clip_values, "device_type": "cpu"}
    return PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), shape, classes, **options)


def project(z, x, norm, eps):
    """The nearest point to z within eps of a sample x, and within 0 to 1."""
    delta = z - x
    if norm == np.inf:
        delta = delta.clamp(-eps, eps)
    else:
        delta = delta * min(1, eps / max(float(delta.norm()), 1e-12))
    return (x + delta).clamp(0, 1)


def by_margin(layers, known, form="grey", gradient=None):
    """A classifier, and samples that it classifies rightly, the least clear first."""
    classifier = build(layers, form, gradient)
    x, y = FORMS[form].present(known[0]), torch.as_tensor(known[1])
    ahead = -margin(torch.as_tensor(classifier.predict(x)), y)
    rows = ahead.argsort()[(ahead <= 0).sum() :].numpy()
    return classifier, x[rows], known[1][rows]


def silent_queries(estimator, samples, batch_size):
    """Queries about that many samples, which show no progress."""
    return Queries(estimator, samples, batch_size, Progress("", samples, verbose=False))


class Ahead(nn.Module):
    """Two classes, the first of which is ahead by a function of the samples."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        ahead = self.function(x)
        return torch.stack((ahead, torch.zeros_like(ahead)), 1)


class _Whole(nn.Module):
    """ART takes a bare nn.Sequential apart; this counts samples, and the most of a pass."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.rows, self.largest = module, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        self.largest = max(self.largest, len(x))
        found: Tensor = self.module(x.double())
        return found


class Stops:
    """Calls what it stands for, but for the n-th time."""

    def __init__(self, call: Any, at: int | None, error: Any = KeyboardInterrupt) -> None:
        self.call, self.at, self.error, self.times = call, at, error, 0

    def __call__(self, *given: Any, **options: Any) -> Any:
        self.times += 1
        if self.times == self.at:
            raise self.error("injected by the test")
        return self.call(*given, **options)


@contextmanager
def watched(module: nn.Module, axis: int = 0) -> Iterator[Tally]:
    """Counts samples that go through a module in the block.

    :param axis: of the samples: 1 in layers, whose first axis is time."""
    found = Tally()

    def count(_: nn.Module, __: Any, output: Tensor) -> None:
        samples = output.shape[axis]
        found.forwards += samples

        def backward(_: Tensor) -> None:
            found.backwards += samples

        if output.requires_grad:
            output.register_hook(backward)

    handle = module.register_forward_hook(count)
    try:
        yield found
    finally:
        handle.remove()
