"""What must hold for a network of the user's own before anything is done with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from art_snn.checks import ArgumentError, first_line, invalid, require
from art_snn.network import SpikingNetwork


def check_state(network: SpikingNetwork, model: str) -> None:
    """Refuse state that is no dense tensor, which no checkpoint of ours holds."""
    remedy = "Run lazy layers once in that function, and keep state in dense buffers."
    expected = "a network whose state consists of dense tensors"
    for name, value in network.state_dict().items():
        reason = _objection(value)
        require(reason is None, "model", expected, f"{model}, whose {name} is {reason}", remedy)


def _objection(value: object) -> str | None:
    """What a value of a state is instead of a dense tensor, or None."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if is_lazy(value):
        return "without a shape so far"
    dense = value.layout == torch.strided and not value.is_quantized and not value.is_meta
    return None if dense else "a sparse, quantized or meta tensor"


@contextmanager
def samples_fit(argument: str, expected: str, got: str, remedy: str) -> Iterator[None]:
    """A block in which errors of a network that its samples do not fit become a complaint."""
    try:
        yield
    except ArgumentError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise invalid(argument, expected, f"{got} ({first_line(error)})", remedy) from error


@contextmanager
def noted(model: str, argument: str = "model") -> Iterator[None]:
    """A block in which errors name the user's own code as their source, from Python 3.11 on."""
    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:
        note: Any = getattr(error, "add_note", None)
        if callable(note):
            note(f"It was raised by the code of {model}, which --{argument} names.")
        raise
