"""Loops over time steps compiled by torch, on the devices that ``ART_SNN_FUSED`` names.

In an eager loop over [T, N, ...] every operation is a launch of its own, which reads and writes
global memory. torch.compile makes one kernel of all steps. No card has shown a gain yet, so eager
loops are the default: ``ART_SNN_FUSED=cuda`` asks for compiled ones.

A compiled loop is trusted only if it gives, at its first call, what the eager loop gives: bit for
bit, or to rounding where allowed. If not, the eager loop runs, and a warning says why."""

import os
import threading
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import require, truncate

_SWITCH = "ART_SNN_FUSED"
"""Environment variable: the types of device on which loops are compiled, "none" if not set."""
_LONGEST = 32
"""Time steps of the longest loop that is compiled, since all steps become one kernel."""
_ROUNDING = 64
"""Units in the last place of the largest result by which a loop that rounds may differ."""

_Loop = Callable[..., None]
_Rows = Sequence[Any]
"""Tensors [T, N, ...], or None for one that is not asked for."""
_lock = threading.RLock()
_compiled: dict[Hashable, _Loop | None] = {}
"""Loops that have been compiled; None for one that runs eagerly after all."""


def is_asked() -> bool:
    """True if the environment says where loops are compiled."""
    return _SWITCH in os.environ


def run(
    loop: _Loop, key: Hashable, given: _Rows, *results: Tensor | None, rounds: bool = False
) -> None:
    """Run ``loop(*given, *results)``, compiled where that is asked for and gives the same.

    :param loop: writes to all results and to nothing else.
    :param key: equal for loops that differ in their tensors only.
    :param given: tensors [T, N, ...]; may be views that repeat one step.
    :param results: buffers [T, N, ...], or None for one that is not asked for.
    :param rounds: accept results that differ from the eager loop by rounding."""
    buffers = [result for result in results if result is not None]
    if not _is_possible([*given, *buffers]):
        return loop(*given, *results)
    shown = [result is not None for result in results]
    key = key, len(given[0]), given[0].dtype, given[0].device, *shown
    # Other threads wait for the one that compiles.
    with _lock:
        if key not in _compiled:
            loop(*given, *results)
            _compiled[key], reason = _compile(loop, given, results, rounds)
            if reason:
                warnings.warn(f"{_SWITCH}: a loop runs eagerly, since {reason}", stacklevel=2)
            return None
    return (_compiled[key] or loop)(*given, *results)


def _compile(
    loop: _Loop, given: _Rows, results: _Rows, rounds: bool
) -> tuple[_Loop | None, str | None]:
    """The compiled loop if it gives these results of the eager one; otherwise why it does not."""
    copies: _Rows = [None if result is None else torch.empty_like(result) for result in results]
    try:
        with warnings.catch_warnings():
            # Parts of torch that it loads here warn of each other.
            warnings.simplefilter("ignore", DeprecationWarning)
            function = torch.compile(loop, fullgraph=True, dynamic=True)
            function(*given, *copies)
    except Exception as error:
        return None, truncate(f"it could not be compiled: {type(error).__name__}: {error}", 400)
    for result, copy in zip(results, copies, strict=True):
        if result is None:
            continue
        unit = torch.finfo(result.dtype).eps * result.abs().amax().item() if rounds else 0.0
        if not torch.allclose(copy, result, rtol=0, atol=_ROUNDING * unit, equal_nan=True):
            return None, "compiled it differs from the eager loop"
    return function, None


def _devices() -> frozenset[str]:
    """Types of device on which loops are compiled; ValueError for another ART_SNN_FUSED."""
    words = os.environ.get(_SWITCH, "none").strip().lower()
    types = frozenset(words.split(",")) - {"none"}
    expected = "'none', 'cuda', 'cpu' or 'cuda,cpu'"
    require(types <= {"cuda", "cpu"}, _SWITCH, expected, repr(words), "Unset it.")
    return types


def _is_possible(tensors: Sequence[Tensor]) -> bool:
    """True if compiled code can take these tensors, in the present state of torch."""
    first = tensors[0]
    return (
        first.device.type in _devices()
        and 1 <= len(first) <= _LONGEST
        and first.numel() > 0
        and all(type(x) is Tensor and x.shape == first.shape for x in tensors)
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )
