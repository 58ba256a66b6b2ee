"""How neurons fire in a pass of boxes: bounds of their spikes, and of how many there are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded
from art_snn.bounds.intervals import step_intervals
from art_snn.bounds.trains import trains_of
from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Firing, Site, simulation
from art_snn.gradients.shared import repeat_step, repeats_one_step
from art_snn.values import least, most

NEURON_SAFETY = 16
"""Units of roundoff per term of a potential: of the network's simulation, and of the bounds."""


@dataclass(frozen=True)
class SpikeBounds:
    """What neurons do at least and at most.

    :param low, high: spikes [T, N, ...] from 0 to 1, or means over the steps up to each one.
    :param fewest, most: spikes over all steps [N, ...]; None where the steps say as much."""

    low: Tensor
    high: Tensor
    fewest: Tensor | None = None
    most: Tensor | None = None


class Method(ABC):
    """A way to bound the spikes of neurons.

    :param firing: simulates neurons, with the gradient that it has."""

    averages = False
    """Whether IF neurons with soft reset are bounded from means over time alone."""

    def __init__(self, firing: Firing = simulation) -> None:
        self.firing = firing

    @abstractmethod
    def bounds(self, site: Site, current: Box) -> SpikeBounds:
        """What neurons do whose current [T, N, ...] lies in the box."""

    def fire(self, site: Site, current: Tensor) -> Tensor:
        """The firing of a neuron in a pass of boxes."""
        assert isinstance(current, Box)
        dynamics, averaged = site.dynamics, current.spread.averaged
        if dynamics.unknown is not None or not dynamics.obeys_equations:
            raise Unbounded(dynamics.unknown or "neurons that obey other equations")
        if not current.most.isfinite():
            raise Unbounded(f"currents that overflow {current.dtype}")
        if averaged and averaged != len(current):
            raise Nonlinear("neurons that take the axis of time elsewhere")
        bounds = _from_means(site, current, self.firing) if averaged else self.bounds(site, current)
        centre, radius = (bounds.low + bounds.high) / 2, (bounds.high - bounds.low) / 2
        one = radius.detach().new_ones(())
        # Means over time are rounded; spikes, and halves between them, are not.
        slack = one * (4 * torch.finfo(one.dtype).eps if averaged else 0)
        return Box.around(gated(centre, bounds), Spread(radius, slack, one, averaged))


class StepIntervals(Method):
    """S-IBP (Liang et al., NeurIPS 2022): intervals of the potential, step by step."""

    def bounds(self, site: Site, current: Box) -> SpikeBounds:
        low, high = _currents(site.dynamics, current)
        sure, maybe = step_intervals(site.dynamics, low, high)
        if not low.requires_grad:
            return SpikeBounds(sure.to(low), maybe.to(low))
        ends = self.firing(site, low), self.firing(site, high)
        return SpikeBounds(_attached(sure, ends[0]), _attached(maybe, ends[1]))


class SpikeCounts(Method):
    """S-IBP, tightened by the number of spikes, which more current never lowers.

    A neuron fires at least as often as a simulation at its lowest current, and at most as often as
    one at its highest. Behind direct encoding the current is constant, and every step is exact."""

    averages = True

    def bounds(self, site: Site, current: Box) -> SpikeBounds:
        dynamics = site.dynamics
        low, high = _currents(dynamics, current)
        sure, maybe = _steps(dynamics, low, high)
        fewest, most = self.firing(site, low), self.firing(site, high)
        steps = _attached(sure, fewest), _attached(maybe, most)
        if dynamics.reset == "hard" and not dynamics.resets_below:
            return SpikeBounds(*steps)
        return SpikeBounds(*steps, fewest.sum(0), most.sum(0))


METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {"counts": SpikeCounts, "s-ibp": StepIntervals}
)
"""Methods by name."""


def _currents(dynamics: Dynamics, current: Box) -> tuple[Tensor, Tensor]:
    """Lowest and highest currents [T, N, ...], with what rounding of potentials can add to them."""
    margin = _rounding(dynamics, current)
    if repeats_one_step(current):
        first = current.mapped(lambda part: part[0])
        return tuple(repeat_step(end, len(current)) for end in _widened(first, margin))  # type: ignore[return-value]
    return _widened(current, margin)


