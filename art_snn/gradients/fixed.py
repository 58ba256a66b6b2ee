"""Passes that are differentiated by their input alone: weights are constants, and cost nothing.

An attack throws the gradients at the weights away. Autograd keeps the input of every convolution
and pooling; where weights are constants, neither needs it, so :data:`_LIGHT` layers keep nothing.

Such a pass can also be for *shapes only*: an affine operation has the same gradient whatever its
input is, so it need not be computed where its values are known. That is for networks of torch's
modules and ours only, which do all by functions of torch and keep nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function, forward_ad
from torch.nn import functional
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from art_snn.gradients.base import Firing, Site
from art_snn.gradients.shared import apply
from art_snn.passes import within
from art_snn.pooling import Pair, average, pair, tiles, unpool


class _NonAffine(Exception):
    """An operation in a pass for shapes only whose gradient may depend on its input."""


@dataclass
class OpTrace:
    """The operations of a pass with fixed weights.

    :param shapes_only: affine operations are not computed, and others refused.
    :param followed: True once a pass has left its trace here.
    :param other: an operation whose gradient may depend on its input, or None."""

    shapes_only: bool = False
    followed: bool = False
    other: str | None = None

    @property
    def affine(self) -> bool:
        """True if all operations have the same gradient whatever their input is."""
        return self.followed and self.other is None

    def follow(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note an operation that _LIGHT does not replace; _NonAffine where that is refused."""
        if not _requires_gradient((*args, *kwargs.values())):
            return
        is_affine = _AFFINE.get(func)
        # Without a graph values are on their way out of it.
        if is_affine is None or not torch.is_grad_enabled() or not is_affine(*args, **kwargs):
            self.other = getattr(func, "__name__", str(func))
            if self.shapes_only:
                raise _NonAffine(self.other)


TRACE: ContextVar[OpTrace | None] = ContextVar("trace", default=None)
"""Where passes with fixed weights leave their traces."""
WEIGHTS_HELD: ContextVar[bool] = ContextVar("held", default=False)
"""True if passes, of whichever network, take weights for constants."""
_RUNNING: ContextVar["_FixedWeights | None"] = ContextVar("running", default=None)


@contextmanager
def weights_fixed() -> Iterator[None]:
    """A block in which weights are constants, if passes hold them so and make a graph at all."""
    if not WEIGHTS_HELD.get() or not torch.is_grad_enabled():
        yield
        return
    mode = _FixedWeights(TRACE.get())
    with within(_RUNNING, mode), mode:
        yield


def pause_in(firing: Firing) -> Firing:
    """The same firing, with operations that :class:`_FixedWeights` leaves alone."""
    if not WEIGHTS_HELD.get():
        return firing

    def fire(site: Site, current: Tensor) -> Tensor:
        mode = _RUNNING.get()
        if mode is None:
            return firing(site, current)
        mode.paused = True
        try:
            return firing(site, current)
        finally:
            mode.paused = False

    return fire


class _FixedWeights(TorchFunctionMode):
    """Within the block, and in the present thread, parameters are constants to autograd.

    Results are those of the same operations; a pass for shapes only gives shapes and graphs."""

    def __init__(self, trace: OpTrace | None = None) -> None:
        super().__init__()
        self.trace, self.paused = trace, False
        if trace is not None:
            trace.followed = True

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        about_object = getattr(func, "__name__", "") in _ABOUT_OBJECTS
        if self.paused or func in METADATA or about_object or _is_checkpointed():
            return func(*args, **kwargs)
        args = tuple(map(_constant, args))
        kwargs = {name: _constant(value) for name, value in kwargs.items()}
        shapes_only = self.trace is not None and self.trace.shapes_only
        answer = _light(func, shapes_only, args, kwargs)
        if answer is NotImplemented and self.trace is not None:
            self.trace.follow(func, args, kwargs)
            if shapes_only and func is Tensor.contiguous and not any(args[0].stride()):
                return args[0]
        return func(*args, **kwargs) if answer is NotImplemented else answer


def _is_checkpointed() -> bool:
    """True if the backward pass will compute the pass again, and must find it the same."""
    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    hooks = None if top is None else top(False)
    return hooks is not None and "checkpoint" in getattr(hooks[0], "__qualname__", "")


def _constant(value: Any) -> Any:
    if issubclass(type(value), nn.Parameter):
        return value.detach() if value.requires_grad and not is_lazy(value) else value
    if type(value) in (list, tuple):
        return type(value)(map(_constant, value))
    return value


