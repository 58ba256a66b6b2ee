"""Layers that keep no more for the backward pass than a gradient at their input needs.

Autograd keeps the input of every convolution and pooling, for the weights' sake or because its
formulas are shared. Here weights are constants, and neither needs it. An affine layer can also be
hollow: it has its shape and its gradient, and computes nothing."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad
from torch.nn import functional

from art_snn.gradients.shared import apply
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


class _Light(Function):
    """A layer given by its values and by its gradient; neither keeps the input.

    :param values: x -> y.
    :param back: (gradient at y, *kept) -> gradient at x.
    :param kept: tensors that `back` needs."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        values: Callable[[Tensor], Tensor],
        back: Callable[..., Tensor],
        *kept: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(*kept)
        ctx.back = back
        return values(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.back(grad, *ctx.saved_tensors), None, None, *[None] * len(ctx.saved_tensors)


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
    sides, sizes = input.shape[2:], (pair(stride), pair(padding), pair(dilation), groups)

    def values(x: Tensor) -> Tensor:
        if hollow:
            return _nothing(x, torch.conv2d(x.to("meta"), weight.to("meta"), None, *sizes).shape)
        return torch.conv2d(x, weight, bias, *sizes)

    def back(grad: Tensor, weight: Tensor) -> Tensor:
        stride, padding, dilation, groups = sizes
        # Rows and columns at the end that the stride left out.
        rest = [
            sides[i]
            - (grad.shape[2 + i] - 1) * stride[i]
            + 2 * padding[i]
            - dilation[i] * (weight.shape[2 + i] - 1)
            - 1
            for i in (0, 1)
        ]
        return torch.conv_transpose2d(grad, weight, None, stride, padding, rest, groups, dilation)

    return apply(_Light, input, values, back, weight)


def _linear(hollow: bool, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    if not _wanted(input, weight, bias) or weight.ndim != 2:
        return NotImplemented

    def values(x: Tensor) -> Tensor:
        if hollow:
            return _nothing(x, (*x.shape[:-1], len(weight)))
        return functional.linear(x, weight, bias)

    return apply(_Light, input, values, torch.matmul, weight)


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

    def values(x: Tensor) -> Tensor:
        if hollow:
            return _nothing(x, x.shape)
        return functional.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, eps)

    def back(grad: Tensor, scale: Tensor) -> Tensor:
        return (grad * scale.view(-1, *(1,) * (grad.ndim - 2))).to(grad.dtype)

    scale = torch.rsqrt(running_var + eps)
    return apply(_Light, input, values, back, scale if weight is None else scale * weight)


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
    shape, kernel, padding = input.shape, pair(kernel_size), pair(padding)
    stride = kernel if stride is None else pair(stride)
    options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def values(x: Tensor) -> Tensor:
        if hollow:
            return _nothing(x, functional.avg_pool2d(x.to("meta"), *options).shape)
        return functional.avg_pool2d(x, *options)

    def back(grad: Tensor) -> Tensor:
        if tiles(shape, kernel, stride, padding):
            return unpool(grad / (divisor_override or kernel[0] * kernel[1]), kernel)
        like = grad.new_empty(1).expand(shape)
        y: Tensor = torch.ops.aten.avg_pool2d_backward(grad, like, *options)
        return y

    return apply(_Light, input, values, back)


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
    options = (pair(kernel_size), pair(stride), pair(padding), pair(dilation), ceil_mode)
    return apply(_Maximum, input, *options)


class _Maximum(Function):
    """A maximum pooling that keeps where its maxima lie."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *options: Any) -> Tensor:
        y: Tensor
        y, indices = torch.ops.aten.max_pool2d_with_indices(x, *options)
        ctx.save_for_backward(indices)
        ctx.shape, ctx.options = x.shape, options
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        like, (indices,) = grad.new_empty(1).expand(ctx.shape), ctx.saved_tensors
        pooled = torch.ops.aten.max_pool2d_with_indices_backward
        return pooled(grad, like, *ctx.options, indices), *[None] * len(ctx.options)


LIGHT: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    {
        functional.conv2d: _convolution,
        functional.linear: _linear,
        functional.batch_norm: _norm,
        functional.avg_pool2d: _average,
        average: _tiling,
    }
)
"""What replaces affine functions of torch, or gives NotImplemented.

It keeps no more than a gradient at the input needs, and need not compute anything."""