def _widened(current: Box, margin: Tensor) -> tuple[Tensor, Tensor]:
    low, high = current.ends
    return low - margin, high + margin


def _rounding(dynamics: Dynamics, current: Box) -> Tensor:
    """The change of a current that does to a potential what rounding does.

    A computed potential is decay v + gain x + constant but for one roundoff per term, and so is
    that of the exact dynamics at another current. The terms are sums of at most T currents."""
    steps, decay = len(current), most(dynamics.decay)
    remembered = min(float(steps), 1 / (1 - decay)) if decay < 1 else float(steps)
    drop = most(dynamics.amount) if dynamics.reset == "soft" else _size(dynamics.rest)
    each = most(dynamics.gain) * current.most + _size(dynamics.constant) + drop
    largest = most(dynamics.threshold) + _size(dynamics.start) + each * remembered
    roundoff = torch.finfo(current.dtype).eps / 2
    return NEURON_SAFETY * roundoff * largest / least(dynamics.gain)


def _size(setting: Any) -> float:
    return max(abs(least(setting)), abs(most(setting)))


def _steps(dynamics: Dynamics, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Whether neurons surely fire, and whether they may, at every step, bool [T, N, ...] each."""
    if repeats_one_step(low) and dynamics.uniform:
        trains = trains_of(dynamics, len(low), low.dtype)
        if trains is not None:
            return trains.between(low[0].detach(), high[0].detach())
    return step_intervals(dynamics, low, high)


def _from_means(site: Site, current: Box, firing: Firing) -> SpikeBounds:
    """Means of spikes over the steps up to each one, from those of the currents.

    The potential of an IF neuron with soft reset is its charge, the sum of the currents so far,
    less what its spikes took. So their number rises with the charge."""
    steps = torch.arange(1, len(current) + 1, device=current.device, dtype=current.dtype)
    steps = steps.view(-1, *(1,) * (current.ndim - 1))
    means = []
    for end in _currents(site.dynamics, current):
        charges = end * steps
        spikes = firing(site, torch.cat([charges[:1], charges[1:] - charges[:-1]]))
        means.append(spikes.cumsum(0) / steps)
    return SpikeBounds(*means)


def _attached(bound: Tensor, spikes: Tensor) -> Tensor:
    """A bound in the dtype of spikes, with their gradient, straight through."""
    values = bound.to(spikes.dtype)
    return values + (spikes - spikes.detach()) if spikes.requires_grad else values


class Gate(torch.autograd.Function):
    """Where spikes enter the layers behind a neuron.

    Its node in the graph has the `bounds` of the spikes. While it is `closed`, gradients stop there:
    they are those of the layers between these spikes and the logits, and of no neuron."""

    @staticmethod
    def forward(ctx: Any, centre: Tensor, bounds: SpikeBounds) -> Tensor:
        ctx.bounds, ctx.closed = bounds, False
        return centre.view_as(centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        return None if ctx.closed else grad, None


class Bend(torch.autograd.Function):
    """A mark in the graph: the slope of what stands here is not the same everywhere in a box."""

    @staticmethod
    def forward(ctx: Any, centre: Tensor) -> Tensor:
        ctx.bent = True
        return centre.view_as(centre)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def bent(centre: Tensor) -> Tensor:
    """The centre of what no affine function has made, with a :class:`Bend` in its graph."""
    output: Tensor = Bend.apply(centre)  # type: ignore[no-untyped-call]
    return output


def gated(centre: Tensor, bounds: SpikeBounds) -> Tensor:
    """The centre with a :class:`Gate` at the start of the graph of what is computed of it."""
    if not torch.is_grad_enabled():
        return centre
    if not centre.requires_grad:
        centre.requires_grad_()
    output: Tensor = Gate.apply(centre, bounds)  # type: ignore[no-untyped-call]
    return output
