"""How neurons fire in a pass of boxes: bounds of their spikes, and of how many there are.

Step by step it is S-IBP (Liang et al., NeurIPS 2022): intervals of the potential. Under direct
encoding the first current is the same at every step. A spike train is then a function of one
number, and takes few values: the pieces of a line. An interval of the current has the trains of the
pieces that it meets. At every step this is exact but for rounding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from types import MappingProxyType

import torch
from torch import Tensor

from art_snn.bounds.box import Box, Enclosure, Nonlinear, Unbounded, count_steps, potential_rounding
from art_snn.bounds.margins import SpikeBounds
from art_snn.dynamics import Dynamics, operand, plus_scaled
from art_snn.gradients.base import Firing, NeuronRef, simulation
from art_snn.gradients.shared import blocks, repeat_step, repeats_one_step
from art_snn.running.run import RUN

_BUFFERS = 16
"""Tensors of one step's size in a block, which should fit into the cache."""
_MOST_PIECES = 4096
_MOST_SPANS = 1024
"""With more pieces, or spans in all, the potential's intervals are used instead."""

_Ends = tuple[Tensor, Tensor]
"""What is lowest or fewest, and what is highest or most."""
_Span = tuple[float, float]


class Method:
    """A way to bound the spikes of neurons; this one is S-IBP (Liang et al., NeurIPS 2022).

    :param firing: simulates neurons, with the gradient that it has."""

    averages = False
    """IF neurons with soft reset are bounded from means over time alone."""
    counts = False
    """Spikes are also counted over all steps."""

    def __init__(self, firing: Firing = simulation) -> None:
        self.firing = firing

    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        """Write sure and possible spikes, 0 or 1, here by intervals of the potential.

        :param current: [T, N, ...].
        :param sure, maybe: buffers [T, N, ...]."""
        low, high = (end.expand_as(sure) for end in _ends(dynamics, current))
        bound_steps(dynamics, low, high, (sure, maybe))

    def fire(self, site: NeuronRef, current: Tensor) -> Tensor:
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
            if dynamics.max_spikes != 1:
                one = (bounds.centre + bounds.radius).detach().amax() * max(1, averaged)
            # Means over time are rounded; spikes, and halves between them, are not.
            slack = one * (4 * torch.finfo(one.dtype).eps if averaged else 0)
            enclosure = Enclosure(bounds.radius, slack, one, averaged, unmixed=True)
            return Box.around(bounds.enter(), enclosure)

    def _bound_spikes(self, site: NeuronRef, current: Box) -> SpikeBounds:
        """Bounds of every step, and, where spikes are counted, of their number."""
        dynamics, held = site.dynamics, RUN.get().constant_weights or not torch.is_grad_enabled()
        if held:
            # A graph of bounds is for gradients at weights, and keeps what lies before.
            current = current.without_graph()
        sure, maybe = (torch.empty_like(current.centre, requires_grad=False) for _ in range(2))
        with torch.no_grad():
            for rows in blocks(sure, _BUFFERS):
                self.write(dynamics, current.rows(rows), sure[:, rows], maybe[:, rows])
        spikes = None if held else self._simulate_ends(site, current)

        def totals() -> _Ends:
            low, high = spikes or self._simulate_ends(site, current)
            return low.sum(0), high.sum(0)

        counts = totals if self.counts else None
        if spikes is None:
            radius = maybe.sub_(sure).mul_(0.5)
            return SpikeBounds(sure.add_(radius), radius, counts)
        low, high = (b + (s - s.detach()) for b, s in zip((sure, maybe), spikes, strict=True))
        return SpikeBounds((low + high) / 2, (high - low) / 2, counts)

    def _simulate_ends(self, site: NeuronRef, current: Box) -> _Ends:
        """Spikes [T, N, ...] at the lowest and at the highest current."""
        low, high = _ends_over_time(site.dynamics, current)
        return self.firing(site, low), self.firing(site, high)

    def _bound_means(self, site: NeuronRef, current: Box) -> SpikeBounds:
        """Means of spikes over the steps up to each one, from those of the currents.

        The potential of an IF neuron with soft reset is its charge, the sum of the currents so far,
        less what its spikes took. So their number rises with the charge."""
        steps = count_steps(current)
        if RUN.get().constant_weights:
            current = current.without_graph()

        means = []
        for end in _ends_over_time(site.dynamics, current):
            charges = end * steps
            spikes = self.firing(site, charges.diff(dim=0, prepend=torch.zeros_like(charges[:1])))
            means.append(spikes.cumsum(0) / steps)
        low, high = means
        return SpikeBounds((low + high) / 2, (high - low) / 2)


class SpikeCounts(Method):
    """S-IBP, tightened by the number of spikes, which more current never lowers.

    A neuron fires at least as often as a simulation at its lowest current, and at most as often as
    one at its highest. Under direct encoding the first current is constant, and the bounds of each
    of its steps are exact but for rounding."""

    averages = counts = True

    def write(self, dynamics: Dynamics, current: Box, sure: Tensor, maybe: Tensor) -> None:
        trains = None
        if repeats_one_step(current.centre) and dynamics.uniform:
            trains = _list_trains(dynamics, len(current), current.dtype)
        if trains is None:
            super().write(dynamics, current, sure, maybe)
        else:
            write_trains(trains, *_ends(dynamics, current), sure, maybe)


