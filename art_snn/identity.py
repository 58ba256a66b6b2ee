"""What distinguishes networks, next to their weights: their form, code and plain values.

The repr of layers of art_snn and torch says all of it. A network of the user has more: what its
functions do, attributes of its modules, and buffers that no checkpoint holds."""

import sys
from collections.abc import Mapping
from functools import partial
from itertools import chain
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.files import digest
from art_snn.network import SpikingNetwork

KNOWN = frozenset({"torch", "art_snn", "numpy", *sys.stdlib_module_names})
"""Packages whose classes are known by their name."""
PLAIN = (bool, int, float, complex, str, bytes, np.generic, torch.dtype, torch.device)
WEIGHTS = ("_parameters", "_buffers", "training")
"""Attributes of modules that are read elsewhere, or change with the mode."""

Seen = dict[int, tuple[int, object]]


def identity(network: SpikingNetwork) -> tuple[Any, ...]:
    """For digests: the form of a network, and code of the user's own that it runs."""
    return (*network.form, *code(network))


def code(network: SpikingNetwork) -> tuple[Any, ...]:
    """The code that is neither art_snn's nor torch's, and where it came from; () where none is."""
    seen: Seen = {}
    parts = (*network.modules(), network.encoder)
    kinds = [kind for kind in dict.fromkeys(map(type, parts)) if _foreign(kind)]
    readout = getattr(network, "readout", None)
    functions = [readout] if callable(readout) else []
    texts = [canonical(part, seen) for part in (*kinds, *functions)]
    return (network.origin, digest(texts)) if texts or network.origin else ()


def attributes(network: SpikingNetwork) -> str:
    """Digest of the plain values of a network once it is built, before any pass."""
    readout = getattr(network, "readout", None)
    return digest(canonical((network.encoder, network.layers, readout), {}))


def canonical(value: object, seen: Seen) -> Any:
    """A value as texts, lists and tuples that are the same in every process."""
    if value is None or isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, FunctionType | type) and not _foreign(value):
        return f"{value.__module__}.{value.__qualname__}"
    if id(value) in seen:
        return f"number {seen[id(value)][0]}"
    seen[id(value)] = len(seen), value
    inner = partial(canonical, seen=seen)
    match value:
        case Tensor() if value.layout == torch.strided and not value.is_meta:
            return str(value.dtype), list(value.shape), digest("", values(value))
        case np.ndarray():
            return str(value.dtype), value.shape, digest("", value)
        case Mapping():
            return [(inner(name), inner(entry)) for name, entry in value.items()]
        case list() | tuple():
            return list(map(inner, value))
        case set() | frozenset():
            return sorted(repr(inner(entry)) for entry in value)
        case FunctionType():
            return _function(value, inner)
        case MethodType():
            return inner(value.__func__)
        case partial():
            return [inner(part) for part in (value.func, value.args, value.keywords)]
        case type():
            return _kind(value, inner)
        case nn.Module():
            return inner(type(value)), _of_module(value, inner)
    if isinstance(value, ModuleType) or not hasattr(value, "__dict__") or not _foreign(type(value)):
        return repr(value)
    return inner(type(value)), inner(vars(value))


def values(tensor: Tensor) -> np.ndarray:
    """All bytes of a tensor of any dtype, in one row."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()  # numpy has no bfloat16.


def _foreign(thing: Any) -> bool:
    """Whether a function, or a class or one that it inherits from, is neither ours nor torch's."""
    return any(map(_strange, thing.__mro__)) if isinstance(thing, type) else _strange(thing)


def _strange(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] not in KNOWN


def _of_module(module: nn.Module, inner: Any) -> Any:
    """Attributes, buffers that are not saved, and modules inside; hooks without their numbers."""
    kept = {name: value for name, value in vars(module).items() if name not in WEIGHTS}
    for name, value in kept.items():
        if name.endswith("_hooks") and isinstance(value, Mapping):
            kept[name] = list(value.values())
    unsaved = module._non_persistent_buffers_set
    buffers = {name: value for name, value in module._buffers.items() if name in unsaved}
    return inner(kept), inner(buffers)


def _kind(kind: type, inner: Any) -> Any:
    """The name of a class, and the functions that it has or inherits."""
    functions = []
    for base in filter(_strange, kind.__mro__):
        for name, value in vars(base).items():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(function, FunctionType):
                functions.append((name, inner(function)))
    return kind.__qualname__, functions


def _function(function: FunctionType, inner: Any) -> Any:
    """What a function does, with its defaults and the values around it."""
    around = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    given = function.__defaults__, function.__kwdefaults__
    used = {name: function.__globals__.get(name) for name in _names(function.__code__)}
    used = {n: v for n, v in used.items() if isinstance(v, (*PLAIN, FunctionType, type))}
    return _done(function.__code__, inner), inner(given), inner(around), inner(used)


def _done(code: CodeType, inner: Any) -> Any:
    consts = [_done(c, inner) if isinstance(c, CodeType) else inner(c) for c in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, consts


def _names(code: CodeType) -> list[str]:
    inside = (_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return [*code.co_names, *chain.from_iterable(inside)]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
