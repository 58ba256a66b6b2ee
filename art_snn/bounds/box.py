"""Boxes: tensors with an interval around every value.

Layers of torch take a :class:`Box` like any other tensor. What they call on it is answered by
:class:`art_snn.bounds.operations.Propagation`. So a network needs no second description: its own
forward, with sums of branches and layers of other frameworks, runs on boxes.

A sum of n products, as computed, differs from the exact one by at most gamma(n) sum |a b|, where
gamma(n) = n u / (1 - n u) and u is the unit roundoff (Higham, Accuracy and Stability of Numerical
Algorithms, 3.1), in any order of its terms."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics, least, most
from art_snn.gradients.fixed import product_precisions


class Unbounded(Exception):
    """An operation of which no bounds are known, in words."""


class Nonlinear(Unbounded):
    """An operation that does not map means to means."""


@dataclass(frozen=True)
class Enclosure:
    """Intervals around the centres of a box.

    :param radius: of every interval, in the shape of the centres, without rounding.
    :param slack: what rounding adds to it: a scalar, one for each channel, which broadcasts to the
        last axes of the centres, or in their shape.
    :param magnitude: bound of the absolute values, of those of every step where the first axis
        holds means; a scalar, None where it is that of the intervals.
    :param averaged: number of time steps, where the first axis holds means over the steps up to
        each one; 0 where it holds the steps.
    :param budget: of the perturbations, where they are fewer than those of the box: changes of a
        Euclidean length of 1 at most times this, of each value; the first affine layer uses it.
    :param repeats: number of time steps, where the first axis holds the same values for each.
    :param unmixed: whether no value takes both signs over time, since none is below 0, or all are
        constant: then their means say how large they are."""

    radius: Tensor
    slack: Tensor
    magnitude: Tensor | None = None
    averaged: int = 0
    budget: Tensor | None = None
    repeats: int = 0
    unmixed: bool = False


class Box(Tensor):
    """A tensor that stands for the :class:`Enclosure` around its `centre`.

    It has no values of its own: what would read them, in compiled code or another thread, fails."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    centre: Tensor
    enclosure: Enclosure

    @classmethod
    def __torch_dispatch__(cls, func: Any, *call: Any) -> Any:
        """Refuse an operation that no propagation has answered."""
        raise Unbounded(f"{func.overloadpacket.__name__} where boxes are not followed")

    @staticmethod
    def around(centre: Tensor, enclosure: Enclosure) -> "Box":
        """A box of plain tensors; the graph of the centres goes on."""
        form: Any = {"strides": centre.stride(), "dtype": centre.dtype, "device": centre.device}
        box: Box = Tensor._make_wrapper_subclass(Box, centre.shape, **form)
        box.centre, box.enclosure = centre, enclosure
        return box

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest values, rounding included."""
        radius = self.enclosure.radius + self.enclosure.slack
        return self.centre - radius, self.centre + radius

    @property
    def magnitude(self) -> Tensor:
        """Bound of the absolute values, a scalar."""
        enclosure = self.enclosure
        if enclosure.magnitude is not None:
            return enclosure.magnitude
        with torch.no_grad():
            low, high = self.centre.aminmax()
            return torch.maximum(-low, high) + enclosure.radius.amax() + enclosure.slack.amax()

    def revise(self, **fields: Any) -> "Box":
        """The same centre, with other fields of its enclosure."""
        return Box.around(self.centre, replace(self.enclosure, **fields))

    def without_graph(self) -> "Box":
        """The same without a graph, and without a budget."""
        radius, slack = self.enclosure.radius.detach(), self.enclosure.slack.detach()
        magnitude = self.magnitude if self.enclosure.averaged else None
        alone = Box.around(self.centre.detach(), self.enclosure)
        return alone.revise(radius=radius, slack=slack, magnitude=magnitude, budget=None)

    def rows(self, rows: slice | list[int]) -> "Box":
        """The samples of those rows, of time steps [T, N, ...]."""
        radius, slack = self.enclosure.radius[:, rows], self.enclosure.slack
        slack = slack[:, rows] if slack.shape == self.shape else slack
        some = Box.around(self.centre[:, rows], self.enclosure)
        return some.revise(radius=radius, slack=slack, magnitude=None, budget=None)

    def rearrange(self, function: Callable[[Tensor], Tensor]) -> "Box":
        """The same after a function that moves values and changes none."""
        enclosure, centre = self.enclosure, function(self.centre)
        axes, slack, budget = enclosure.slack.ndim, enclosure.slack, enclosure.budget
        budget = None if budget is None else function(budget)
        radius = function(enclosure.radius)
        if slack.shape == self.shape:
            slack = function(slack)
        elif axes and centre.shape[-axes:] != self.shape[-axes:]:
            slack = slack.amax()
        return Box.around(centre, replace(enclosure, radius=radius, slack=slack, budget=budget))


def count_steps(like: Tensor) -> Tensor:
    """1, 2, ..., T along the first axis of a tensor [T, ...], in its dtype."""
    steps = torch.arange(1, len(like) + 1, device=like.device, dtype=like.dtype)
    return steps.view(-1, *(1,) * (like.ndim - 1))


def has_boxes(values: Any) -> bool:
    """True where a box is among the values, or in lists and tuples of them."""
    several = (tuple, list)
    return any(isinstance(v, Box) or (isinstance(v, several) and has_boxes(v)) for v in values)


_SAFETY = 4
"""Multiple of gamma by which intervals are widened: the error of the network itself, those of the
centre and of the radius, which are computed in the same precision, and what is of second order."""
_NEURON_SAFETY = 16
"""Units of roundoff per term of a potential: of the network's simulation, and of the bounds."""


