"""What runs through a network, counted by somebody else than the attacks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass
class Passes:
    """Samples that went forward and backward."""

    forwards: int = 0
    backwards: int = 0


@contextmanager
def watched(module: nn.Module, axis: int = 0) -> Iterator[Passes]:
    """Counts samples that go through a module in the block.

    :param axis: of the samples: 1 in layers, whose first axis is time."""
    found = Passes()

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
