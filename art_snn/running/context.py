"""State that belongs to one pass and not to the modules that passes share.

Every thread and every asynchronous task has its own values (:class:`PerContext`), sees only its own
calls of a module (:func:`hook_here`), and relies on a mode of the modules (:func:`keep_modes`)."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor
from torch.nn import Module

_Value = TypeVar("_Value")


@contextmanager
def set_in_block(variable: ContextVar[_Value], value: _Value) -> Iterator[None]:
    """Give a variable another value within the block."""
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        variable.set(before)


class PerContext(Generic[_Value]):
    """An attribute with a value of its own in every context, as :mod:`contextvars` has it.

    A new thread starts with the default, an asyncio task with the values of the code that
    starts it. Values are dropped with the object that they belong to.

    :param default: a value that nobody changes."""

    def __init__(self, default: _Value) -> None:
        self.default = default
        self.values: ContextVar[WeakKeyDictionary[Any, _Value]]
        self.values = ContextVar("values", default=WeakKeyDictionary())  # noqa: B039

    def __get__(self, instance: object, owner: type) -> _Value:
        if instance is None:  # On the class, where documentation looks.
            return self  # type: ignore[return-value]  # No instance has the attribute here.
        return self.values.get().get(instance, self.default)

    def __set__(self, instance: object, value: _Value) -> None:
        # A new mapping, since contexts that were copied from this one share the old one.
        values = WeakKeyDictionary(self.values.get())
        values[instance] = value
        self.values.set(values)


_KEEPING = ContextVar("keeping", default=False)
_MODES_LOCK = threading.Lock()
_MODES: WeakKeyDictionary[Module, tuple[int, bool]] = WeakKeyDictionary()
"""The number of threads that rely on the mode of a module, and its mode before them."""


@contextmanager
def keep_modes(network: Module, mode: bool | None = None) -> Iterator[None]:
    """Set a mode within the block (None: none), and put that of every module back after it."""
    modules, nested = list(network.modules()), _KEEPING.get()
    with _MODES_LOCK:
        if not _MODES and mode is not None and all(m.training == mode for m in modules):
            modules = []  # Nothing to set, and nothing to put back.
        modes = {module: module.training for module in modules}
        for module in () if nested else modules:
            users, first = _MODES.get(module, (0, module.training))
            _MODES[module] = users + 1, first
    try:
        with set_in_block(_KEEPING, nested or bool(modules)):
            if mode is not None and modules:
                network.train(mode)
            yield
    finally:
        with _MODES_LOCK:
            for module in modules:
                users, first = (1, modes[module]) if nested else _MODES.pop(module)
                if users == 1:
                    module.training = first
                else:
                    _MODES[module] = users - 1, first


WATCHED: ContextVar[tuple[object, ...]] = ContextVar("watched", default=())
"""The hooks of :func:`hook_here` that see calls at present."""


@contextmanager
def hook_here(module: Module, hook: Callable[[Any, Any, Any], None]) -> Iterator[None]:
    """A forward hook within the block, for the calls that this thread or task makes."""

    def call_here(*call: Any) -> None:
        if handle in WATCHED.get():
            hook(*call)

    handle = module.register_forward_hook(call_here)
    with handle, set_in_block(WATCHED, (*WATCHED.get(), handle)):
        yield


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
    :param in_neuron: True while a rule computes what a neuron fires.
    :param averaged: of how many time steps the only one is the mean; 0 outside of such a pass,
        and -1 where the first axis holds no time steps.
    :param samples: the number of samples in a pass of bounds.
    :param slopes: those of the recording whose gradient a shared graph computes."""

    firing: Callable[[Any, Tensor], Tensor] | None = None
    names: Mapping[Module, str] = field(default_factory=dict)
    plain: bool = False
    constant_weights: bool = False
    shapes_only: bool = False
    forms: Mapping[Module, Any] | None = None
    in_neuron: bool = False
    averaged: int = 0
    samples: int = 0
    slopes: Sequence[Tensor] = ()


RUN = ContextVar("run", default=NetworkRun())  # noqa: B039
"""The run of this thread or task. Modules are shared by passes, so they keep nothing."""


def change_run(**fields: Any) -> AbstractContextManager[None]:
    """A block in which the run of this thread or task has other values in some fields."""
    return set_in_block(RUN, replace(RUN.get(), **fields))
