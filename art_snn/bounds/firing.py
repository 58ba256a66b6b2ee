"""How neurons fire in a pass of boxes: bounds of their spikes, and of how many there are.

S-IBP (Liang et al., NeurIPS 2022) bounds every step by intervals of the potential.
Under direct encoding the first current is the same at every step. So a spike train is
a function of one number, and takes few values: each belongs to a piece of the line of
currents. A neuron whose current lies in an interval has the trains of the pieces that
the interval meets. But for rounding this is exact at every step."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from art_snn.bounds.box import Box, Ends, Nonlinear, Unbounded, potential_rounding
from art_snn.bounds.margins import SpikeBounds
from art_snn.dynamics import Dynamics, Operands, operand, plus_scaled
from art_snn.gradients.base import Firing, NeuronRef, simulation
from art_snn.gradients.shared import blocks, repeat_step, repeats_one_step
from art_snn.running.context import RUN

_BUFFERS = 16
"""Tensors of one step's size in a block, which should fit into the cache."""
_MOST_PIECES = 4096
_MOST_SPANS = 1024
"""With more pieces, or spans in all, the potential's intervals are used instead."""


class BoundingMethod:
    """A way to bound the spikes of neurons, by default step by step.

    :param firing: simulates neurons, with the gradient that it has."""

    counts: ClassVar[bool]
    """True if the method also bounds the number of spikes, and means over time."""

    def __init__(self, firing: Firing = simulation) -> None:
        self.firing = firing

    def write(self, dynamics: Dynamics, low: Tensor, high: Tensor, out: Ends) -> None:
        """Write the spikes, 0 or 1, that are sure and those that are possible.

        :param low, high: the ends of the current [T, N, ...], of :func:`bound_currents`.
        :param out: buffers for both [T, N, ...]."""
        bound_steps(dynamics, low, high, out)

    def fire(self, site: NeuronRef, current: Tensor) -> Box:
        """Return the box of a neuron's spikes for the box of its currents."""
        assert isinstance(current, Box)
        dynamics = site.dynamics
        averaged = current.averaged
        if not dynamics.obeys_equations:
            raise Unbounded(dynamics.unknown or "neurons that obey other equations")
        if not current.magnitude.isfinite():
            raise Unbounded(f"currents that overflow {current.dtype}")
        if averaged and averaged != len(current):
            raise Nonlinear("neurons that take the axis of time elsewhere")

        with torch._C.DisableTorchFunction():
            if RUN.get().constant_weights:
                # Only gradients at weights need a graph of bounds, which keeps earlier
                # layers.
                current = current.without_graph()
            bounds = (self._bound_means if averaged else self._bound_spikes)(
                site, current
            )
            largest = bounds.radius.detach().new_ones(())
            if dynamics.max_spikes != 1:
                largest = (bounds.centre + bounds.radius).detach().amax() * max(
                    1, averaged
                )
            # Means over time are rounded; spikes, and halves between them, are not.
            slack = largest * (4 * torch.finfo(largest.dtype).eps if averaged else 0)
            centre = bounds.enter()
            return Box(centre, bounds.radius, slack, largest, averaged, keeps_sign=True)

    def _bound_spikes(self, site: NeuronRef, current: Box) -> SpikeBounds:
        """Bound the spikes of every step and, if the method counts, their number."""
        sure = torch.empty_like(current.centre)
        maybe = torch.empty_like(current.centre)
        with torch.no_grad():
            for rows in blocks(sure, _BUFFERS):
                low, high = bound_currents(site.dynamics, current.rows(rows))
                self.write(site.dynamics, low, high, (sure[:, rows], maybe[:, rows]))

        spikes = (
            self._simulate_ends(site, current) if current.centre.requires_grad else None
        )

        def count_spikes() -> Ends:
            # The number of spikes N never falls where the current rises:
            # N(low) <= N(x) <= N(high).
            fewest, most = spikes or self._simulate_ends(site, current)
            return fewest.sum(0), most.sum(0)

        totals = count_spikes if self.counts else None
        if spikes is None:
            radius = maybe.sub_(sure).mul_(0.5)
            return SpikeBounds(sure.add_(radius), radius, totals)

        # Values are those of the bounds, gradients those of the simulations.
        fewest, most = spikes
        low = sure + (fewest - fewest.detach())
        high = maybe + (most - most.detach())
        return SpikeBounds((low + high) / 2, (high - low) / 2, totals)

    def _simulate_ends(self, site: NeuronRef, current: Box) -> Ends:
        """Simulate the spikes [T, N, ...] of the lowest and the highest current."""
        low, high = bound_currents(site.dynamics, current)
        return self.firing(site, low), self.firing(site, high)

    def _bound_means(self, site: NeuronRef, current: Box) -> SpikeBounds:
        """Bound means of spikes over the steps up to each one by means of the currents.

        The potential of an IF neuron with soft reset is its charge, which is the sum
        of the currents so far, less what its spikes took."""
        # The number of spikes N up to each step never falls where charges rise:
        # N(charges at the lowest currents) <= N(charges).
        ends = bound_currents(site.dynamics, current)
        return SpikeBounds(*_Means.apply(*ends, site.dynamics))  # type: ignore[no-untyped-call]  # Autograd's apply has no types.


