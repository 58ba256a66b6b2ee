"""Spike trains of neurons whose current is the same at every step, as behind direct encoding.

A train is then a function of one number, and takes few values: the pieces of a line. An interval of
the current has the trains of the pieces that it meets, which is exact at every step."""

from dataclasses import dataclass, field
from functools import lru_cache
from math import inf

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics

MOST_PIECES = 4096
"""With more pieces the potential's intervals are used instead."""


@dataclass(frozen=True)
class Trains:
    """All trains that a constant current can cause, each with the interval of its currents.

    :param lows, highs: ends of those intervals, each in ascending order [P].
    :param ones_by_low, ones_by_high: how many of the first p trains in either order have a spike at
        each step, p from 0 to P [T, P + 1]."""

    lows: Tensor
    highs: Tensor
    ones_by_low: Tensor
    ones_by_high: Tensor

    def between(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Whether neurons surely fire, and whether they may, bool [T, N, ...] each.

        :param low, high: ends of the current [N, ...]."""
        lows, highs = (ends.to(low) for ends in (self.lows, self.highs))
        begun = torch.searchsorted(lows, high.contiguous(), right=True)
        ended = torch.searchsorted(highs, low.contiguous())
        by_low, by_high = (ones.to(low.device) for ones in (self.ones_by_low, self.ones_by_high))
        ones = torch.stack([a[begun] - b[ended] for a, b in zip(by_low, by_high, strict=True)])
        return ones == begun - ended, ones > 0


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
def trains_of(dynamics: Dynamics, steps: int, dtype: torch.dtype) -> Trains | None:
    """The trains of T steps; None where there are too many.

    Pieces overlap by what rounding in `dtype` can do. After a hard reset the potential repeats
    itself bit for bit, and so do the decisions.

    :param dynamics: with one setting for the whole layer."""
    pieces = [_Piece(-inf, inf, 0.0, float(dynamics.start))]
    for _ in range(steps):
        pieces = [after for piece in pieces for after in _step(dynamics, piece, steps, dtype)]
        if len(pieces) > MOST_PIECES:
            return None
    return _table(pieces)


def _step(dynamics: Dynamics, piece: _Piece, steps: int, dtype: torch.dtype) -> list[_Piece]:
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


def _table(pieces: list[_Piece]) -> Trains:
    lows, highs = ([getattr(piece, end) for piece in pieces] for end in ("low", "high"))
    trains = torch.tensor([piece.train for piece in pieces], dtype=torch.long, device="cpu").T
    by_low, by_high = (_order(ends) for ends in (lows, highs))

    def ones(order: list[int]) -> Tensor:
        return torch.nn.functional.pad(trains[:, order].cumsum(1), (1, 0))

    def ascending(ends: list[float]) -> Tensor:
        return torch.tensor(sorted(ends), dtype=torch.float64, device="cpu")

    return Trains(ascending(lows), ascending(highs), ones(by_low), ones(by_high))


def _order(values: list[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)
