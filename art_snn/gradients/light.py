"""Layers that keep no more for the backward pass than a gradient at their input needs.

Autograd keeps, for the weights' sake or because its formulas are shared, the input of every
convolution and pooling. Here weights are constants, and neither needs it. An affine layer can also
be hollow: it has its shape and its gradient, and computes nothing."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from art_snn.pooling import Pair, average, pair, tiles, unpool


def requires_gradient(values: Any) -> bool:
    """Whether a gradient passes to one of the values."""
    if isinstance(values, list | tuple):
        return any(map(requires_gradient, values))
    return isinstance(values, Tensor) and values.requires_grad


def _wanted(x: Any, *weights: Any) -> bool:
    """Whether a gradient will pass to x and to none of the weights."""
    return (
        type(x) is Tensor
        and requires_gradient(x)
        and torch.is_grad_enabled()
        and not _autocast(x.device.type)
        and not requires_gradient(weights)
        and forward_ad._current_level < 0
    )


def _autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _nothing(x: Tensor, shape: Any) -> Tensor:
    """Zeros of a shape, in the memory of one."""
    return x.new_zeros(()).expand(shape)


def _convolution(
    hollow: bool,
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
    sizes = (pair(stride), pair(padding), pair(dilation), groups)
    return _Convolution.apply(hollow, input, weight, bias, *sizes)  # type: ignore[no-untyped-call]


class _Convolution(torch.autograd.Function):
    """A convolution that keeps its weight alone."""

    @staticmethod
    def forward(
        ctx: Any, hollow: bool, x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.sizes = x.shape, sizes
        if hollow:
            told = torch.conv2d(x.to("meta"), weight.to("meta"), None, *sizes)
            return _nothing(x, told.shape)
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
        return None, back, *[None] * (2 + len(ctx.sizes))


def _linear(hollow: bool, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    if not _wanted(input, weight, bias) or weight.ndim != 2:
        return NotImplemented
    return _Linear.apply(hollow, input, weight, bias)  # type: ignore[no-untyped-call]


class _Linear(torch.autograd.Function):
    """A linear layer that keeps its weight alone."""

    @staticmethod
    def forward(ctx: Any, hollow: bool, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        if hollow:
            return _nothing(x, (*x.shape[:-1], len(weight)))
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return None, grad @ weight, None, None


def _norm(
    hollow: bool,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if training or running_var is None or not _wanted(input, weight, bias):
        return NotImplemented
    told = (running_mean, running_var, weight, bias, eps)
    return _Norm.apply(hollow, input, *told)  # type: ignore[no-untyped-call]


class _Norm(torch.autograd.Function):
    """A batch norm in evaluation mode that keeps its scale alone."""

    @staticmethod
    def forward(
        ctx: Any,
        hollow: bool,
        x: Tensor,
        mean: Tensor | None,
        variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(scale if weight is None else scale * weight)
        if hollow:
            return _nothing(x, x.shape)
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = ctx.saved_tensors
        back = grad * scale.view(-1, *(1,) * (grad.ndim - 2))
        return None, back.to(grad.dtype), *[None] * 5


def _average(
    hollow: bool,
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
    sizes = (pair(kernel_size), pair(stride), pair(padding))
    told = (*sizes, ceil_mode, count_include_pad, divisor_override)
    return _Average.apply(hollow, input, *told)  # type: ignore[no-untyped-call]


class _Average(torch.autograd.Function):
    """An average pooling that keeps the shape of its input alone."""

    @staticmethod
    def forward(ctx: Any, hollow: bool, x: Tensor, *sizes: Any) -> Tensor:
        ctx.shape, ctx.sizes = x.shape, sizes
        if hollow:
            return _nothing(x, functional.avg_pool2d(x.to("meta"), *sizes).shape)
        return functional.avg_pool2d(x, *sizes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        nones = [None] * len(ctx.sizes)
        if tiles(ctx.shape, *ctx.sizes[:3]):
            (height, width), divisor = ctx.sizes[0], ctx.sizes[-1]
            return None, unpool(grad / (divisor or height * width), (height, width)), *nones
        like = grad.new_empty(1).expand(ctx.shape)
        return None, torch.ops.aten.avg_pool2d_backward(grad, like, *ctx.sizes), *nones


def _tiling(hollow: bool, x: Tensor, kernel: Pair, divisor: int | None = None) -> Any:
    if not _wanted(x):
        return NotImplemented
    if hollow:
        return _average(True, x, kernel, divisor_override=divisor)
    return average(x, kernel, divisor)


def maximum(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """torch's max_pool2d of fixed weights, which keeps where its maxima lie and not its input."""
    if not _wanted(input) or return_indices:
        return NotImplemented
    stride = kernel_size if stride is None else stride
    sizes = (pair(kernel_size), pair(stride), pair(padding), pair(dilation), ceil_mode)
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
        functional.linear: _linear,
        functional.batch_norm: _norm,
        functional.avg_pool2d: _average,
        average: _tiling,
    }
)
"""What stands in for affine functions of torch, keeps no more than a gradient at the input needs,
and need not compute anything; or gives NotImplemented."""