class _Means(Function):
    """Centre and radius of means of spikes of IF neurons with soft reset, up to each step.

    The inputs [T, N, ...] are the whole means of the lowest and of the highest currents.
    The number of spikes N is a staircase of the charge C, and has the slope of the ramp
    through the middles of its steps::

        N = (C - threshold) / drop + 1/2 within [0, t], by which dN/dC = 1 / drop or 0"""

    @staticmethod
    def forward(
        ctx: Any, low: Tensor, high: Tensor, dynamics: Dynamics
    ) -> tuple[Tensor, Tensor]:
        settings = Operands(dynamics, low[0])
        drop = settings.reset_amount
        threshold = settings.threshold
        halves = []
        ramps = []
        for means in (low, high):
            half = torch.empty_like(means)
            ramp = torch.empty_like(means)
            fired = torch.zeros_like(means[0])
            for t, mean in enumerate(means, 1):
                charge = mean * (settings.gain * t)
                start = dynamics.constant * t + dynamics.v_start
                if start != 0:
                    charge += operand(start, mean)
                if ctx.needs_input_grad[0]:
                    # N - 1/2 on the ramp
                    torch.sub(charge, threshold, out=ramp[t - 1]).div_(drop)
                # u[t] = C[t] - drop N[t-1]
                u = plus_scaled(charge, fired, -dynamics.reset_amount, out=charge)
                fired += dynamics._fires(u, threshold, out=u)
                torch.div(fired, 2 * t, out=half[t - 1])
            halves.append(half)
            ramps.append(ramp)

        ctx.save_for_backward(*ramps)
        ctx.most = float(dynamics.max_spikes or inf)
        ctx.slope = settings.gain / drop / 2
        fewest, most = halves
        radius = most - fewest
        return fewest.add_(most), radius

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        centre, radius = grads
        ends = (centre - radius, centre + radius)
        for grad, ramps in zip(ends, ctx.saved_tensors, strict=True):
            for t, ramp in enumerate(ramps, 1):
                limits = (-0.5, t * ctx.most - 0.5)
                slope = torch.ops.aten.hardtanh_backward(grad[t - 1], ramp, *limits)
                torch.mul(slope, ctx.slope, out=grad[t - 1])
        return (*ends, None)


class SIBP(BoundingMethod):
    """S-IBP (Liang et al., NeurIPS 2022): intervals of the potential, step by step."""

    counts = False


class Counts(BoundingMethod):
    """S-IBP, tightened by the number of spikes, which more current never lowers.

    A neuron fires at least as often as a simulation at its lowest current, and at most as
    often as one at its highest. Under direct encoding the first current is constant, and
    the bounds of each of its steps are exact but for rounding."""

    counts = True

    def write(self, dynamics: Dynamics, low: Tensor, high: Tensor, out: Ends) -> None:
        spans = None
        if repeats_one_step(low) and dynamics.uniform:
            spans = list_spans(dynamics, len(low), low.dtype)
        if spans is None:
            super().write(dynamics, low, high, out)
        else:
            write_meetings(spans, low[0], high[0], *out)


METHODS: Mapping[str, type[BoundingMethod]] = {"counts": Counts, "s-ibp": SIBP}
"""Methods by name."""


def bound_currents(dynamics: Dynamics, current: Box) -> Ends:
    """Return the lowest and the highest currents [T, N, ...].

    They include what rounding of potentials can add. Equal steps are computed once."""
    steps = len(current)
    is_constant = repeats_one_step(current.centre)
    if is_constant:
        current = current.rearrange(lambda part: part[0])
    rounding = potential_rounding(dynamics, current.magnitude, steps, current.dtype)
    # |x - m| <= r + slack + rounding
    low, high = replace(current, slack=current.slack + rounding).ends
    if is_constant:
        return repeat_step(low, steps), repeat_step(high, steps)
    return low, high


