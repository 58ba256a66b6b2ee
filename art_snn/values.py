"""Settings of a layer of neurons that differ from neuron to neuron."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor

Operation: TypeAlias = Callable[[Any, Any], Any]


def _before(operation: Operation) -> Operation:
    """The operation of Values with another operand behind them."""

    def apply(values: Values, other: Any) -> Any:
        if isinstance(other, Tensor):
            return operation(values.at(other), other)
        return Values(operation(values.numbers, getattr(other, "numbers", other)))

    return apply


def _behind(operation: Operation) -> Operation:
    """The operation of Values with a number before them; tensors have their own."""
    return lambda values, other: Values(operation(getattr(other, "numbers", other), values.numbers))


class Values:
    """Numbers that broadcast to one time step [N, ...] of a layer, in the place of one number.

    They are compared and hashed by value. Arithmetic with a tensor gives a tensor of its dtype and
    device, otherwise Values again.

    :param numbers: a tensor [C, 1, 1], [K] or of any other shape without the batch axis."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers.detach().to("cpu", torch.float64, copy=True)
        self._key = (tuple(self.numbers.shape), tuple(self.numbers.flatten().tolist()))

    def at(self, like: Tensor) -> Tensor:
        """The numbers in the dtype and on the device of another tensor."""
        return self.numbers.to(like.device, like.dtype)

    def tolist(self) -> Any:
        """The numbers in nested lists, for JSON."""
        return self.numbers.tolist()

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        like = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor))
        args = tuple(a.at(like) if isinstance(a, Values) else a for a in args)
        return func(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Values) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __format__(self, spec: str) -> str:
        return f"{least(self):{spec}} to {most(self):{spec}}"

    def __repr__(self) -> str:
        return f"({self:.4g}, {self.numbers.numel()} values)"

    __add__, __radd__ = _before(operator.add), _behind(operator.add)
    __sub__, __rsub__ = _before(operator.sub), _behind(operator.sub)
    __mul__, __rmul__ = _before(operator.mul), _behind(operator.mul)
    __truediv__, __rtruediv__ = _before(operator.truediv), _behind(operator.truediv)

    def __neg__(self) -> Values:
        return Values(-self.numbers)


Setting: TypeAlias = Any
"""A setting of a layer of neurons: a number for all, or Values, which type checkers cannot say."""


def setting(value: Any) -> Any:
    """A tensor or parameter as a number where it has one element, else as Values."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().item() if value.numel() == 1 else Values(value)


def least(value: Setting) -> float:
    """The smallest number of a setting."""
    return float(value.numbers.min()) if isinstance(value, Values) else value


def most(value: Setting) -> float:
    """The largest number of a setting."""
    return float(value.numbers.max()) if isinstance(value, Values) else value


def clamp(value: Setting, low: float, high: float) -> Setting:
    """A setting whose numbers are brought into a range."""
    if isinstance(value, Values):
        return Values(value.numbers.clamp(low, high))
    return min(max(value, low), high)


def is_uniform(values: Iterable[Any]) -> bool:
    """Whether none of the settings differs from neuron to neuron."""
    return not any(isinstance(value, Values) for value in values)


def plus_scaled(a: Tensor, x: Tensor, factor: Setting, out: Tensor) -> Tensor:
    """Write ``a + factor x`` to `out`, which may be any of them."""
    if isinstance(factor, Values):
        return torch.addcmul(a, x, factor.at(x), out=out)
    return torch.add(a, x, alpha=factor, out=out)


def plus_product(a: Tensor, x: Tensor, y: Tensor, factor: Setting, out: Tensor) -> Tensor:
    """Write ``a + factor x y`` to `out`, which may be any of them."""
    if isinstance(factor, Values):
        return plus_scaled(a, x * y, factor, out)
    return torch.addcmul(a, x, y, value=factor, out=out)


def operand(value: Setting, like: Tensor) -> Any:
    """A setting as an operand: a number, or a tensor like the other one."""
    return value.at(like) if isinstance(value, Values) else value
