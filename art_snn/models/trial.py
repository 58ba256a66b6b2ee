"""What has to hold of a network of the user's own before anything is done with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from art_snn.checks import ArgumentError, require
from art_snn.network import SpikingNetwork


def check_state(network: SpikingNetwork, model: str) -> None:
    """Refuse state that is no dense tensor, which no checkpoint of ours holds.

    :param model: by which the user named it.
    :raises ValueError: naming the first of it."""
    for name, value in network.state_dict().items():
        kind = _kind(value)
        remedy = "Run lazy layers once in that function, and keep state in dense buffers."
        expected = "a network whose state consists of dense tensors"
        require(kind is None, "model", expected, f"{model}, whose {name} is {kind}", remedy)


def _kind(value: object) -> str | None:
    """What a part of a state is, where it is no dense tensor."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if is_lazy(value):
        return "without a shape so far"
    dense = value.layout == torch.strided and not value.is_quantized and not value.is_meta
    return None if dense else "a sparse, quantized or meta tensor"


@contextmanager
def noted(model: str, argument: str = "model") -> Iterator[None]:
    """Errors of the user's own code say within the block, from Python 3.11 on, whose they are."""
    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:
        note: Any = getattr(error, "add_note", None)
        if callable(note):
            note(f"It was raised by the code of {model}, which --{argument} names.")
        raise
