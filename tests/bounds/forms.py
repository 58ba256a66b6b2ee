"""Networks that compute what boxes do not follow: each is refused, or its bounds hold for it."""

import itertools
import random
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from art_snn import SpikingNetwork
from tests.bounds.altered import ALTERATIONS


def _half(x: Tensor) -> Tensor:
    return torch.relu(x) * 0.5


def _compiled(script: bool, share: float = 1.0) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated.
        f = torch.jit.script(_half) if script else torch.jit.trace(_half, torch.rand(3))
    return lambda x: x + share * f(x)


def _untracked(x: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return _half(x)


def _elsewhere(x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool, torch.no_grad():
        return pool.submit(_half, x).result()


def _counting() -> Callable[[Tensor], Tensor]:
    calls = itertools.count()
    return lambda x: x * (1 + next(calls) % 3 / 4)


HIDDEN: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "script": lambda: _compiled(True),
    "trace": lambda: _compiled(False),
    "small script": lambda: _compiled(True, 0.01),
    "as_subclass": lambda: lambda x: x + _half(x.as_subclass(Tensor)),
    "Tensor": lambda: lambda x: x + _half(torch.Tensor(x)).to(x.dtype),
    "_make_subclass": lambda: lambda x: x + _half(Tensor._make_subclass(Tensor, x)),
    "thread": lambda: lambda x: x + _elsewhere(x),
    "DisableTorchFunction": lambda: lambda x: x + _untracked(x),
    "numpy": lambda: lambda x: x + torch.from_numpy(np.abs(x.detach().numpy())),
    "aten": lambda: lambda x: x + torch.ops.aten.relu(x),
}
"""Functions of values [N, ...] that compute outside of what is followed."""
DRAWN: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "dropout": lambda: lambda x: x * functional.dropout(torch.ones(x.shape[1:]), 0.2, True),
    "seldom": lambda: lambda x: x * functional.dropout(torch.ones(()), 1e-3, True),
    "cauchy": lambda: lambda x: x + 0.1 * torch.zeros(x.shape[1:]).cauchy_().clamp(-1, 1),
    "numpy": lambda: lambda x: x + float(np.random.normal()) / 8,  # noqa: NPY002
    "python": lambda: lambda x: x * random.uniform(0.9, 1.1),
    "aten": lambda: lambda x: x + torch.ops.aten.rand(list(x.shape[1:])) / 8,
}
"""Functions that draw at random."""
MIXED: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "less the mean": lambda: lambda x: x - x.mean(0),
    "less some of the mean": lambda: lambda x: x - 0.01 * x.mean(0),
    "by place": lambda: (
        lambda x: x * torch.linspace(0.5, 1.5, len(x), dtype=x.dtype).view(-1, *(1,) * (x.ndim - 1))
    ),
    "by size": lambda: lambda x: x * (1 + 1 / len(x)),
    "by the call": _counting,
}
"""Functions whose values of one sample depend on others, or on earlier calls."""


CALLED: dict[str, Callable[[SpikingNetwork], object]] = {
    **{
        name: lambda network, name=name: ALTERATIONS[name](network, network, ExitStack())
        for name in ("subclass", "pre-hook", "hook", "forward")
    },
    "hook of a layer": lambda n: n.layers[0].register_forward_hook(lambda m, args, y: 2 * y),
    "hook of neurons": lambda n: n.layers[1].register_forward_hook(lambda m, args, y: 2 * y),
    "gradient hook": lambda n: n.layers[2].register_full_backward_hook(lambda m, g, h: None),
}
"""Changes of a network that alter what a call of it computes: it has bounds all the same."""


class Formed(nn.Module):
    """A function of values [T, N, ...], applied to all steps at once or to each."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.function(step) for step in x.unbind(0)])


def insert(network: SpikingNetwork, form: str, place: int) -> SpikingNetwork:
    """The network with a form of these tables after that many of its layers, or changed by it."""
    kind, _, name = form.partition(": ")
    if kind == "called":
        CALLED[name](network)
    else:
        layers = list(network.layers)
        layers.insert(place, Formed(TABLES[kind][name]()))
        network.layers = nn.Sequential(*layers)
    return network.eval()


TABLES = {"hidden": HIDDEN, "drawn": DRAWN, "mixed": MIXED, "called": CALLED}
FORMS = tuple(f"{kind}: {name}" for kind, table in TABLES.items() for name in table)