@torch.no_grad()
def bound_steps(
    dynamics: Dynamics, low: Tensor, high: Tensor, out: Ends | None = None
) -> Ends:
    """Bound the spikes of every step: those that are sure, and those that are possible.

    The intervals of the potential go from step to step. A neuron that may or may not fire
    has one of the potentials after either.

    :param low, high: the ends of the current [T, N, ...].
    :param out: buffers for the results, such as the two themselves; None makes them.
    :return: 0 or 1, or numbers of spikes, [T, N, ...] each."""
    sure, maybe = out or (torch.empty_like(low), torch.empty_like(low))
    v_low = dynamics._at_start(low[0])
    v_high = dynamics._at_start(low[0])
    spare = torch.empty_like(low[0])
    threshold = operand(dynamics.threshold, spare)
    fires = dynamics._fires
    for t, decay in enumerate(dynamics.decays(len(low))):
        # The potential u = d v + g x + c rises with v and with x, and so do spikes:
        # u(v_low, x_low) <= u <= u(v_high, x_high).
        dynamics._charge(low[t], v_low, None, v_low, decay)
        dynamics._charge(high[t], v_high, None, v_high, decay)
        fires(v_low, threshold, out=sure[t])
        fires(v_high, threshold, out=maybe[t])
        _reset(dynamics, v_low, v_high, sure[t], maybe[t], spare)
        dynamics._apply_floor(v_low)
        dynamics._apply_floor(v_high)
    return sure, maybe


def _reset(
    dynamics: Dynamics,
    low: Tensor,
    high: Tensor,
    sure: Tensor,
    maybe: Tensor,
    spare: Tensor,
) -> None:
    """Turn the ends of u into those of v before a floor, in place.

    A potential at the threshold is the highest that can be silent, and the lowest that
    can fire."""
    settings = Operands(dynamics, low)
    threshold = settings.threshold
    if dynamics.reset == "hard":
        rest = settings.v_reset
        # v >= rest where the neuron may fire and rest is lower, and v >= u otherwise.
        torch.gt(low, rest, out=spare).mul_(maybe)
        dynamics._reset(low, spare, low)
        if dynamics.resets_below:
            # v <= min(u, threshold), since a potential above fires, and rest is lower.
            high.clamp_(max=threshold)
        else:
            # v <= max(threshold, rest) where the neuron may fire, and
            # v = rest where it is sure to.
            either = torch.zeros_like(low).add_(threshold).clamp_(min=rest)
            high.addcmul_(high, maybe, value=-1)
            high.add_(maybe * either)
            dynamics._reset(low, sure, low)
        dynamics._reset(high, sure, high)
    elif dynamics.reset == "soft" and dynamics.max_spikes == 1:
        drop = settings.reset_amount
        # v >= min(u, max(u - drop, threshold - drop)) where it may fire, else v >= u.
        taken = torch.sub(low, threshold - drop, out=spare).clamp_(min=0).clamp_(max=drop)
        low.addcmul_(taken, maybe, value=-1)
        # v <= max(u - drop, min(u, threshold)), and v <= u - drop where it is sure to fire.
        taken = torch.sub(high, threshold, out=spare).clamp_(min=0).clamp_(max=drop)
        high.sub_(torch.maximum(taken, sure * drop, out=spare))
    elif dynamics.reset == "soft":
        unsure = torch.gt(maybe, sure)
        dynamics._reset(low, sure, low)
        dynamics._reset(high, maybe, high)
        # A potential at a multiple of the threshold leads to 0, one just below to the
        # threshold. So where the number of spikes is unsure
        # v >= min(v(u_low), 0) and v <= max(v(u_high), threshold).
        low.copy_(torch.where(unsure, low.clamp(max=0), low))
        high.copy_(torch.where(unsure, high.clamp(min=threshold), high))


_Spans = tuple[tuple[float, float], ...]
"""Intervals of currents that are constant over time, in ascending order."""


