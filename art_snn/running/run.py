"""The run: what modules ask while a pass goes through them."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkRun:
    """One pass through a network, as the modules of this thread or task see it.

    :param firing: how neurons fire; None outside of a network.
    :param names: the neurons of the network, by module.
    :param plain: True if all modules are torch's or ours, and no hook sees a value. Then
        values may lie in memory with the channels last, and need not all exist.
    :param constant_weights: True if weights are constants to autograd.
    :param shapes_only: True if a pass with constant weights needs the right graph, and no values.
    :param forms: functions of stateless layers with constant weights, where these are known.
    :param in_neuron: True while a rule computes what a neuron fires."""

    firing: Callable[[Any, Tensor], Tensor] | None = None
    names: Mapping[nn.Module, str] = field(default_factory=dict)
    plain: bool = False
    constant_weights: bool = False
    shapes_only: bool = False
    forms: Mapping[nn.Module, Any] | None = None
    in_neuron: bool = False


RUN = ContextVar("run", default=NetworkRun())  # noqa: B039
"""The run of this thread or task. Modules are shared by passes, so they keep nothing."""
