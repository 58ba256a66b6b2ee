"""Boxes: tensors with an interval around every value.

Layers of torch take a :class:`Box` like any other tensor. What they call on it is
answered by :class:`art_snn.bounds.operations.Propagation`. So a network needs no
second description: its own forward, with sums of branches and layers of other
frameworks, runs on boxes.

A computed sum of n products differs from the exact one by at most gamma(n) sum |a b|, in
any order of its terms. Here gamma(n) = n u / (1 - n u), and u is the unit roundoff
(Higham, Accuracy and Stability of Numerical Algorithms, 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics, least, most
from art_snn.gradients.fixed import product_precisions

Ends = tuple[Tensor, Tensor]
"""The lowest values and the highest ones, or the fewest spikes and the most."""


class Unbounded(Exception):
    """The network uses an operation without known bounds; the message names it."""


class Nonlinear(Unbounded):
    """The operation does not map means over time to means over time."""


@dataclass(eq=False, repr=False)
class Box(Tensor):
    """A tensor that stands for all values in intervals: |x - centre| <= radius + slack.

    It has no values of its own. Code that would read them, such as compiled code or
    another thread, fails.

    :param centre: plain tensor, with the graph of the centres.
    :param radius: the radius of every interval without rounding, in the shape of the
        centres.
    :param slack: what rounding adds to the radius: a scalar, a tensor that broadcasts
        to the last axes of the centres, such as one value per channel, or one in
        their shape.
    :param largest: a scalar that bounds the absolute values, at every single step where
        the first axis holds means. None: the intervals themselves say it.
    :param averaged: the number of time steps, where entry t of the first axis is the mean
        over steps 1 to t; 0 where the first axis holds single steps.
    :param budget: b, where perturbations obey sum ((x - centre) / b)^2 <= 1, which allows
        fewer than the box does. The first affine layer uses it.
    :param repeats: the number of time steps, where all have the same values.
    :param keeps_sign: True if no value is below 0, so that means tell how large values are.
    :param constant: True if values stay the same over time, so that each mean is the value
        itself."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # As torch's own subclasses turn it off.
    centre: Tensor
    radius: Tensor
    slack: Tensor
    largest: Tensor | None = None
    averaged: int = 0
    budget: Tensor | None = None
    repeats: int = 0
    keeps_sign: bool = False
    constant: bool = False

    def __new__(cls, centre: Tensor, *_: Any, **__: Any) -> "Box":
        return Tensor._make_wrapper_subclass(
            cls,
            centre.shape,
            strides=centre.stride(),
            dtype=centre.dtype,
            device=centre.device,
        )

    @classmethod
    def __torch_dispatch__(cls, func: Any, *call: Any) -> Any:
        """Refuse an operation outside of :class:`Propagation`."""
        raise Unbounded(f"{func.overloadpacket.__name__} where boxes are not followed")

    @property
    def ends(self) -> Ends:
        """The lowest and the highest values, rounding included."""
        radius = self.radius + self.slack
        return self.centre - radius, self.centre + radius

    @property
    def magnitude(self) -> Tensor:
        """A scalar that bounds the absolute values."""
        if self.largest is not None:
            return self.largest
        with torch.no_grad():
            low, high = self.centre.aminmax()
            # |x| <= |m| + r + slack
            return torch.maximum(-low, high) + self.radius.amax() + self.slack.amax()

    def without_graph(self) -> "Box":
        """Return the box without a graph and without a budget."""
        return replace(
            self.rearrange(Tensor.detach),
            slack=self.slack.detach(),
            largest=self.magnitude if self.averaged else None,
            budget=None,
        )

    def contains(self, values: Tensor) -> bool:
        """True if all values lie in their intervals."""
        # |x - m| <= r + slack
        reach = self.radius + self.slack
        return bool(((values - self.centre).abs() <= reach).all())

    def rows(self, rows: slice | list[int]) -> "Box":
        """Select some samples of a box [T, N, ...]."""
        selected = self.rearrange(lambda part: part[:, rows])
        return replace(selected, largest=None, budget=None)

    def rearrange(self, function: Callable[[Tensor], Tensor]) -> "Box":
        """Apply a function that moves values and changes none."""
        centre = function(self.centre)
        slack = self.slack
        axes = slack.ndim
        if slack.shape == self.shape:
            slack = function(slack)
        elif axes and centre.shape[-axes:] != self.shape[-axes:]:
            # The channels have moved, so all values get the largest slack.
            slack = slack.amax()

        budget = self.budget
        if budget is not None:
            budget = function(budget)
        radius = function(self.radius)
        return replace(self, centre=centre, radius=radius, slack=slack, budget=budget)


