"""How neurons fire in a pass of boxes: bounds of their spikes, and of how many there are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded
from art_snn.bounds.gates import SpikeBounds, Totals, gated
from art_snn.bounds.intervals import BUFFERS, step_intervals
from art_snn.bounds.trains import trains_of
from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Firing, Site, simulation
from art_snn.gradients.fixed import weights_held
from art_snn.gradients.shared import blocks, repeat_step, repeats_one_step
from art_snn.values import least, most

NEURON_SAFETY = 16
"""Units of roundoff per term of a potential: of the network's simulation, and of the bounds."""


class Method(ABC):
    """A way to bound the spikes of neurons.

    :param firing: simulates neurons, with the gradient that it has."""

    averages = False
    """Whether IF neurons with soft reset are bounded from means over time alone."""
    counts = False
    """Whether spikes are also counted over all steps."""

    def __init__(self, firing: Firing = simulation) -> None:
        self.firing = firing

    @abstractmethod
    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        """Write whether neurons surely fire, and whether they may, 0 or 1.

        :param current: [T, N, ...].
        :param sure, maybe: buffers [T, N, ...]."""

    def fire(self, site: Site, current: Tensor) -> Tensor:
        """The firing of a neuron in a pass of boxes."""
        assert isinstance(current, Box)
        dynamics, averaged = site.dynamics, current.spread.averaged
        if not dynamics.obeys_equations:
            raise Unbounded(dynamics.unknown or "neurons that obey other equations")
        if not current.most.isfinite():
            raise Unbounded(f"currents that overflow {current.dtype}")
        if averaged and averaged != len(current):
            raise Nonlinear("neurons that take the axis of time elsewhere")
        with torch._C.DisableTorchFunction():
            bounds = (self._from_means if averaged else self._bounds)(site, current)
            one = bounds.radius.detach().new_ones(())
            # Means over time are rounded; spikes, and halves between them, are not.
            slack = one * (4 * torch.finfo(one.dtype).eps if averaged else 0)
            spread = Spread(bounds.radius, slack, one, averaged, unmixed=True)
            return Box.around(gated(bounds), spread)

    def _bounds(self, site: Site, current: Box) -> SpikeBounds:
        dynamics, held = site.dynamics, weights_held() or not torch.is_grad_enabled()
        if held:
            # A graph of bounds is for gradients at weights, and keeps what lies before.
            current = current.detached()
        sure, maybe = (torch.empty_like(current.centre, requires_grad=False) for _ in range(2))
        with torch.no_grad():
            for rows in blocks(sure, BUFFERS):
                self.write(dynamics, current.rows(rows), sure[:, rows], maybe[:, rows])
        if held:
            radius = maybe.sub_(sure).mul_(0.5)
            simulate = partial(self._simulations, site, current)
            return SpikeBounds(
                sure.add_(radius), radius, _totals(simulate) if self.counts else None
            )
        spikes = self._simulations(site, current)
        low, high = (b + (s - s.detach()) for b, s in zip((sure, maybe), spikes, strict=True))
        totals = _totals(lambda: spikes) if self.counts else None
        return SpikeBounds((low + high) / 2, (high - low) / 2, totals)

    def _simulations(self, site: Site, current: Box) -> tuple[Tensor, Tensor]:
        """Spikes [T, N, ...] at the lowest and at the highest current."""
        low, high = _currents(site.dynamics, current)
        return self.firing(site, low), self.firing(site, high)

    def _from_means(self, site: Site, current: Box) -> SpikeBounds:
        """Means of spikes over the steps up to each one, from those of the currents.

        The potential of an IF neuron with soft reset is its charge, the sum of the currents so far,
        less what its spikes took. So their number rises with the charge."""
        steps = torch.arange(1, len(current) + 1, device=current.device, dtype=current.dtype)
        steps, means = steps.view(-1, *(1,) * (current.ndim - 1)), []
        if weights_held():
            current = current.detached()
        for end in _currents(site.dynamics, current):
            charges = end * steps
            spikes = self.firing(site, torch.cat([charges[:1], charges[1:] - charges[:-1]]))
            means.append(spikes.cumsum(0) / steps)
        low, high = means
        return SpikeBounds((low + high) / 2, (high - low) / 2)


class StepIntervals(Method):
    """S-IBP (Liang et al., NeurIPS 2022): intervals of the potential, step by step."""

    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        current, reach = _reach(dynamics, current)
        torch.sub(current.centre.expand_as(sure), reach, out=sure)
        torch.add(current.centre.expand_as(sure), reach, out=maybe)
        step_intervals(dynamics, sure, maybe, (sure, maybe))


class SpikeCounts(StepIntervals):
    """S-IBP, tightened by the number of spikes, which more current never lowers.

    A neuron fires at least as often as a simulation at its lowest current, and at most as often as
    one at its highest. Behind direct encoding the first current is constant, and the bounds of each
    of its steps are exact but for rounding."""

    averages = counts = True

    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        trains = None
        if repeats_one_step(current.centre) and dynamics.uniform:
            trains = trains_of(dynamics, len(current), current.dtype)
        if trains is None:
            super().write(dynamics, current, sure, maybe)
        else:
            step, reach = _reach(dynamics, current)
            trains.between(step.centre - reach, step.centre + reach, (sure, maybe))


METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {"counts": SpikeCounts, "s-ibp": StepIntervals}
)
"""Methods by name."""


def _reach(dynamics: Dynamics, current: Box) -> tuple[Box, Tensor]:
    """The current [T, N, ...], one step [N, ...] where all are the same, and how far it reaches.

    The reach includes what rounding of potentials can add to it."""
    steps = len(current)
    if repeats_one_step(current.centre):
        current = current.mapped(lambda part: part[0])
    spread = current.spread
    return current, spread.radius + (spread.slack + _rounding(dynamics, current, steps))


def _currents(dynamics: Dynamics, current: Box) -> tuple[Tensor, Tensor]:
    """Lowest and highest currents [T, N, ...]."""
    step, reach = _reach(dynamics, current)
    ends = step.centre - reach, step.centre + reach
    if step is current:
        return ends
    return repeat_step(ends[0], len(current)), repeat_step(ends[1], len(current))


def _rounding(dynamics: Dynamics, current: Box, steps: int) -> Tensor:
    """The change of a current that does to a potential what rounding does.

    A computed potential is decay v + gain x + constant but for one roundoff per term, and so is
    that of the exact dynamics at another current. The terms are sums of at most T currents."""
    decay = most(dynamics.decay)
    remembered = min(float(steps), 1 / (1 - decay)) if decay < 1 else float(steps)
    drop = most(dynamics.amount) if dynamics.reset == "soft" else _size(dynamics.rest)
    each = most(dynamics.gain) * current.most + _size(dynamics.constant) + drop
    largest = most(dynamics.threshold) + _size(dynamics.start) + each * remembered
    roundoff = torch.finfo(current.dtype).eps / 2
    return NEURON_SAFETY * roundoff * largest / least(dynamics.gain)


def _size(setting: Any) -> float:
    return max(abs(least(setting)), abs(most(setting)))


def _totals(simulate: Callable[[], tuple[Tensor, Tensor]]) -> Totals:
    """The fewest and the most spikes over all steps [N, ...], once they are asked for."""

    def totals() -> tuple[Tensor, Tensor]:
        low, high = simulate()
        return low.sum(0), high.sum(0)

    return totals