METHODS: Mapping[str, type[Method]] = MappingProxyType({"counts": SpikeCounts, "s-ibp": Method})
"""Methods by name."""


def _ends(dynamics: Dynamics, current: Box) -> _Ends:
    """Lowest and highest currents [T, N, ...], one step [N, ...] where all are the same.

    They include what rounding of potentials can add."""
    steps = len(current)
    if repeats_one_step(current.centre):
        current = current.rearrange(lambda part: part[0])
    enclosure = current.enclosure
    rounding = potential_rounding(dynamics, current.magnitude, steps, current.dtype)
    # |x - m| <= r + slack + rounding
    radius = enclosure.radius + (enclosure.slack + rounding)
    return current.centre - radius, current.centre + radius


def _ends_over_time(dynamics: Dynamics, current: Box) -> _Ends:
    """Lowest and highest currents [T, N, ...]."""
    low, high = _ends(dynamics, current)
    if repeats_one_step(current.centre):
        return repeat_step(low, len(current)), repeat_step(high, len(current))
    return low, high


@torch.no_grad()
def bound_steps(dynamics: Dynamics, low: Tensor, high: Tensor, out: _Ends | None = None) -> _Ends:
    """Sure spikes and possible ones at every step, 0 or 1 [T, N, ...] each.

    The intervals of the potential go from step to step. A neuron that may or may not fire has the
    potential after either.

    :param low, high: ends of the current [T, N, ...].
    :param out: buffers for the results, such as the two themselves; None to make them."""
    sure, maybe = out or (torch.empty_like(low), torch.empty_like(low))
    v_low, v_high = dynamics._at_start(low[0]), dynamics._at_start(low[0])
    spare, decays = torch.empty_like(low[0]), dynamics.decays(len(low))
    fires, threshold = dynamics._fires, operand(dynamics.threshold, v_low)
    for t in range(len(low)):
        # d v + g x + c rises with v and with x, and so does the spike with the potential.
        dynamics._charge(low[t], v_low, None, v_low, decays[t])
        dynamics._charge(high[t], v_high, None, v_high, decays[t])
        fires(v_low, threshold, out=sure[t])
        fires(v_high, threshold, out=maybe[t])
        if dynamics.reset == "hard":
            _reset_hard(dynamics, v_low, v_high, sure[t], maybe[t], spare)
        elif dynamics.reset == "soft":
            _reset_soft(dynamics, v_low, v_high, sure[t], maybe[t], spare)
        dynamics._apply_floor(v_low)
        dynamics._apply_floor(v_high)
    return sure, maybe


def _reset_hard(
    dynamics: Dynamics, low: Tensor, high: Tensor, sure: Tensor, maybe: Tensor, spare: Tensor
) -> None:
    """From u to v in place. The highest potential that can be silent is at the threshold."""
    threshold, rest = (operand(value, low) for value in (dynamics.threshold, dynamics.v_reset))
    # v >= rest where the neuron may fire and rest is lower, and v >= u otherwise.
    torch.gt(low, rest, out=spare).mul_(maybe)
    dynamics._reset(low, spare, low)
    if dynamics.resets_below:
        # v <= min(u, threshold), since a potential above fires, and rest is lower.
        high.clamp_(max=threshold)
    else:
        # v <= max(threshold, rest) where the neuron may fire; v = rest where it is sure to.
        either = torch.maximum(torch.zeros_like(low).add_(threshold), spare.fill_(0).add_(rest))
        plus_scaled(high.addcmul_(high, maybe, value=-1), maybe * either, 1, out=high)
        low.copy_(torch.where(sure > 0, spare, low))
    dynamics._reset(high, sure, high)


def _reset_soft(
    dynamics: Dynamics, low: Tensor, high: Tensor, sure: Tensor, maybe: Tensor, spare: Tensor
) -> None:
    """From u to v in place. The lowest potential that can fire is at the threshold.

    Where a number of spikes is unsure, one at a threshold leads to 0, one just below to it."""
    if dynamics.max_spikes != 1:
        dynamics._reset(low, sure, low)
        dynamics._reset(high, maybe, high)
        threshold, unsure = operand(dynamics.threshold, low), torch.gt(maybe, sure)
        low.copy_(torch.where(unsure, low.clamp(max=0), low))
        high.copy_(torch.where(unsure, high.clamp(min=threshold), high))
        return
    threshold, drop = (operand(value, low) for value in (dynamics.threshold, dynamics.reset_amount))
    # v >= min(u, max(u - drop, threshold - drop)) where the neuron may fire, else v >= u.
    taken = torch.sub(low, threshold - drop, out=spare).clamp_(min=0).clamp_(max=drop)
    low.addcmul_(taken, maybe, value=-1)
    # v <= max(u - drop, min(u, threshold)), and v <= u - drop where the neuron is sure to fire.
    taken = torch.sub(high, threshold, out=spare).clamp_(min=0).clamp_(max=drop)
    high.sub_(torch.maximum(taken, sure * drop, out=spare))


