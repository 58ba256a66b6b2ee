"""Passes that are differentiated by their input alone: weights are constants, and cost nothing.

An attack throws the gradients at the weights away. Autograd keeps the input of every
convolution and pooling; where weights are constants, neither needs it, so the functions
of :data:`_WITHOUT_SAVING` keep nothing. Where all layers are torch's and ours, they are
called directly; elsewhere a function mode finds them.

Such a pass can also be for *shapes only*: an affine layer has the same gradient whatever
its input is, so it need not be computed where its values are known."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function, forward_ad
from torch.nn import functional
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from art_snn.gradients.shared import align, apply
from art_snn.pooling import pair, tiles, unpool
from art_snn.running.context import RUN


def weights_fixed() -> AbstractContextManager[object]:
    """A block in which weights are constants, if they are in this run and a graph is made."""
    return (
        FixedWeights()
        if RUN.get().constant_weights and torch.is_grad_enabled()
        else nullcontext()
    )


class FixedWeights(TorchFunctionMode):
    """Within the block, and in the present thread, parameters are constants to autograd.

    Operations of rules, while neurons fire, are left alone."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if (
            RUN.get().in_neuron
            or func in METADATA
            or getattr(func, "__name__", "") in _ABOUT_OBJECTS
            or _is_checkpointed()
        ):
            return func(*args, **kwargs)
        kwargs = {name: constant(value) for name, value in kwargs.items()}
        return without_saving(func, *map(constant, args), **kwargs)


def saved_tensor_hooks() -> Any:
    """The hooks that save tensors for the backward pass at present, such as checkpointing's."""
    top = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return None if top is None else top(False)


def _is_checkpointed() -> bool:
    """True if a backward pass computes the pass again, and so must find it the same."""
    hooks = saved_tensor_hooks() or [None]
    return "checkpoint" in getattr(hooks[0], "__qualname__", "")


def constant(value: Any) -> Any:
    """A parameter without its gradient, also in lists and tuples; other values as they are."""
    if issubclass(type(value), nn.Parameter):
        return value.detach() if value.requires_grad and not is_lazy(value) else value
    if type(value) in (list, tuple):
        return type(value)(map(constant, value))
    return value


METADATA = {
    getattr(Tensor, name).__get__
    for name in (
        "shape",
        "ndim",
        "dtype",
        "device",
        "layout",
        "requires_grad",
        "is_leaf",
        "grad",
    )
} | {
    Tensor.size,
    Tensor.dim,
    Tensor.stride,
    Tensor.numel,
    Tensor.__len__,
    Tensor.is_floating_point,
    Tensor.is_contiguous,
}
"""Questions to a tensor whose answers do not depend on its values."""

_ABOUT_OBJECTS = {
    "__set__",
    "__delete__",
    "requires_grad_",
    "retain_grad",
    "register_hook",
    "register_post_accumulate_grad_hook",
}
"""Names of functions about a tensor as an object; a constant made of it is another object."""


def product_precisions(like: Tensor) -> set[str]:
    """Precisions of products in single precision, by the names that torch has for them."""
    backends = torch.backends
    first, second = (
        (backends.cudnn, backends.cuda) if like.is_cuda else (backends.mkldnn,) * 2
    )
    units = getattr(first, "conv", None), getattr(second, "matmul", None)
    precisions = [getattr(unit, "fp32_precision", None) for unit in units]
    if None not in precisions:
        return {str(name) for name in precisions}
    # torch has them since 2.9, and from then on may refuse to read the settings before.
    if like.is_cuda:
        return (
            {"tf32"}
            if backends.cudnn.allow_tf32 or backends.cuda.matmul.allow_tf32
            else set()
        )
    names = {"high": "tf32", "medium": "bf16"}
    return {names.get(torch.get_float32_matmul_precision(), "ieee")}