def write_meetings(
    steps: list[tuple[_Spans, _Spans]],
    low: Tensor,
    high: Tensor,
    sure: Tensor,
    maybe: Tensor,
) -> None:
    """Write sure and possible spikes, 0 or 1 [T, N, ...], for ends of the current [N, ...].

    :param steps: the currents that fire and those that do not, of :func:`list_spans`."""
    spare = torch.empty_like(low)
    for (firing, silent), fires, may_fire in zip(steps, sure, maybe, strict=True):
        _write_meeting(firing, low, high, spare, may_fire)
        _write_meeting(silent, low, high, spare, fires)
        fires.neg_().add_(1)


def _write_meeting(
    spans: _Spans, low: Tensor, high: Tensor, spare: Tensor, out: Tensor
) -> None:
    """Write 1 where an interval meets one of the spans, and 0 elsewhere.

    The spans that it meets are those that began before its end, minus those that ended
    before its start."""
    out.zero_()
    for start, end in spans:
        out.add_(torch.ge(high, start, out=spare))
        if end < inf:
            out.sub_(torch.gt(low, end, out=spare))
    if len(spans) > 1:
        out.clamp_(max=1)


class Piece(NamedTuple):
    """Currents between two ends with one train so far.

    :param slope, offset: the potential is slope * current + offset.
    :param decisions: whether the neuron fired at potentials of that slope and offset."""

    low: float
    high: float
    slope: float
    offset: float
    train: tuple[bool, ...]
    decisions: dict[tuple[float, float], bool]


def list_pieces(dynamics: Dynamics, steps: int, dtype: torch.dtype) -> list[Piece] | None:
    """List constant currents by their trains of T steps, lowest first; None if too many.

    Pieces overlap by what rounding in `dtype` can do. After a hard reset the potential
    repeats itself bit for bit, and so do the decisions.

    :param dynamics: with one setting for the whole layer."""
    pieces = [Piece(-inf, inf, 0.0, float(dynamics.v_start), (), {})]
    for _ in range(steps):
        before = pieces
        pieces = []
        for piece in before:
            pieces += _next_pieces(dynamics, piece, steps, dtype)
        if len(pieces) > _MOST_PIECES:
            return None
    return sorted(pieces, key=lambda piece: (piece.low, piece.high))


def _next_pieces(
    dynamics: Dynamics, piece: Piece, steps: int, dtype: torch.dtype
) -> list[Piece]:
    """Divide a piece by its next step: where the neuron is silent, and where it fires."""
    slope = dynamics.decay * piece.slope + dynamics.gain
    offset = dynamics.decay * piece.offset + dynamics.constant
    crossing = (dynamics.threshold - offset) / slope
    rounding = potential_rounding(dynamics, abs(crossing), steps, dtype)
    decided = piece.decisions.get((slope, offset))
    after = []
    for fires in (False, True) if decided is None else (decided,):
        # slope x + offset >= threshold where the neuron fires, and <= where it is silent.
        low = piece.low
        high = piece.high
        if fires:
            low = max(low, crossing - rounding)
        else:
            high = min(high, crossing + rounding)
        if low >= high:
            continue

        decisions = piece.decisions
        potential = (slope, offset)
        if dynamics.reset == "hard":
            decisions = decisions | {potential: fires}
            if fires:
                potential = (0.0, float(dynamics.v_reset))
        elif dynamics.reset == "soft" and fires:
            potential = (slope, offset - dynamics.reset_amount)
        after.append(Piece(low, high, *potential, (*piece.train, fires), decisions))
    return after


@lru_cache(maxsize=64)
def list_spans(
    dynamics: Dynamics, steps: int, dtype: torch.dtype
) -> list[tuple[_Spans, _Spans]] | None:
    """List by step the constant currents that fire, and those that do not; None if too many.

    The spans of both overlap where rounding decides. The arguments are those of
    :func:`list_pieces`."""
    pieces = list_pieces(dynamics, steps, dtype)
    if pieces is None:
        return None
    spans = []
    for t in range(steps):
        firing = _join([piece for piece in pieces if piece.train[t]])
        silent = _join([piece for piece in pieces if not piece.train[t]])
        spans.append((firing, silent))
    if sum(len(firing) + len(silent) for firing, silent in spans) > _MOST_SPANS:
        return None
    return spans


def _join(pieces: list[Piece]) -> _Spans:
    """Join the currents of pieces, which are in order, where they touch."""
    spans = list[tuple[float, float]]()
    for piece in pieces:
        low = piece.low
        high = piece.high
        if spans and low <= spans[-1][1]:
            low, end = spans.pop()
            high = max(end, high)
        spans.append((low, high))
    return tuple(spans)