def view_first(values: Tensor, axes: int) -> Tensor:
    """View values [C] as [C, 1, ...], with so many further axes."""
    return values.view(-1, *(1,) * axes)


def count_steps(like: Tensor) -> Tensor:
    """Return 1, 2, ..., T along the first axis of a tensor [T, ...], in its dtype."""
    steps = torch.arange(1, len(like) + 1, device=like.device, dtype=like.dtype)
    return view_first(steps, like.ndim - 1)


def has_boxes(value: Any) -> bool:
    """True if a value is a box, or a tuple or list that has one in it."""
    if isinstance(value, tuple | list):
        return any(map(has_boxes, value))
    return isinstance(value, Box)


_SAFETY = 4
"""Intervals are widened by so many times gamma: for the error of the network itself,
for those of centre and radius, which have the same precision, and for terms of second
order."""
_NEURON_SAFETY = 16
"""Units of roundoff per term of a potential, in the network's simulation and in
bounds."""


def unit_roundoff(like: Tensor) -> float:
    """Return the largest relative error of a product in the tensor's dtype.

    It depends on the precision that torch is set up for at present."""
    precisions = {"tf32": 2.0**-11, "bf16": 2.0**-8}
    exact = torch.finfo(like.dtype).eps / 2
    if like.dtype != torch.float32:
        return exact
    return max(
        [exact, *(precisions.get(name, exact) for name in product_precisions(like))]
    )


def widening(terms: int, like: Tensor) -> float:
    """Return 4 gamma(terms + 4): how much an interval is widened per unit of sum |a b|.

    :param terms: the number of products that are added up.
    :raises OverflowError: if the sum has too many terms for a bound."""
    unit = unit_roundoff(like)
    # gamma(n) = n u / (1 - n u)
    n_u = (terms + 4) * unit
    if n_u >= 0.5:
        raise OverflowError(
            f"sums of {terms} products, each rounded by {unit:.1g} of its size"
        )
    return _SAFETY * n_u / (1 - n_u)


def round_toward(end: float, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round values to a precision, toward an end, which is -inf or inf."""
    near = values.to(dtype)
    exact = values.double()
    # The result is at most the value where the end is -inf, and at least the value else.
    on_side = near.double() <= exact if end < 0 else near.double() >= exact
    return near.where(on_side, torch.nextafter(near, torch.full_like(near, end)))


def potential_rounding(
    dynamics: Dynamics, magnitude: Any, steps: int, dtype: torch.dtype
) -> Any:
    """Return the change of a current that moves a potential as far as rounding can.

    A computed potential is decay v + gain x + constant but for one roundoff per term.
    So it is the exact potential of another current. Its terms are sums of at most T
    currents.

    :param magnitude: a number or a scalar that bounds the absolute values of currents."""

    def size(setting: Any) -> float:
        return max(abs(least(setting)), abs(most(setting)))

    decay = most(dynamics.decay)
    # Of what came before remains: 1 + d + ... + d^(T - 1) <= min(T, 1 / (1 - d)).
    remembered = float(steps)
    if decay < 1:
        remembered = min(remembered, 1 / (1 - decay))

    drop = (
        most(dynamics.reset_amount)
        if dynamics.reset == "soft"
        else size(dynamics.v_reset)
    )
    # |u| <= |v_start| + (g |x| + |c| + |drop|) (1 + d + ... + d^(T - 1))
    each = most(dynamics.gain) * magnitude + size(dynamics.constant) + drop
    largest = most(dynamics.threshold) + size(dynamics.v_start) + each * remembered
    if dynamics.floor is not None:
        largest = largest + size(dynamics.floor)
    # A change of x changes u by g times as much.
    return charge_rounding(largest, dtype) / least(dynamics.gain)


def charge_rounding(largest: Any, dtype: torch.dtype) -> Any:
    """Return how much rounding can change a charge of that size in one step, with a reserve."""
    return _NEURON_SAFETY * (torch.finfo(dtype).eps / 2) * largest
