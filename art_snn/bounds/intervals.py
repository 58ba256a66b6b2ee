"""Intervals of spikes from those of currents.

Step by step it is S-IBP (Liang et al., NeurIPS 2022): intervals of the potential. Under direct
encoding the first current is the same at every step. A spike train is then a function of one
number, and takes few values: the pieces of a line. An interval of the current has the trains of the
pieces that it meets. At every step this is exact but for rounding."""

from dataclasses import dataclass, field
from functools import lru_cache
from math import inf

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics, operand, plus_scaled

BUFFERS = 16
"""Tensors of one step's size in a block, which should fit into the cache."""
_MOST_PIECES = 4096
_MOST_SPANS = 1024
"""With more pieces, or spans in all, the potential's intervals are used instead."""

_Pair = tuple[Tensor, Tensor]
_Span = tuple[float, float]


@torch.no_grad()
def bound_steps(
    dynamics: Dynamics, low: Tensor, high: Tensor, out: _Pair | None = None
) -> tuple[Tensor, Tensor]:
    """Sure spikes and possible ones at every step, 0 or 1 [T, N, ...] each.

    The intervals of the potential go from step to step. A neuron that may or may not fire has the
    potential after either.

    :param low, high: ends of the current [T, N, ...].
    :param out: buffers for the results, such as the two themselves; None to make them."""
    sure, maybe = (torch.empty_like(low), torch.empty_like(low)) if out is None else out
    v_low, v_high = dynamics._at_start(low[0]), dynamics._at_start(low[0])
    spare = torch.empty_like(low[0])
    fires, threshold = torch.gt if dynamics.strict else torch.ge, operand(dynamics.threshold, v_low)
    for t in range(len(low)):
        dynamics._charge(low[t], v_low, None, v_low)
        dynamics._charge(high[t], v_high, None, v_high)
        fires(v_low, threshold, out=sure[t])
        fires(v_high, threshold, out=maybe[t])
        if dynamics.reset == "hard":
            _reset_hard(dynamics, v_low, v_high, sure[t], maybe[t], spare)
        elif dynamics.reset == "soft":
            _reset_soft(dynamics, v_low, v_high, sure[t], maybe[t], spare)
    return sure, maybe


def _reset_hard(
    dynamics: Dynamics, low: Tensor, high: Tensor, sure: Tensor, maybe: Tensor, spare: Tensor
) -> None:
    """From u to v in place. The highest potential that can be silent is at the threshold."""
    threshold, rest = (operand(value, low) for value in (dynamics.threshold, dynamics.rest))
    torch.gt(low, rest, out=spare).mul_(maybe)
    dynamics._discharge(low, spare, low)
    if dynamics.resets_below:
        high.clamp_(max=threshold)
    else:
        either = torch.maximum(torch.zeros_like(low).add_(threshold), spare.fill_(0).add_(rest))
        plus_scaled(high.addcmul_(high, maybe, value=-1), maybe * either, 1, out=high)
        low.copy_(torch.where(sure > 0, spare, low))
    dynamics._discharge(high, sure, high)


def _reset_soft(
    dynamics: Dynamics, low: Tensor, high: Tensor, sure: Tensor, maybe: Tensor, spare: Tensor
) -> None:
    """From u to v in place. The lowest potential that can fire is at the threshold."""
    threshold, drop = (operand(value, low) for value in (dynamics.threshold, dynamics.amount))
    taken = torch.sub(low, threshold - drop, out=spare).clamp_(min=0).clamp_(max=drop)
    low.addcmul_(taken, maybe, value=-1)
    taken = torch.sub(high, threshold, out=spare).clamp_(min=0).clamp_(max=drop)
    high.sub_(torch.maximum(taken, sure * drop, out=spare))


