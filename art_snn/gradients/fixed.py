"""Passes that are differentiated by their input alone: weights are constants, and cost nothing.

An attack reads the gradient at its input and throws away those at the weights. Autograd keeps, for
the weights' sake or because its formulas are shared, the input of every convolution and pooling;
where weights are constants neither needs it.

Such a pass can also be *hollow*: an operation that is affine has the same gradient whatever its
input is, and where the values of a pass are known from another one it need not be computed. That
is for networks of torch's modules and ours, of which it is known that what they do passes through
functions of torch one by one, and that they keep nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from art_snn.gradients.base import Firing, Site

Pair = tuple[int, int]


class Opaque(Exception):
    """An operation in a hollow pass whose gradient may depend on its input."""


@dataclass
class Trail:
    """What is found out about the operations of a pass.

    :param hollow: whether affine operations are left out.
    :param followed: whether there was a pass with fixed weights.
    :param opaque: name of an operation whose gradient may depend on its input."""

    hollow: bool = False
    followed: bool = False
    opaque: str | None = None

    @property
    def transparent(self) -> bool:
        """Whether every operation has the same gradient whatever its input is."""
        return self.followed and self.opaque is None

    def follow(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note an operation that is not known to be affine.

        :raises Opaque: in a hollow pass."""
        if not _differentiated((*args, *kwargs.values())):
            return
        move = MOVES.get(func)
        # Without a graph values are on their way out of it.
        if move is None or not torch.is_grad_enabled() or not move(*args, **kwargs):
            self.opaque = getattr(func, "__name__", str(func))
            if self.hollow:
                raise Opaque(self.opaque)


_TRAIL: ContextVar[Trail | None] = ContextVar("trail", default=None)


@contextmanager
def on_trail(trail: Trail) -> Iterator[None]:
    """Passes with fixed weights within the block leave their traces there."""
    before = _TRAIL.set(trail)
    try:
        yield
    finally:
        _TRAIL.reset(before)


_HELD: ContextVar[bool] = ContextVar("held", default=False)


@contextmanager
def holding(fixed: bool) -> Iterator[None]:
    """Whether passes within the block, of whichever network, take weights for constants."""
    before = _HELD.set(fixed)
    try:
        yield
    finally:
        _HELD.reset(before)


def held() -> bool:
    """Whether passes take weights for constants at present."""
    return _HELD.get()


def weights_fixed() -> AbstractContextManager[object]:
    """A block in which weights are constants, if passes hold them so and make a graph at all."""
    if not held() or not torch.is_grad_enabled():
        return nullcontext()
    return FixedWeights(_TRAIL.get())


_RUNNING: ContextVar["FixedWeights | None"] = ContextVar("running", default=None)


def unhandled(firing: Firing) -> Firing:
    """The same firing, whose operations are none of :class:`FixedWeights`."""

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


class FixedWeights(TorchFunctionMode):
    """Within the block, and in the present thread, parameters are constants to autograd.

    Whatever is computed of them, by any module and in whichever way, has no gradient at them.
    Results are those of the same operations, but for those of a hollow pass, which have shapes and
    graphs alone.

    :param trail: what to find out."""

    def __init__(self, trail: Trail | None = None) -> None:
        super().__init__()
        self.trail, self.paused = trail, False
        if trail is not None:
            trail.followed = True

    def __enter__(self) -> Any:
        self.token = _RUNNING.set(self)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        _RUNNING.reset(self.token)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.paused or func in LOOKS or _about_itself(func) or _checkpointed():
            return func(*args, **kwargs)
        args = tuple(map(_constant, args))
        kwargs = {name: _constant(value) for name, value in kwargs.items()}
        hollow, light = self.trail is not None and self.trail.hollow, LIGHT.get(func)
        answer = NotImplemented if light is None else light(hollow, *args, **kwargs)
        if answer is NotImplemented and self.trail is not None:
            self.trail.follow(func, args, kwargs)
            if hollow and func is Tensor.contiguous and not any(args[0].stride()):
                return args[0]
        if func is functional.max_pool2d:
            answer = _maximum(*args, **kwargs)
        return func(*args, **kwargs) if answer is NotImplemented else answer


def _about_itself(func: Any) -> bool:
    """Whether the function is about a tensor as an object, of which a constant is another."""
    return getattr(func, "__name__", "") in OWN


