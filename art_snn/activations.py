"""What the layers of a network take and put out in a pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from art_snn.gradients import Site
from art_snn.passes import watched

Call = tuple[Any, Any]
"""What a layer took, and what it returned."""


@dataclass(frozen=True)
class NeuronLayer:
    """A layer of neurons, by its name in `network.layer_names`.

    :param layout: what its calls take: "steps" [T, N, ...], "step" one of them [N, ...], ...
    :param site: its dynamics, with the name that complaints use."""

    name: str
    module: nn.Module
    layout: str
    site: Site


@contextmanager
def calls_of(module: nn.Module) -> Iterator[list[Call]]:
    """The calls of a layer that this thread or task makes within the block."""
    calls: list[Call] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.append((inputs[0] if inputs else None, output))

    with watched(module, keep):
        yield calls