@dataclass(frozen=True)
class Trains:
    """The currents, constant over time, at which a neuron fires at each of T steps.

    :param firing, silent: per step the intervals of currents with a spike and without one, in
        ascending order; next to each other they overlap, by what rounding can do."""

    firing: tuple[tuple[_Span, ...], ...]
    silent: tuple[tuple[_Span, ...], ...]

    @torch.no_grad()
    def bound(self, low: Tensor, high: Tensor, out: _Pair | None = None) -> tuple[Tensor, Tensor]:
        """Sure spikes and possible ones at every step, 0 or 1 [T, N, ...] each.

        :param low, high: ends of the current [N, ...].
        :param out: buffers for the results; None to make them."""
        steps = len(self.firing)
        sure, maybe = low.new_empty(2, steps, *low.shape) if out is None else out
        spare = torch.empty_like(low)
        for t in range(steps):
            _write_meeting(self.firing[t], low, high, spare, maybe[t])
            _write_meeting(self.silent[t], low, high, spare, sure[t])
            sure[t].neg_().add_(1)
        return sure, maybe


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
class _Piece:
    """Currents between two ends with one train so far; the potential is slope * current + offset.

    :param decisions: whether the neuron fired at potentials of that slope and offset."""

    low: float
    high: float
    slope: float
    offset: float
    train: tuple[bool, ...] = ()
    decisions: dict[tuple[float, float], bool] = field(default_factory=dict)


@lru_cache(maxsize=64)
def list_trains(dynamics: Dynamics, steps: int, dtype: torch.dtype) -> Trains | None:
    """The trains of T steps; None where there are too many.

    Pieces overlap by what rounding in `dtype` can do. After a hard reset the potential repeats
    itself bit for bit, and so do the decisions.

    :param dynamics: with one setting for the whole layer."""
    pieces = [_Piece(-inf, inf, 0.0, float(dynamics.start))]
    for _ in range(steps):
        pieces = [
            after for piece in pieces for after in _next_pieces(dynamics, piece, steps, dtype)
        ]
        if len(pieces) > _MOST_PIECES:
            return None
    firing, silent = (
        tuple(_join([p for p in pieces if p.train[t] == fires]) for t in range(steps))
        for fires in (True, False)
    )
    return Trains(firing, silent) if sum(map(len, firing + silent)) <= _MOST_SPANS else None


def _next_pieces(dynamics: Dynamics, piece: _Piece, steps: int, dtype: torch.dtype) -> list[_Piece]:
    """What one step makes of a piece: one where it is silent, one where it fires, or both."""
    slope = dynamics.decay * piece.slope + dynamics.gain
    offset = dynamics.decay * piece.offset + dynamics.constant
    crossing = (dynamics.threshold - offset) / slope
    span = _rounding(dynamics, crossing, steps, dtype) / slope
    decided = piece.decisions.get((slope, offset))
    after = []
    for fires in (False, True) if decided is None else (decided,):
        low = max(piece.low, crossing - span) if fires else piece.low
        high = piece.high if fires else min(piece.high, crossing + span)
        if low >= high:
            continue
        decisions = piece.decisions
        if dynamics.reset == "hard":
            decisions = decisions | {(slope, offset): fires}
        potential = {"slope": slope, "offset": offset}
        if fires and dynamics.reset == "hard":
            potential = {"slope": 0.0, "offset": float(dynamics.rest)}
        elif fires and dynamics.reset == "soft":
            potential["offset"] -= dynamics.amount
        train = (*piece.train, fires)
        after.append(_Piece(low, high, **potential, train=train, decisions=decisions))
    return after


def _rounding(dynamics: Dynamics, current: float, steps: int, dtype: torch.dtype) -> float:
    """How far rounding can move a potential at that current."""
    drop = dynamics.amount if dynamics.reset == "soft" else abs(dynamics.rest)
    each = dynamics.gain * abs(current) + abs(dynamics.constant) + drop
    largest = dynamics.threshold + abs(dynamics.start) + steps * each
    return float(8 * steps * torch.finfo(dtype).eps * largest)


def _join(pieces: list[_Piece]) -> tuple[_Span, ...]:
    """The currents of pieces, those that touch in one."""
    spans: list[_Span] = []
    for piece in sorted(pieces, key=lambda piece: piece.low):
        if spans and piece.low <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], piece.high))
        else:
            spans.append((piece.low, piece.high))
    return tuple(spans)