def _checkpointed() -> bool:
    """Whether the pass will be computed again in the backward pass, where it must be the same."""
    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    hooks = None if top is None else top(False)
    return hooks is not None and "checkpoint" in getattr(hooks[0], "__qualname__", "")


def _constant(value: Any) -> Any:
    if issubclass(type(value), nn.Parameter):
        return value.detach() if value.requires_grad and not is_lazy(value) else value
    if type(value) in (list, tuple):
        return type(value)(map(_constant, value))
    return value


def _differentiated(values: Any) -> bool:
    """Whether a gradient passes to one of the values."""
    if isinstance(values, list | tuple):
        return any(map(_differentiated, values))
    return isinstance(values, Tensor) and values.requires_grad


def _wanted(x: Any, *weights: Any) -> bool:
    """Whether a gradient will pass to x and to none of the weights."""
    return (
        type(x) is Tensor
        and _differentiated(x)
        and torch.is_grad_enabled()
        and not _autocast(x.device.type)
        and not _differentiated(weights)
        and forward_ad._current_level < 0
    )


def _autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def _nothing(x: Tensor, shape: Any) -> Tensor:
    """Zeros of a shape, in the memory of one."""
    return x.new_zeros(()).expand(shape)


def _pair(value: Any) -> Pair:
    pair = (value,) if isinstance(value, int) else tuple(value)
    return pair * 2 if len(pair) == 1 else pair


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
    sizes = (_pair(stride), _pair(padding), _pair(dilation), groups)
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
    sizes = (_pair(kernel_size), _pair(stride), _pair(padding))
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
        if _tiles(ctx.shape, *ctx.sizes[:3]):
            (height, width), divisor = ctx.sizes[0], ctx.sizes[-1]
            return None, _spread(grad / (divisor or height * width), height, width), *nones
        like = grad.new_empty(1).expand(ctx.shape)
        return None, torch.ops.aten.avg_pool2d_backward(grad, like, *ctx.sizes), *nones


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
        functional.linear: _linear,
        functional.batch_norm: _norm,
        functional.avg_pool2d: _average,
    }
)
"""What stands in for affine functions of torch, keeps no more than a gradient at the input needs,
and need not compute anything; or gives NotImplemented."""

LOOKS = frozenset(
    getattr(Tensor, name).__get__
    for name in ("shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_leaf", "grad")
) | {Tensor.size, Tensor.dim, Tensor.stride, Tensor.numel, Tensor.is_floating_point, Tensor.__len__}
"""What is asked of a tensor and does not depend on its values."""


OWN = frozenset(
    [
        *("__set__", "__delete__", "requires_grad_", "retain_grad"),
        *("register_hook", "register_post_accumulate_grad_hook"),
    ]
)
"""Names of what is done to a tensor as an object."""


def _always(*args: Any, **kwargs: Any) -> bool:
    return True


def _shape(*args: Any, **kwargs: Any) -> bool:
    return not any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values()))


def _one_factor(*args: Any, **kwargs: Any) -> bool:
    return sum(map(_differentiated, (*args, *kwargs.values()))) == 1


def _dividend(x: Any, *others: Any, **kwargs: Any) -> bool:
    return len(others) == 1 and not kwargs and not _differentiated(others)


def _place(x: Any, index: Any) -> bool:
    whole = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, int | slice) for i in whole)


def _idle(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> bool:
    return not training


MOVES: Mapping[Any, Callable[..., bool]] = MappingProxyType(
    dict.fromkeys(
        [
            *(Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape),
            *(Tensor.expand, Tensor.squeeze, Tensor.unsqueeze, Tensor.permute, Tensor.transpose),
            *(Tensor.unflatten, Tensor.contiguous, Tensor.mean, Tensor.sum, torch.cat, torch.stack),
            *(torch.add, Tensor.add, torch.sub, Tensor.sub, functional.adaptive_avg_pool2d),
        ],
        _always,
    )
    | dict.fromkeys([torch.mul, Tensor.mul], _one_factor)
    | dict.fromkeys([torch.div, Tensor.div], _dividend)
    | {Tensor.view: _shape, Tensor.__getitem__: _place, functional.dropout: _idle}
)
"""Other affine operations, and in which calls they are."""