_Trains = tuple[list[tuple[_Span, ...]], list[tuple[_Span, ...]]]
"""Per step the intervals of currents, constant over time, with a spike, and those without one, in
ascending order; next to each other they overlap, by what rounding can do."""


def write_trains(trains: _Trains, low: Tensor, high: Tensor, sure: Tensor, maybe: Tensor) -> None:
    """Write sure and possible spikes, 0 or 1 [T, N, ...], for ends of the current [N, ...]."""
    spare = torch.empty_like(low)
    for firing, silent, fires, may_fire in zip(*trains, sure, maybe, strict=True):
        _write_meeting(firing, low, high, spare, may_fire)
        _write_meeting(silent, low, high, spare, fires)
        fires.neg_().add_(1)


def _write_meeting(
    spans: tuple[_Span, ...], low: Tensor, high: Tensor, spare: Tensor, out: Tensor
) -> None:
    """Write 1 where an interval meets one of the spans, which are in order, and 0 elsewhere.

    As many have begun by its end as there are, less those over before its start."""
    if not spans:
        out.zero_()
    for i, (start, end) in enumerate(spans):
        if i == 0:
            torch.ge(high, start, out=out)
        else:
            out.add_(torch.ge(high, start, out=spare))
        if end < inf:
            out.sub_(torch.gt(low, end, out=spare))
    if len(spans) > 1:
        out.clamp_(max=1)


@dataclass(frozen=True)
class Piece:
    """Currents between two ends with one train so far; the potential is slope * current + offset.

    :param decisions: whether the neuron fired at potentials of that slope and offset."""

    low: float
    high: float
    slope: float
    offset: float
    train: tuple[bool, ...] = ()
    decisions: dict[tuple[float, float], bool] = field(default_factory=dict)


@lru_cache(maxsize=64)
def list_pieces(dynamics: Dynamics, steps: int, dtype: torch.dtype) -> list[Piece] | None:
    """Constant currents by their trains of T steps, lowest first; None where there are too many.

    Pieces overlap by what rounding in `dtype` can do. After a hard reset the potential repeats
    itself bit for bit, and so do the decisions.

    :param dynamics: with one setting for the whole layer."""
    pieces = [Piece(-inf, inf, 0.0, float(dynamics.v_start))]
    for _ in range(steps):
        pieces = [
            after for piece in pieces for after in _next_pieces(dynamics, piece, steps, dtype)
        ]
        if len(pieces) > _MOST_PIECES:
            return None
    return sorted(pieces, key=lambda piece: (piece.low, piece.high))


@lru_cache(maxsize=64)
def _list_trains(dynamics: Dynamics, steps: int, dtype: torch.dtype) -> _Trains | None:
    """The trains of :func:`list_pieces`, step by step; None where there are too many."""
    pieces = list_pieces(dynamics, steps, dtype)
    if pieces is None:
        return None
    firing, silent = (
        [_join([p for p in pieces if p.train[t] == fires]) for t in range(steps)]
        for fires in (True, False)
    )
    return (firing, silent) if sum(map(len, firing + silent)) <= _MOST_SPANS else None


def _next_pieces(dynamics: Dynamics, piece: Piece, steps: int, dtype: torch.dtype) -> list[Piece]:
    """The pieces after one step: one where the neuron is silent, one where it fires, or both."""
    slope = dynamics.decay * piece.slope + dynamics.gain
    offset = dynamics.decay * piece.offset + dynamics.constant
    crossing = (dynamics.threshold - offset) / slope
    span = potential_rounding(dynamics, abs(crossing), steps, dtype)
    decided = piece.decisions.get((slope, offset))
    after = []
    for fires in (False, True) if decided is None else (decided,):
        # The current times slope is at least threshold - offset where the neuron fires, and at
        # most that where it is silent.
        low, high = piece.low, piece.high
        if fires:
            low = max(low, crossing - span)
        else:
            high = min(high, crossing + span)
        if low >= high:
            continue

        decisions = piece.decisions
        potential = (slope, offset)
        if dynamics.reset == "hard":
            decisions = decisions | {potential: fires}
        if fires and dynamics.reset == "hard":
            potential = (0.0, float(dynamics.v_reset))
        elif fires and dynamics.reset == "soft":
            potential = (slope, offset - dynamics.reset_amount)
        after.append(Piece(low, high, *potential, (*piece.train, fires), decisions))
    return after


def _join(pieces: list[Piece]) -> tuple[_Span, ...]:
    """The currents of pieces, which are in order, those that touch in one."""
    spans: list[_Span] = []
    for piece in pieces:
        if spans and piece.low <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], piece.high))
        else:
            spans.append((piece.low, piece.high))
    return tuple(spans)