def without_saving(func: Any, *args: Any, **options: Any) -> Tensor:
    """func(*args, **options), which keeps nothing of its input where only that takes a gradient."""
    layer = _WITHOUT_SAVING.get(func)
    x = args[0] if args else options.get("input")
    answer = NotImplemented
    if layer is not None and type(x) is Tensor and x.requires_grad:
        kind, values = x.device.type, (*args, *options.values())
        autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(
            kind
        )
        alone = (
            sum(isinstance(value, Tensor) and value.requires_grad for value in values)
            == 1
        )
        if (
            alone
            and torch.is_grad_enabled()
            and not autocast
            and forward_ad._current_level < 0
        ):
            answer = layer(*args, **options)
    return func(*args, **options) if answer is NotImplemented else answer  # type: ignore[no-any-return]  # torch has functions of any kind.


@lru_cache(1024)
def _shape(func: Any, *arguments: Any) -> torch.Size:
    """The shape that a function gives, of the shapes of tensors and of other arguments."""

    def empty(value: Any) -> Any:
        return (
            torch.empty(value, device="meta") if isinstance(value, torch.Size) else value
        )

    output: Tensor = func(*map(empty, arguments))
    return output.shape


class _WithoutSaving(Function):
    """func(x, *arguments), affine in x, or zeros; its gradient is (at y, *kept) -> at x."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        func: Callable[..., Tensor],
        arguments: tuple[Any, ...],
        gradient: Callable[..., Tensor],
        *kept: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(*kept)
        ctx.set_materialize_grads(False)
        ctx.gradient = gradient
        if not RUN.get().shapes_only:
            return func(x, *arguments)
        given = (a.shape if isinstance(a, Tensor) else a for a in (x, *arguments))
        # Zeros in the memory of one.
        return x.new_zeros(()).expand(_shape(func, *given))

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        kept = ctx.saved_tensors
        d = None if grad is None else ctx.gradient(grad, *kept)
        return d, *[None] * (3 + len(kept))


def _convolution(
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
    sides = input.shape[2:]
    stride, padding, dilation = pair(stride), pair(padding), pair(dilation)

    def gradient(grad: Tensor, weight: Tensor) -> Tensor:
        spans = zip(sides, weight.shape[2:], stride, padding, dilation, strict=True)
        # Rows and columns at the end that the stride left out.
        rest = [(side + 2 * p - d * (k - 1) - 1) % s for side, k, s, p, d in spans]
        return torch.conv_transpose2d(
            grad, weight, None, stride, padding, rest, groups, dilation
        )

    arguments = (weight, bias, stride, padding, dilation, groups)
    return apply(_WithoutSaving, input, torch.conv2d, arguments, gradient, weight)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    if weight.ndim != 2:
        return NotImplemented
    return apply(
        _WithoutSaving, input, functional.linear, (weight, bias), torch.matmul, weight
    )


def _norm(
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

    def gradient(grad: Tensor, scale: Tensor) -> Tensor:
        return (grad * align(scale, grad, 1)).to(grad.dtype)

    scale = torch.rsqrt(running_var + eps)
    scale = scale if weight is None else scale * weight
    arguments = (running_mean, running_var, weight, bias, False, momentum, eps)
    return apply(_WithoutSaving, input, functional.batch_norm, arguments, gradient, scale)


def _average(
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

    def gradient(grad: Tensor) -> Tensor:
        if tiles(shape, kernel, stride, padding):
            return unpool(grad / (divisor_override or kernel[0] * kernel[1]), kernel)
        like = grad.new_empty(1).expand(shape)
        return torch.ops.aten.avg_pool2d_backward(grad, like, *options)  # type: ignore[no-any-return]  # torch gives Any.

    return apply(_WithoutSaving, input, functional.avg_pool2d, options, gradient)


_WITHOUT_SAVING: Mapping[Any, Callable[..., Any]] = {
    functional.conv2d: _convolution,
    functional.linear: _linear,
    functional.batch_norm: _norm,
    functional.avg_pool2d: _average,
}
"""Affine functions of torch, and what replaces them or gives NotImplemented."""
