"""What holds for one forward pass and not for the modules, which several may share.

How neurons fire, which hooks are called, and in which mode modules are: each for the thread or
task that runs the pass."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from art_snn.context import within
from art_snn.gradients.base import Firing
from art_snn.neurons import PASS, Neuron, Pass

_KEEPING: ContextVar[bool] = ContextVar("keeping", default=False)
_MODES_LOCK = threading.Lock()
_MODES: WeakKeyDictionary[nn.Module, tuple[int, bool]] = WeakKeyDictionary()
"""How many threads rely on the mode of a module at present, and which mode it had before."""


@contextmanager
def modes_kept(network: nn.Module, mode: bool | None = None) -> Iterator[None]:
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
        with within(_KEEPING, nested or bool(modules)):
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


@contextmanager
def attached(network: nn.Module, firing: Firing, plain: bool = False) -> Iterator[None]:
    """Let every neuron of the network fire by `firing`, under its own name, within the block.

    :param plain: as in :class:`~art_snn.neurons.Pass`."""
    names = {module: name for name, module in network.named_modules() if isinstance(module, Neuron)}
    with within(PASS, Pass(firing, names, plain)):
        yield


_WATCHED: ContextVar[tuple[object, ...]] = ContextVar("watched", default=())


@contextmanager
def watched(module: nn.Module, hook: Callable[[Any, Any, Any], None]) -> Iterator[None]:
    """A forward hook within the block, for the calls that this thread or task makes."""

    def hook_here(*call: Any) -> None:
        if handle in _WATCHED.get():
            hook(*call)

    handle = module.register_forward_hook(hook_here)
    with handle, within(_WATCHED, (*_WATCHED.get(), handle)):
        yield


def unwatched() -> AbstractContextManager[None]:
    """Within the block :func:`watched` sees no calls."""
    return within(_WATCHED, ())
