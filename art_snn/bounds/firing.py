"""How neurons fire in a pass of boxes: bounds of their spikes, and of how many there are."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded, nothing
from art_snn.bounds.currents import currents, reach_of, rounding_of
from art_snn.bounds.departures import Departure
from art_snn.bounds.gates import SpikeBounds, Totals, gated
from art_snn.bounds.intervals import BUFFERS, flip_intervals, step_intervals
from art_snn.bounds.trains import trains_of
from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Firing, Site, simulation
from art_snn.gradients.fixed import weights_held
from art_snn.gradients.shared import blocks, repeats_one_step

Ends = tuple[Tensor, Tensor]


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
            away = current.spread.away
            assert away is None or isinstance(away, Departure)
            narrow = current if away is None else away.narrowed(current)
            bounds = (self._from_means if averaged else self._bounds)(site, narrow)
            one = bounds.radius.detach().new_ones(())
            # Means over time are rounded; spikes, and halves between them, are not.
            slack = one * (4 * torch.finfo(one.dtype).eps if averaged else 0)
            behind = None if away is None else self._departure(site, away)
            spread = Spread(bounds.radius, slack, one, averaged, away=behind, unmixed=True)
            return Box.around(gated(bounds), spread)

    def _departure(self, site: Site, away: Departure) -> Departure | None:
        """How spikes differ from those without flips, of which rounding leaves few unsure."""
        if away.window is None:
            return None
        dynamics, current = site.dynamics, away.clean
        sure, maybe = (torch.empty_like(current.centre, requires_grad=False) for _ in range(2))
        with torch.no_grad():
            self.write(dynamics, current.detached(), sure, maybe)
        radius = (maybe - sure) / 2
        if not radius.any():
            radius = nothing(radius, radius.shape)
        centre = (sure + maybe) / 2
        if torch.is_grad_enabled() and not weights_held():
            spikes = self.firing(site, current.centre)
            centre = centre + (spikes - spikes.detach())
        one = sure.new_ones(())
        clean = Box.around(centre, Spread(radius, sure.new_zeros(()), one, unmixed=True))
        return Departure(clean, away.count, away.window)

    def _bounds(self, site: Site, current: Box) -> SpikeBounds:
        dynamics, held = site.dynamics, weights_held() or not torch.is_grad_enabled()
        if held:
            # A graph of bounds is for gradients at weights, and keeps what lies before.
            current = current.detached()
        sure, maybe = (torch.empty_like(current.centre, requires_grad=False) for _ in range(2))
        with torch.no_grad():
            for rows in blocks(sure, BUFFERS * _numbers(current)):
                self.write(dynamics, current.rows(rows), sure[:, rows], maybe[:, rows])
        steps = None if current.spread.away is None else (sure.sum(0), maybe.sum(0))
        if held:
            simulate, radius = partial(self._simulations, site, current), maybe.sub_(sure).mul_(0.5)
            return SpikeBounds(sure.add_(radius), radius, self._totals(simulate, steps))
        spikes = self._simulations(site, current)
        low, high = (b + (s - s.detach()) for b, s in zip((sure, maybe), spikes, strict=True))
        totals = self._totals(lambda: spikes, steps)
        return SpikeBounds((low + high) / 2, (high - low) / 2, totals)

    def _totals(self, simulate: Callable[[], Ends], steps: Ends | None) -> Totals | None:
        """The fewest and the most spikes over all steps [N, ...], once they are asked for.

        :param steps: sums of the bounds of steps, where they can be sharper than simulations."""

        def totals() -> Ends:
            low, high = (spikes.sum(0) for spikes in simulate())
            if steps is None:
                return low, high
            return torch.maximum(low, steps[0]), torch.minimum(high, steps[1])

        return totals if self.counts else None

    def _simulations(self, site: Site, current: Box) -> tuple[Tensor, Tensor]:
        """Spikes [T, N, ...] at the lowest and at the highest current."""
        low, high = currents(site.dynamics, current)
        return self.firing(site, low), self.firing(site, high)

    def _from_means(self, site: Site, current: Box) -> SpikeBounds:
        """Means of spikes over the steps up to each one, from those of the currents.

        The potential of an IF neuron with soft reset is its charge, the sum of the currents so far,
        less what its spikes took. So their number rises with the charge."""
        steps = torch.arange(1, len(current) + 1, device=current.device, dtype=current.dtype)
        steps, means = steps.view(-1, *(1,) * (current.ndim - 1)), []
        if weights_held():
            current = current.detached()
        for end in currents(site.dynamics, current):
            charges = end * steps
            spikes = self.firing(site, torch.cat([charges[:1], charges[1:] - charges[:-1]]))
            means.append(spikes.cumsum(0) / steps)
        low, high = means
        return SpikeBounds((low + high) / 2, (high - low) / 2)


def _numbers(current: Box) -> int:
    """Of flips at a step for which potentials have intervals; 1 without flips."""
    away = current.spread.away
    return len(away.fewer or ()) + 2 if isinstance(away, Departure) else 1


class StepIntervals(Method):
    """S-IBP (Liang et al., NeurIPS 2022): intervals of the potential, step by step."""

    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        away = current.spread.away
        if isinstance(away, Departure):
            rounding = rounding_of(dynamics, current, len(current))
            flip_intervals(dynamics, away.by_flips(current, rounding), (sure, maybe))
            return
        current, reach = reach_of(dynamics, current)
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
            step, reach = reach_of(dynamics, current)
            trains.between(step.centre - reach, step.centre + reach, (sure, maybe))


METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {"counts": SpikeCounts, "s-ibp": StepIntervals}
)
"""Methods by name."""
