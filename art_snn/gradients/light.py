"""Layers that keep no more for the backward pass than a gradient at their input needs.

Autograd keeps the input of every convolution and pooling. Where weights are constants, neither
needs it. An affine layer can also be hollow: it has shape and gradient, and computes nothing."""

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


def by_input_alone(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a gradient will pass to the input of a layer and to none of its weights."""
    x = args[0] if args else kwargs.get("input")
    return (
        type(x) is Tensor
        and requires_gradient(x)
        and sum(map(requires_gradient, (*args, *kwargs.values()))) == 1
        and torch.is_grad_enabled()
        and not _autocast(x.device.type)
        and forward_ad._current_level < 0
    )


def _autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _nothing(x: Tensor, shape: Any) -> Tensor:
    """Zeros of a shape, in the memory of one."""
    return x.new_zeros(()).expand(shape)


class _Light(Function):
    """An affine layer (x, *weights) -> y; its gradient is (at y, *kept) -> at x. Hollow: y = 0."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        hollow: bool,
        layer: Callable[..., Tensor],
        weights: tuple[Tensor | None, ...],
        gradient: Callable[..., Tensor],
        *kept: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(*kept)
        ctx.set_materialize_grads(False)
        ctx.gradient = gradient
        if not hollow:
            return layer(x, *weights)
        shapes = [weight if weight is None else weight.to("meta") for weight in weights]
        return _nothing(x, layer(x.to("meta"), *shapes).shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        kept = ctx.saved_tensors
        d = None if grad is None else ctx.gradient(grad, *kept)
        return d, *[None] * (4 + len(kept))


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
    if isinstance(padding, str) or input.ndim != 4:
        return NotImplemented
    sides, sizes = input.shape[2:], (pair(stride), pair(padding), pair(dilation), groups)

    def layer(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.conv2d(x, weight, bias, *sizes)

    def gradient(grad: Tensor, weight: Tensor) -> Tensor:
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

    return apply(_Light, input, hollow, layer, (weight, bias), gradient, weight)


def _linear(hollow: bool, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    if weight.ndim != 2:
        return NotImplemented
    return apply(_Light, input, hollow, functional.linear, (weight, bias), torch.matmul, weight)


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
    if training or running_var is None:
        return NotImplemented

    def layer(x: Tensor, mean: Any, variance: Any, weight: Any, bias: Any) -> Tensor:
        return functional.batch_norm(x, mean, variance, weight, bias, eps=eps)

    def gradient(grad: Tensor, scale: Tensor) -> Tensor:
        return (grad * scale.view(-1, *(1,) * (grad.ndim - 2))).to(grad.dtype)

    scale = torch.rsqrt(running_var + eps)
    scale = scale if weight is None else scale * weight
    weights = (running_mean, running_var, weight, bias)
    return apply(_Light, input, hollow, layer, weights, gradient, scale)


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
    shape, kernel, padding = input.shape, pair(kernel_size), pair(padding)
    stride = kernel if stride is None else pair(stride)
    options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def layer(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, *options)

    def gradient(grad: Tensor) -> Tensor:
        if tiles(shape, kernel, stride, padding):
            return unpool(grad / (divisor_override or kernel[0] * kernel[1]), kernel)
        like = grad.new_empty(1).expand(shape)
        at_x: Tensor = torch.ops.aten.avg_pool2d_backward(grad, like, *options)
        return at_x

    return apply(_Light, input, hollow, layer, (), gradient)


def _tiling(hollow: bool, x: Tensor, kernel: Pair, divisor: int | None = None) -> Any:
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
    if return_indices:
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
        gradient = torch.ops.aten.max_pool2d_with_indices_backward
        return gradient(grad, like, *ctx.options, indices), *[None] * len(ctx.options)


LIGHT: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    {
        functional.conv2d: _convolution,
        functional.linear: _linear,
        functional.batch_norm: _norm,
        functional.avg_pool2d: _average,
        average: _tiling,
    }
)
"""Affine functions of torch, and what replaces them or gives NotImplemented."""


def lightly(func: Any, *args: Any, **options: Any) -> Tensor:
    """func(*args, **options), which keeps nothing of its input where only that takes a gradient."""
    layer, answer = LIGHT.get(func), NotImplemented
    if layer is not None and by_input_alone(args, options):
        answer = layer(False, *args, **options)
    output: Tensor = func(*args, **options) if answer is NotImplemented else answer
    return output
