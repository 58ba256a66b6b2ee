"""The present state of a network: its modules, their settings and hooks, its weights.

Whatever depends on a network, such as the moments of ASSG, is kept with this. Weights may
change without a trace in torch's counts: through `.data`, a numpy view, or a new tensor
at an old one's address. So their values are read, at the speed of memory."""

from collections.abc import Container, Hashable, Iterable, Mapping
from functools import cache, partial
from types import BuiltinFunctionType, FunctionType, MethodType, NoneType
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import Module

Modules = Iterable[tuple[str, Module]]
Settings = dict[tuple[str, str], Hashable]

_DEPTH = 3
"""Levels of objects and containers that are followed inside of a setting."""
_ROW = 1024
"""Values of a large tensor that one product with random numbers stands for."""
_LARGE = 16 * _ROW
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_INTERNAL = {*vars(Module()), "forward"}
_WHOLE = (
    *(int, float, str, bytes, complex, NoneType, torch.dtype, torch.device),
    *(FunctionType, MethodType, BuiltinFunctionType, partial, type, Module),
)
"""Kinds of values that can be compared as they are; those of the second row as objects."""


def hooks_of(module: Module) -> tuple[int, ...]:
    """The keys of its hooks; torch gives none of them twice."""
    return tuple(key for kind in HOOKS for key in getattr(module, kind))


def structure(modules: Modules) -> Hashable:
    """Types, modes and hooks of modules by name, and forwards that were exchanged on them."""
    return tuple(
        (
            name,
            type(module),
            module.training,
            hooks_of(module),
            find_exchanged_forward(module),
        )
        for name, module in modules
    )


def find_exchanged_forward(module: Module) -> Any:
    """The forward that somebody put on this module in place of its class's, or None."""
    forward = vars(module).get("forward")
    # A pass of an adapted network puts its own there, in any thread, and keeps the earlier.
    return getattr(forward, "earlier", forward)


def settings(modules: Modules, without: Container[tuple[type, str]] = ()) -> Settings:
    """Plain attributes of modules by (module, attribute), as values that can be compared."""
    # In copies of the attributes, since other threads may add to them.
    return {
        (name, attribute): comparable(held)
        for name, module in modules
        for attribute, held in dict(vars(module)).items()
        if attribute not in _INTERNAL and (type(module), attribute) not in without
    }


def comparable(held: Any, depth: int = _DEPTH) -> Hashable:
    """A hashable value of a setting at present, equal where the setting is."""
    kind = type(held)
    if isinstance(held, _WHOLE):
        return held
    if isinstance(held, Tensor):
        return digest_tensors([held])
    if isinstance(held, ndarray):
        return held.shape, str(held.dtype), held.tobytes()
    if not depth:
        return str(kind)
    inner = partial(comparable, depth=depth - 1)
    if isinstance(held, list | tuple):
        return kind, tuple(map(inner, held))
    parts = held if isinstance(held, Mapping) else getattr(held, "__dict__", None)
    if parts is None:
        return kind, repr(held)
    return kind, tuple((inner(key), inner(one)) for key, one in parts.items())


def count_writes(tensors: Iterable[Tensor]) -> Hashable:
    """How often tensors were written, as torch counts it, and their addresses."""
    return tuple((0 if t.is_inference() else t._version, t.data_ptr()) for t in tensors)


@torch.no_grad()
def digest_tensors(tensors: Iterable[Tensor]) -> Hashable:
    """The values of tensors in a few bytes, which change when a value does.

    In a large tensor changes below 1e-5 of the largest of _ROW neighbours are not seen."""
    tensors = [
        t for t in tensors if t.layout is torch.strided and t.device.type != "meta"
    ]
    forms = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)

    return forms, b"".join(_bytes(tensor.reshape(-1)) for tensor in tensors)


def _bytes(flat: Tensor) -> bytes:
    """All values of a vector, or of a large one its products with random numbers."""
    if len(flat) >= _LARGE and flat.is_floating_point():
        wide = flat if flat.dtype.itemsize >= 4 else flat.float()
        end = len(wide) // _ROW * _ROW
        with torch.autocast(wide.device.type, enabled=False):
            products = wide[:end].view(-1, _ROW) @ _factors(wide.dtype, wide.device)
        # A row that is not finite hides what else changes in it.
        flat = torch.cat([products, wide[end:]]) if products.isfinite().all() else flat
    flat = (
        torch.view_as_real(flat.resolve_conj()).reshape(-1) if flat.is_complex() else flat
    )
    # An expanded tensor keeps its stride of 0 as a vector.
    return flat.contiguous().view(torch.uint8).cpu().numpy().tobytes()


@cache
def _factors(dtype: torch.dtype, device: torch.device) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(_ROW, generator=generator, dtype=dtype, device="cpu").to(device)
