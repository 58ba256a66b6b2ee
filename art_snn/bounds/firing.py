"""How neurons fire in a pass of boxes: bounds of their spikes, and of how many there are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Enclosure, Nonlinear, Unbounded
from art_snn.bounds.intervals import BUFFERS, bound_steps, list_trains
from art_snn.bounds.margins import SpikeBounds, enter_spikes
from art_snn.bounds.rounding import potential_rounding
from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Firing, Site, simulation
from art_snn.gradients.fixed import weights_held
from art_snn.gradients.shared import blocks, repeat_step, repeats_one_step


class Method(ABC):
    """A way to bound the spikes of neurons.

    :param firing: simulates neurons, with the gradient that it has."""

    averages = False
    """IF neurons with soft reset are bounded from means over time alone."""
    counts = False
    """Spikes are also counted over all steps."""

    def __init__(self, firing: Firing = simulation) -> None:
        self.firing = firing

    @abstractmethod
    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        """Write sure and possible spikes, 0 or 1.

        :param current: [T, N, ...].
        :param sure, maybe: buffers [T, N, ...]."""

    def fire(self, site: Site, current: Tensor) -> Tensor:
        """The box of the spikes of a neuron, from that of its current."""
        assert isinstance(current, Box)
        dynamics, averaged = site.dynamics, current.enclosure.averaged
        if not dynamics.obeys_equations:
            raise Unbounded(dynamics.unknown or "neurons that obey other equations")
        if not current.magnitude.isfinite():
            raise Unbounded(f"currents that overflow {current.dtype}")
        if averaged and averaged != len(current):
            raise Nonlinear("neurons that take the axis of time elsewhere")
        with torch._C.DisableTorchFunction():
            bounds = (self._bound_means if averaged else self._bound_spikes)(site, current)
            one = bounds.radius.detach().new_ones(())
            # Means over time are rounded; spikes, and halves between them, are not.
            slack = one * (4 * torch.finfo(one.dtype).eps if averaged else 0)
            enclosure = Enclosure(bounds.radius, slack, one, averaged, unmixed=True)
            return Box.around(enter_spikes(bounds), enclosure)

    def _bound_spikes(self, site: Site, current: Box) -> SpikeBounds:
        """Bounds of every step, and, where spikes are counted, of their number."""
        dynamics, held = site.dynamics, weights_held() or not torch.is_grad_enabled()
        if held:
            # A graph of bounds is for gradients at weights, and keeps what lies before.
            current = current.without_graph()
        sure, maybe = (torch.empty_like(current.centre, requires_grad=False) for _ in range(2))
        with torch.no_grad():
            for rows in blocks(sure, BUFFERS):
                self.write(dynamics, current.rows(rows), sure[:, rows], maybe[:, rows])
        spikes = None if held else self._simulate_ends(site, current)

        def totals() -> tuple[Tensor, Tensor]:
            low, high = spikes or self._simulate_ends(site, current)
            return low.sum(0), high.sum(0)

        counts = totals if self.counts else None
        if spikes is None:
            radius = maybe.sub_(sure).mul_(0.5)
            return SpikeBounds(sure.add_(radius), radius, counts)
        low, high = (b + (s - s.detach()) for b, s in zip((sure, maybe), spikes, strict=True))
        return SpikeBounds((low + high) / 2, (high - low) / 2, counts)

    def _simulate_ends(self, site: Site, current: Box) -> tuple[Tensor, Tensor]:
        """Spikes [T, N, ...] at the lowest and at the highest current."""
        low, high = _ends_over_time(site.dynamics, current)
        return self.firing(site, low), self.firing(site, high)

    def _bound_means(self, site: Site, current: Box) -> SpikeBounds:
        """Means of spikes over the steps up to each one, from those of the currents.

        The potential of an IF neuron with soft reset is its charge, the sum of the currents so far,
        less what its spikes took. So their number rises with the charge."""
        steps = torch.arange(1, len(current) + 1, device=current.device, dtype=current.dtype)
        steps, means = steps.view(-1, *(1,) * (current.ndim - 1)), []
        if weights_held():
            current = current.without_graph()
        for end in _ends_over_time(site.dynamics, current):
            charges = end * steps
            spikes = self.firing(site, torch.cat([charges[:1], charges[1:] - charges[:-1]]))
            means.append(spikes.cumsum(0) / steps)
        low, high = means
        return SpikeBounds((low + high) / 2, (high - low) / 2)


class _StepIntervals(Method):
    """S-IBP (Liang et al., NeurIPS 2022): intervals of the potential, step by step."""

    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        low, high = (end.expand_as(sure) for end in _ends(dynamics, current))
        bound_steps(dynamics, low, high, (sure, maybe))


class _SpikeCounts(_StepIntervals):
    """S-IBP, tightened by the number of spikes, which more current never lowers.

    A neuron fires at least as often as a simulation at its lowest current, and at most as often as
    one at its highest. Under direct encoding the first current is constant, and the bounds of each
    of its steps are exact but for rounding."""

    averages = counts = True

    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        trains = None
        if repeats_one_step(current.centre) and dynamics.uniform:
            trains = list_trains(dynamics, len(current), current.dtype)
        if trains is None:
            super().write(dynamics, current, sure, maybe)
        else:
            trains.bound(*_ends(dynamics, current), (sure, maybe))


METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {"counts": _SpikeCounts, "s-ibp": _StepIntervals}
)
"""Methods by name."""


def _ends(dynamics: Dynamics, current: Box) -> tuple[Tensor, Tensor]:
    """Lowest and highest currents [T, N, ...], one step [N, ...] where all are the same.

    They include what rounding of potentials can add."""
    steps = len(current)
    if repeats_one_step(current.centre):
        current = current.rearrange(lambda part: part[0])
    enclosure = current.enclosure
    rounding = potential_rounding(dynamics, current.magnitude, steps, current.dtype)
    radius = enclosure.radius + (enclosure.slack + rounding)
    return current.centre - radius, current.centre + radius


def _ends_over_time(dynamics: Dynamics, current: Box) -> tuple[Tensor, Tensor]:
    """Lowest and highest currents [T, N, ...]."""
    low, high = _ends(dynamics, current)
    if not repeats_one_step(current.centre):
        return low, high
    return repeat_step(low, len(current)), repeat_step(high, len(current))