def _unit_roundoff(like: Tensor) -> float:
    """Largest relative error of a product in the tensor's dtype, as torch is set up at present."""
    precisions = {"tf32": 2.0**-11, "bf16": 2.0**-8}
    exact = torch.finfo(like.dtype).eps / 2
    if like.dtype != torch.float32:
        return exact
    return max([exact, *(precisions.get(name, exact) for name in product_precisions(like))])


def widening(terms: int, like: Tensor) -> float:
    """4 gamma(terms + 4), by which an interval is widened per unit of sum |a b|.

    :param terms: products that one value is the sum of.
    :raises OverflowError: where so many cannot be bounded."""
    unit = _unit_roundoff(like)
    n = (terms + 4) * unit
    if n >= 0.5:
        raise OverflowError(f"sums of {terms} products, each rounded by {unit:.1g} of its size")
    return _SAFETY * n / (1 - n)


def round_toward(end: float, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in a precision, or the next number there toward an end, -inf or inf."""
    near, values = values.to(dtype), values.double()
    right = near.double() <= values if end < 0 else near.double() >= values
    return near.where(right, torch.nextafter(near, torch.full_like(near, end)))


def potential_rounding(dynamics: Dynamics, magnitude: Any, steps: int, dtype: torch.dtype) -> Any:
    """The change of a current that does to a potential what rounding does.

    A computed potential is decay v + gain x + constant but for one roundoff per term, and so is
    that of the exact dynamics at another current. The terms are sums of at most T currents.

    :param magnitude: bound of the absolute values of the currents, a number or a scalar."""
    decay = most(dynamics.decay)
    remembered = min(float(steps), 1 / (1 - decay)) if decay < 1 else float(steps)
    drop = most(dynamics.reset_amount) if dynamics.reset == "soft" else _size(dynamics.v_reset)
    each = most(dynamics.gain) * magnitude + _size(dynamics.constant) + drop
    largest = most(dynamics.threshold) + _size(dynamics.v_start) + each * remembered
    largest = largest if dynamics.floor is None else largest + _size(dynamics.floor)
    return _NEURON_SAFETY * (torch.finfo(dtype).eps / 2) * largest / least(dynamics.gain)


def _size(setting: Any) -> float:
    return max(abs(least(setting)), abs(most(setting)))
