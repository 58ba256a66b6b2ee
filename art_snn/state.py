"""What a network is at present: its modules, their settings and hooks, and the bits of its weights.

Whatever depends on a network, such as a copy in half precision, is kept with this. Weights may
change without a trace in torch's counts: through `.data`, a numpy view, or a new tensor at an old
one's address. So their values are read, at the speed of memory."""

from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from functools import cache, partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Modules = Iterable[tuple[str, nn.Module]]
Settings = dict[tuple[str, str], Hashable]

DEPTH = 3
"""Levels of objects and containers that are followed inside of a setting."""
LARGE = 2**14
"""Tensors of so many values are compared by products of ROW of them with random numbers."""
ROW = 1024
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
INTERNAL = frozenset(vars(nn.Module())) | {"forward"}
SINGLE = frozenset([int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device])
WHOLE = (FunctionType, MethodType, BuiltinFunctionType, partial, type, nn.Module)
"""Kinds of values that differ exactly when they are different objects."""


def form(modules: Modules) -> Hashable:
    """Types, modes and hooks of modules by name, and forwards that were exchanged on them."""
    return tuple(
        (name, type(module), module.training, hooks_of(module), _forward(module))
        for name, module in modules
    )


def hooks_of(module: nn.Module) -> tuple[int, ...]:
    """The keys of its hooks; torch gives none of them twice."""
    return tuple(key for kind in HOOKS for key in getattr(module, kind))


def _forward(module: nn.Module) -> Hashable:
    exchanged = vars(module).get("forward")
    # A pass of an adapted network puts its own there, in any thread, and keeps the earlier one.
    return getattr(exchanged, "earlier", exchanged)


def settings(modules: Modules, without: Container[tuple[type, str]] = ()) -> Settings:
    """Plain attributes of modules by (module, attribute), as values that can be compared."""
    return {
        (name, attribute): value(vars(module)[attribute])
        for name, module in modules
        for attribute in vars(module).keys() - INTERNAL
        if (type(module), attribute) not in without
    }


def changed(before: Settings, after: Settings) -> list[tuple[str, str]]:
    """Attributes that are new afterwards, or have another value."""
    return [name for name, held in after.items() if before.get(name, ...) != held]


def value(held: Any, depth: int = DEPTH) -> Hashable:
    """What a setting is at present: equal where the setting is, and hashable."""
    kind = type(held)
    if kind in SINGLE or isinstance(held, WHOLE):
        return held  # type: ignore[no-any-return]
    if isinstance(held, Tensor):
        return bits([held])
    if isinstance(held, np.ndarray):
        return held.shape, str(held.dtype), held.tobytes()
    if not depth:
        return str(kind)
    inner = partial(value, depth=depth - 1)
    if isinstance(held, Mapping):
        return kind, tuple((inner(key), inner(one)) for key, one in held.items())
    if isinstance(held, list | tuple):
        return kind, tuple(map(inner, held))
    if hasattr(held, "__dict__"):
        return kind, tuple((name, inner(one)) for name, one in vars(held).items())
    return kind, repr(held)


def counted(tensors: Iterable[Tensor]) -> Hashable:
    """How often tensors were written, as torch counts it, and their addresses."""
    return tuple((0 if t.is_inference() else t._version, t.data_ptr()) for t in tensors)


@torch.no_grad()
def bits(tensors: Iterable[Tensor]) -> Hashable:
    """The values of tensors in a few bytes, which change when a value does.

    In a large tensor changes below 1e-5 of the largest of ROW neighbours are not seen."""
    tensors = [t for t in tensors if t.layout is torch.strided and t.device.type != "meta"]
    products = _finite([_products(tensor) for tensor in tensors])
    parts = [part for pair in zip(tensors, products, strict=True) for part in _parts(*pair)]
    if len({part.device for part in parts}) == 1 and parts[0].is_cuda:
        parts = [torch.cat(parts)]
    forms = tuple((t.shape, t.dtype, t.device) for t in tensors)
    return forms, b"".join(part.cpu().numpy().tobytes() for part in parts)


def _products(tensor: Tensor) -> Tensor | None:
    """Of a large tensor products that change with its values; None of a small one."""
    if tensor.numel() < LARGE or not tensor.is_floating_point():
        return None
    rows, _ = _rows(tensor)
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ _factors(rows.dtype, rows.device)


def _finite(products: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Products that are all finite, and None for others, read at once where they are on a card.

    A row that is not finite hides what else changes in it."""
    flags = [product.isfinite().all() for product in products if product is not None]
    if len({flag.device for flag in flags}) == 1:
        flags = list(torch.stack(flags).cpu())
    whole = iter(map(bool, flags))
    return [None if product is None or not next(whole) else product for product in products]


def _parts(tensor: Tensor, products: Tensor | None) -> Sequence[Tensor]:
    """The products as bytes with what has no place in rows, or without any all values."""
    if products is None:
        return [_bytes(tensor.reshape(-1))]
    return [_bytes(products), _bytes(_rows(tensor)[1])]


def _rows(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The values, in single precision at least, in rows of ROW, and the rest of them."""
    flat = tensor.reshape(-1)
    wide = flat if flat.dtype.itemsize >= 4 else flat.float()
    end = len(wide) // ROW * ROW
    return wide[:end].view(-1, ROW), wide[end:]


def _bytes(flat: Tensor) -> Tensor:
    return (torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat).view(torch.uint8)


@cache
def _factors(dtype: torch.dtype, device: torch.device) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randn(ROW, generator=generator, dtype=dtype, device="cpu").to(device)
