"""Boxes: tensors with an interval around every value.

A :class:`Box` is the tensor of the centres, and layers of torch take it like any other tensor. What
they call on it is answered by :class:`art_snn.bounds.operations.Propagation`. So a network needs no
second description: its own forward, with sums of branches and layers of other frameworks, runs on
boxes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

Change = tuple[Tensor, Tensor]
"""How far values can fall, and how far they can rise."""


class Unbounded(Exception):
    """An operation of which no bounds are known, in words."""


class Nonlinear(Unbounded):
    """An operation that does not map means to means."""


class Reach(ABC):
    """Perturbations that are fewer than those of their box, as the first affine layer uses."""

    @abstractmethod
    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Reach":
        """The same after a function that moves values and changes none."""

    @abstractmethod
    def scaled(self, factor: Any) -> "Reach":
        """The same after a multiplication of each value by a positive factor."""

    @abstractmethod
    def pooled(self, function: Callable[[Tensor], Tensor], area: int) -> "Reach":
        """The same after averages over windows of so many values, each in one of them."""

    @abstractmethod
    def changes(self, func: Any, weight: Tensor, *rest: Any) -> list[Change]:
        """How far outputs of func(x, weight, None, *rest) can fall and rise.

        Of flips by one, by two, and so on; the last one is of all perturbations."""


class Away(ABC):
    """How values differ from those of a sample without perturbations."""

    @abstractmethod
    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Away":
        """The same after a function that moves values, keeps their order and changes none."""

    @abstractmethod
    def pooled(self, function: Callable[["Box"], "Box"], shape: Sequence[int]) -> "Away | None":
        """The same after averages over windows of one size, each value in one of them.

        :param shape: of the averages."""

    @abstractmethod
    def scaled(self, factor: Tensor, function: Callable[["Box"], "Box"]) -> "Away":
        """The same after an affine function of each value, whose slope is that factor."""


@dataclass(frozen=True)
class Spread:
    """What lies around the centres of a box.

    :param radius: of every interval, in the shape of the centres, without rounding.
    :param slack: what rounding adds to it: a scalar, one for each channel, which broadcasts to the
        last axes of the centres, or in their shape.
    :param most: bound of the absolute values, of those of every step where the first axis holds
        means; a scalar, None where it is that of the intervals.
    :param averaged: number of time steps, where the first axis holds means over the steps up to
        each one; 0 where it holds the steps.
    :param reach: the perturbations, where they are no box.
    :param repeats: number of time steps, where the first axis holds the same values for each.
    :param away: how values differ from those without flips, where that says more.
    :param unmixed: whether no value takes both signs over time, since none is below 0, or all are
        constant: then their means say how large they are."""

    radius: Tensor
    slack: Tensor
    most: Tensor | None = None
    averaged: int = 0
    reach: Reach | None = None
    repeats: int = 0
    away: Away | None = None
    unmixed: bool = False


class Box(Tensor):
    """Centres of intervals, of any shape, with the :class:`Spread` around them.

    Outside of a propagation it is a plain tensor, and what is computed of it has no intervals."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    spread: Spread

    @staticmethod
    def around(centre: Tensor, spread: Spread) -> "Box":
        """A box of plain tensors; the graph of the centres goes on."""
        box = centre.as_subclass(Box)
        box.spread = spread
        return box

    @property
    def centre(self) -> Tensor:
        """The centres as a plain tensor."""
        return self.as_subclass(Tensor)

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest values, rounding included."""
        spread = self.spread
        radius = spread.radius + spread.slack
        return self.centre - radius, self.centre + radius

    def detached(self) -> "Box":
        """The same without a graph, and without the perturbations."""
        radius, slack = self.spread.radius.detach(), self.spread.slack.detach()
        most = self.most if self.spread.averaged else None
        spread = replace(self.spread, radius=radius, slack=slack, most=most, reach=None)
        return Box.around(self.centre.detach(), replace(spread, away=self._away(Tensor.detach)))

    def rows(self, rows: slice) -> "Box":
        """The samples of those rows, of time steps [T, N, ...]."""
        radius, slack = self.spread.radius[:, rows], self.spread.slack
        slack = slack[:, rows] if slack.shape == self.shape else slack
        spread = replace(self.spread, radius=radius, slack=slack, most=None, reach=None)
        away = self._away(lambda part: part[:, rows])
        return Box.around(self.centre[:, rows], replace(spread, away=away))

    def _away(self, function: Callable[[Tensor], Tensor]) -> Away | None:
        away = self.spread.away
        return None if away is None else away.mapped(function)

    @property
    def most(self) -> Tensor:
        """Bound of the absolute values, a scalar."""
        spread = self.spread
        if spread.most is not None:
            return spread.most
        with torch.no_grad():
            low, high = self.centre.aminmax()
            return torch.maximum(-low, high) + spread.radius.amax() + spread.slack.amax()

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Box":
        """The same after a function that moves values and changes none."""
        spread, centre = self.spread, function(self.centre)
        axes = spread.slack.ndim
        kept = axes == 0 or centre.shape[-axes:] == self.shape[-axes:]
        reach = None if spread.reach is None else spread.reach.mapped(function)
        radius, slack = function(spread.radius), spread.slack
        if slack.shape == self.shape:
            slack = function(slack)
        elif not kept:
            slack = slack.amax()
        spread = replace(spread, radius=radius, slack=slack, reach=reach)
        return Box.around(centre, replace(spread, away=self._away(function)))


def fits_means(value: Any, x: Box) -> bool:
    """Whether a value, another box or one that is no box, is the same at every step of means x."""
    if not x.spread.averaged or isinstance(value, Box) or not isinstance(value, Tensor):
        return True
    return value.ndim < x.ndim or (value.ndim == x.ndim and len(value) == 1)


def has_boxes(values: Any) -> bool:
    """Whether there is a box among the values, or in lists and tuples of them."""
    several = (tuple, list)
    return any(isinstance(v, Box) or (isinstance(v, several) and has_boxes(v)) for v in values)


def nothing(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape, in the memory of one."""
    return like.new_zeros(()).expand(shape)