def _requires_gradient(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return any(map(_requires_gradient, values))
    return isinstance(values, Tensor) and values.requires_grad


METADATA = frozenset(
    getattr(Tensor, name).__get__
    for name in ("shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_leaf", "grad")
) | {
    *(Tensor.size, Tensor.dim, Tensor.stride, Tensor.numel, Tensor.__len__),
    *(Tensor.is_floating_point, Tensor.is_contiguous),
}
"""Questions to a tensor whose answers do not depend on its values."""

_ABOUT_OBJECTS = {
    *("__set__", "__delete__", "requires_grad_", "retain_grad"),
    *("register_hook", "register_post_accumulate_grad_hook"),
}
"""Names of functions about a tensor as an object; a constant made of it is another object."""


def _one_requires_gradient(*args: Any, **kwargs: Any) -> bool:
    return sum(map(_requires_gradient, (*args, *kwargs.values()))) == 1


def _is_dividend(x: Any, *others: Any, **kwargs: Any) -> bool:
    return len(others) == 1 and not kwargs and not _requires_gradient(others)


def _is_shape(*args: Any, **kwargs: Any) -> bool:
    return not any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values()))


def _is_place(x: Any, index: Any) -> bool:
    indices = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, int | slice) for i in indices)


_AFFINE: Mapping[Any, Callable[..., bool]] = MappingProxyType(
    dict.fromkeys(
        [
            *(Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape),
            *(Tensor.expand, Tensor.squeeze, Tensor.unsqueeze, Tensor.permute, Tensor.transpose),
            *(Tensor.unflatten, Tensor.contiguous, Tensor.mean, Tensor.sum, torch.cat, torch.stack),
            *(torch.add, Tensor.add, torch.sub, Tensor.sub, functional.adaptive_avg_pool2d),
        ],
        lambda *args, **kwargs: True,
    )
    | dict.fromkeys([torch.mul, Tensor.mul], _one_requires_gradient)
    | dict.fromkeys([torch.div, Tensor.div], _is_dividend)
    | {Tensor.view: _is_shape, Tensor.__getitem__: _is_place}
    | {functional.dropout: lambda x, p=0.5, training=True, inplace=False: not training}
)
"""Affine operations without weights, and in which calls they are."""


def lightly(func: Any, *args: Any, **options: Any) -> Tensor:
    """func(*args, **options), which keeps nothing of its input where only that takes a gradient."""
    answer = _light(func, False, args, options)
    output: Tensor = func(*args, **options) if answer is NotImplemented else answer
    return output


def _light(func: Any, shapes_only: bool, args: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """A layer of _LIGHT of an input that alone takes a gradient, or NotImplemented."""
    layer = _LIGHT.get(func)
    x = args[0] if args else options.get("input")
    if layer is None or type(x) is not Tensor or not x.requires_grad:
        return NotImplemented
    kind = x.device.type
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    alone = _one_requires_gradient(*args, **options)
    usual = torch.is_grad_enabled() and not autocast and forward_ad._current_level < 0
    return layer(shapes_only, *args, **options) if alone and usual else NotImplemented


class _Light(Function):
    """An affine layer (x, *weights) -> y, or zeros; its gradient is (at y, *kept) -> at x."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shapes_only: bool,
        layer: Callable[..., Tensor],
        weights: tuple[Tensor | None, ...],
        gradient: Callable[..., Tensor],
        *kept: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(*kept)
        ctx.set_materialize_grads(False)
        ctx.gradient = gradient
        if not shapes_only:
            return layer(x, *weights)
        shapes = [weight if weight is None else weight.to("meta") for weight in weights]
        # Zeros in the memory of one.
        return x.new_zeros(()).expand(layer(x.to("meta"), *shapes).shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        kept = ctx.saved_tensors
        d = None if grad is None else ctx.gradient(grad, *kept)
        return d, *[None] * (4 + len(kept))


def _convolution(
    shapes_only: bool,
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

    return apply(_Light, input, shapes_only, layer, (weight, bias), gradient, weight)


def _linear(shapes_only: bool, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    if weight.ndim != 2:
        return NotImplemented
    return apply(
        _Light, input, shapes_only, functional.linear, (weight, bias), torch.matmul, weight
    )


def _norm(
    shapes_only: bool,
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
    return apply(_Light, input, shapes_only, layer, weights, gradient, scale)


def _average(
    shapes_only: bool,
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

    return apply(_Light, input, shapes_only, layer, (), gradient)


def _tiling(shapes_only: bool, x: Tensor, kernel: Pair, divisor: int | None = None) -> Any:
    if shapes_only:
        return _average(True, x, kernel, divisor_override=divisor)
    return average(x, kernel, divisor)


_LIGHT: Mapping[Any, Callable[..., Any]] = MappingProxyType(
    {
        functional.conv2d: _convolution,
        functional.linear: _linear,
        functional.batch_norm: _norm,
        functional.avg_pool2d: _average,
        average: _tiling,
    }
)
"""Affine functions of torch, and what replaces them or gives NotImplemented."""
