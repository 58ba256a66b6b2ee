"""Passes that are differentiated by their input alone: weights are constants, and cost nothing.

An attack throws the gradients at the weights away. Where weights are constants, layers keep nothing
of their input (:mod:`art_snn.gradients.light`).

Such a pass can also be *hollow*: an affine operation has the same gradient whatever its input is,
so it need not be computed where its values are known. That is for networks of torch's modules and
ours only, which do all by functions of torch and keep nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from art_snn.gradients.base import Firing, Site
from art_snn.gradients.light import LIGHT, by_input_alone, maximum, requires_gradient
from art_snn.passes import within


class Opaque(Exception):
    """An operation in a hollow pass whose gradient may depend on its input."""


@dataclass
class Trail:
    """What operations show in a pass with fixed weights, if one `followed`.

    `opaque` names one whose gradient may depend on its input; `hollow` leaves affine ones out."""

    hollow: bool = False
    followed: bool = False
    opaque: str | None = None

    @property
    def transparent(self) -> bool:
        """Whether all operations have the same gradient whatever their input is."""
        return self.followed and self.opaque is None

    def follow(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note an operation that LIGHT does not replace; a hollow pass refuses opaque ones."""
        if not requires_gradient((*args, *kwargs.values())):
            return
        is_affine = MOVES.get(func)
        # Without a graph values are on their way out of it.
        if is_affine is None or not torch.is_grad_enabled() or not is_affine(*args, **kwargs):
            self.opaque = getattr(func, "__name__", str(func))
            if self.hollow:
                raise Opaque(self.opaque)


_TRAIL: ContextVar[Trail | None] = ContextVar("trail", default=None)
_HELD: ContextVar[bool] = ContextVar("held", default=False)
_RUNNING: ContextVar["FixedWeights | None"] = ContextVar("running", default=None)


def on_trail(trail: Trail) -> AbstractContextManager[None]:
    """Passes with fixed weights within the block leave their traces there."""
    return within(_TRAIL, trail)


def holding(fixed: bool) -> AbstractContextManager[None]:
    """Whether passes within the block, of whichever network, take weights for constants."""
    return within(_HELD, fixed)


def weights_held() -> bool:
    """Whether passes take weights for constants at present."""
    return _HELD.get()


@contextmanager
def weights_fixed() -> Iterator[None]:
    """A block in which weights are constants, if passes hold them so and make a graph at all."""
    if not weights_held() or not torch.is_grad_enabled():
        yield
        return
    mode = FixedWeights(_TRAIL.get())
    with within(_RUNNING, mode), mode:
        yield


def unhandled(firing: Firing) -> Firing:
    """The same firing, with operations that :class:`FixedWeights` leaves alone."""
    if not weights_held():
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


class FixedWeights(TorchFunctionMode):
    """Within the block, and in the present thread, parameters are constants to autograd.

    Results are those of the same operations; a hollow pass gives shapes and graphs alone."""

    def __init__(self, trail: Trail | None = None) -> None:
        super().__init__()
        self.trail, self.paused = trail, False
        if trail is not None:
            trail.followed = True

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        about_object = getattr(func, "__name__", "") in ABOUT_OBJECTS
        if self.paused or func in LOOKS or about_object or _checkpointed():
            return func(*args, **kwargs)
        args = tuple(map(_constant, args))
        kwargs = {name: _constant(value) for name, value in kwargs.items()}
        layer, answer = LIGHT.get(func), NotImplemented
        hollow = self.trail is not None and self.trail.hollow
        if layer is not None and by_input_alone(args, kwargs):
            answer = layer(hollow, *args, **kwargs)
        if answer is NotImplemented and self.trail is not None:
            self.trail.follow(func, args, kwargs)
            if hollow and func is Tensor.contiguous and not any(args[0].stride()):
                return args[0]
        if func is functional.max_pool2d and by_input_alone(args, kwargs):
            answer = maximum(*args, **kwargs)
        return func(*args, **kwargs) if answer is NotImplemented else answer


def _checkpointed() -> bool:
    """Whether the backward pass will compute the pass again, and must find it the same."""
    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    hooks = None if top is None else top(False)
    return hooks is not None and "checkpoint" in getattr(hooks[0], "__qualname__", "")


def _constant(value: Any) -> Any:
    if issubclass(type(value), nn.Parameter):
        return value.detach() if value.requires_grad and not is_lazy(value) else value
    if type(value) in (list, tuple):
        return type(value)(map(_constant, value))
    return value


LOOKS = frozenset(
    getattr(Tensor, name).__get__
    for name in ("shape", "ndim", "dtype", "device", "layout", "requires_grad", "is_leaf", "grad")
) | {
    *(Tensor.size, Tensor.dim, Tensor.stride, Tensor.numel, Tensor.__len__),
    *(Tensor.is_floating_point, Tensor.is_contiguous),
}
"""Questions to a tensor whose answers do not depend on its values."""

ABOUT_OBJECTS = {
    *("__set__", "__delete__", "requires_grad_", "retain_grad"),
    *("register_hook", "register_post_accumulate_grad_hook"),
}
"""Names of functions about a tensor as an object; a constant made of it is another object."""


def _is_shape(*args: Any, **kwargs: Any) -> bool:
    return not any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values()))


def _has_one_factor(*args: Any, **kwargs: Any) -> bool:
    return sum(map(requires_gradient, (*args, *kwargs.values()))) == 1


def _is_dividend(x: Any, *others: Any, **kwargs: Any) -> bool:
    return len(others) == 1 and not kwargs and not requires_gradient(others)


def _is_place(x: Any, index: Any) -> bool:
    indices = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, int | slice) for i in indices)


MOVES: Mapping[Any, Callable[..., bool]] = MappingProxyType(
    dict.fromkeys(
        [
            *(Tensor.flatten, torch.flatten, Tensor.reshape, torch.reshape),
            *(Tensor.expand, Tensor.squeeze, Tensor.unsqueeze, Tensor.permute, Tensor.transpose),
            *(Tensor.unflatten, Tensor.contiguous, Tensor.mean, Tensor.sum, torch.cat, torch.stack),
            *(torch.add, Tensor.add, torch.sub, Tensor.sub, functional.adaptive_avg_pool2d),
        ],
        lambda *args, **kwargs: True,
    )
    | dict.fromkeys([torch.mul, Tensor.mul], _has_one_factor)
    | dict.fromkeys([torch.div, Tensor.div], _is_dividend)
    | {Tensor.view: _is_shape, Tensor.__getitem__: _is_place}
    | {functional.dropout: lambda x, p=0.5, training=True, inplace=False: not training}
)
"""Other affine operations, and in which calls they are."""
