"""Passes that are differentiated by their input alone: weights are constants, and cost nothing.

An attack reads the gradient at its input and throws away those at the weights. Autograd keeps, for
the weights' sake or because its formulas are shared, the input of every convolution and pooling;
where weights are constants neither needs it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from art_snn.gradients.base import Firing, Site


Pair = tuple[int, int]


class FixedWeights(TorchFunctionMode):
    """Within the block, and in the present thread, parameters are constants to autograd.

    Whatever is computed of them, by any module and in whichever way, has no gradient at them.
    Results are those of the same operations."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if (len(args) == 1 and type(args[0]) is Tensor) or _writes(func):
            return func(*args, **kwargs)
        args = tuple(map(_constant, args))
        kwargs = {name: _constant(value) for name, value in kwargs.items()}
        light = LIGHT.get(func)
        answer = NotImplemented if light is None else light(*args, **kwargs)
        return func(*args, **kwargs) if answer is NotImplemented else answer


def weights_fixed(fixed: bool) -> AbstractContextManager[object]:
    """A block in which weights are constants, if asked for and a graph is made at all."""
    return FixedWeights() if fixed and torch.is_grad_enabled() else nullcontext()


def unhandled(firing: Firing) -> Firing:
    """The same firing, whose operations do not go through :class:`FixedWeights` one by one."""

    def fire(site: Site, current: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():
            return firing(site, current)

    return fire


def _writes(func: Any) -> bool:
    """Whether the function is about a tensor as an object, of which a constant is another."""
    return getattr(func, "__name__", "") in ("__set__", "requires_grad_", "__delete__")


def _constant(value: Any) -> Any:
    if issubclass(type(value), nn.Parameter):
        return value.detach() if value.requires_grad and not is_lazy(value) else value
    if type(value) in (list, tuple):
        return type(value)(map(_constant, value))
    return value


def _wanted(x: Any, *weights: Any) -> bool:
    """Whether a gradient will pass to x and to none of the weights."""
    return (
        type(x) is Tensor
        and x.requires_grad
        and not torch.is_autocast_enabled(x.device.type)
        and not any(isinstance(w, Tensor) and w.requires_grad for w in weights)
    )


def _pair(value: Any) -> Pair:
    pair = (value,) if isinstance(value, int) else tuple(value)
    return pair * 2 if len(pair) == 1 else pair


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if not _wanted(input, weight, bias) or isinstance(padding, str) or input.ndim != 4:
        return NotImplemented
    sizes = (_pair(stride), _pair(padding), _pair(dilation), groups)
    return _Convolution.apply(input, weight, bias, *sizes)  # type: ignore[no-untyped-call]


class _Convolution(torch.autograd.Function):
    """A convolution that keeps its weight alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.sizes = x.shape, sizes
        return torch.conv2d(x, weight, bias, *sizes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.sizes
        # Rows and columns at the end that the stride left out.
        rest = [
            ctx.shape[2 + i]
            - (grad.shape[2 + i] - 1) * stride[i]
            + 2 * padding[i]
            - dilation[i] * (weight.shape[2 + i] - 1)
            - 1
            for i in (0, 1)
        ]
        back = torch.conv_transpose2d(grad, weight, None, stride, padding, rest, groups, dilation)
        return back, *[None] * (2 + len(ctx.sizes))


def _average(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    if not _wanted(input):
        return NotImplemented
    stride = kernel_size if stride is None else stride
    sizes = (_pair(kernel_size), _pair(stride), _pair(padding))
    told = (*sizes, ceil_mode, count_include_pad, divisor_override)
    return _Average.apply(input, *told)  # type: ignore[no-untyped-call]


class _Average(torch.autograd.Function):
    """An average pooling that keeps the shape of its input alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *sizes: Any) -> Tensor:
        ctx.shape, ctx.sizes = x.shape, sizes
        return functional.avg_pool2d(x, *sizes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        nones = [None] * len(ctx.sizes)
        if _tiles(ctx.shape, *ctx.sizes[:3]):
            (height, width), divisor = ctx.sizes[0], ctx.sizes[-1]
            share = grad / (divisor or height * width)
            return _spread(share, height, width), *nones
        like = grad.new_empty(1).expand(ctx.shape)
        return torch.ops.aten.avg_pool2d_backward(grad, like, *ctx.sizes), *nones


def _tiles(shape: torch.Size, kernel: Pair, stride: Pair, padding: Pair) -> bool:
    """Whether windows of that kind cover every value once."""
    whole = all(side % size == 0 for side, size in zip(shape[-2:], kernel, strict=True))
    return kernel == stride and padding == (0, 0) and whole


def _spread(values: Tensor, height: int, width: int) -> Tensor:
    """Every value [..., h, w] at all places of its window [..., h * height, w * width]."""
    *outer, h, w = values.shape
    windows = values.view(*outer, h, 1, w, 1).expand(*outer, h, height, w, width)
    return windows.reshape(*outer, h * height, w * width)


def _maximum(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if not _wanted(input) or return_indices:
        return NotImplemented
    stride = kernel_size if stride is None else stride
    sizes = (_pair(kernel_size), _pair(stride), _pair(padding), _pair(dilation), ceil_mode)
    return _Maximum.apply(input, *sizes)  # type: ignore[no-untyped-call]


class _Maximum(torch.autograd.Function):
    """A maximum pooling that keeps where its maxima lie."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *sizes: Any) -> Tensor:
        y, indices = torch.ops.aten.max_pool2d_with_indices(x, *sizes)
        ctx.save_for_backward(indices)
        ctx.shape, ctx.sizes = x.shape, sizes
        found: Tensor = y
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        like = grad.new_empty(1).expand(ctx.shape)
        back = torch.ops.aten.max_pool2d_with_indices_backward(
            grad, like, *ctx.sizes, *ctx.saved_tensors
        )
        return back, *[None] * len(ctx.sizes)


LIGHT: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    {
        functional.conv2d: _convolution,
        functional.avg_pool2d: _average,
        functional.max_pool2d: _maximum,
    }
)
"""What stands in for functions of torch that keep more than a gradient at the input needs."""
