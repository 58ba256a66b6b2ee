"""Spike retiming: event frames whose spikes come a little earlier or later."""

import copy
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks.iterated import AttackState, StepwiseAttack
from art_snn.attacks.measures import (
    FLIPS,
    ROUNDING,
    SHIFT,
    WHOLE,
    Measure,
    Shifts,
    counts,
    shifts,
)
from art_snn.attacks.persample import BestPoints
from art_snn.attacks.queries import Objective, Queries, margin
from art_snn.checks import MOST, require, require_count, require_number

BUDGETS = ("max_shift", "total_shift", "moved")

_TIMELESS = (
    "The gradient is the same at all time steps, so that no spike is moved. Rate rules such as RGA "
    "know no order of spikes: choose a temporal rule, as by classifier.gradient = 'stbp'."
)


class _Spikes:
    """Spikes of n samples that may move, and the cells (a step of a place) that they may move to.

    Shifts are 0, -1, 1, -2, 2, ..., of which 0 is that of a spike that stays. Of S
    spikes:

    * `sample` [S] says whose spike it is.
    * `cells` [S, 2D + 1] says where every shift leads, as an index into all cells.
    * `open` [S, 2D + 1] says which shifts end within the frames.

    `room` [n * T * P] says how many spikes more every cell takes, and `distance` [2D + 1]
    how long the shifts are, in steps.

    :param counts: of the spikes [n, T, P].
    :param most: how many a cell holds, in the same shape.
    :param furthest: the largest shift."""

    def __init__(self, counts: Tensor, most: Tensor, furthest: int) -> None:
        self.samples, steps, places = counts.shape
        # A cell with k spikes is the home of k of them.
        spikes = counts.flatten()
        home = torch.arange(len(spikes), device=counts.device).repeat_interleave(spikes)

        away = torch.arange(1, min(furthest, steps - 1) + 1, device=counts.device)
        both_ways = torch.stack((-away, away), 1).flatten()
        shifts = torch.cat((away.new_zeros(1), both_ways))

        time = (home // places % steps)[:, None] + shifts
        self.open = (time >= 0) & (time < steps)
        self.cells = torch.where(
            self.open, home[:, None] + shifts * places, home[:, None]
        )

        self.sample = home // (steps * places)
        self.distance = shifts.abs()
        self.room = (most - counts).flatten()

    def select(self, which: Tensor) -> "_Spikes":
        """Some of the spikes, by rows [k]."""
        some = copy.copy(self)
        some.sample = self.sample[which]
        some.cells = self.cells[which]
        some.open = self.open[which]

        return some

    def ascent(self, scores: Tensor, gradient: Tensor) -> Tensor:
        """Slopes of scores [S, 2D + 1], as shares of the largest slope of the sample.

        With p = softmax(score) of a spike, expected frames have p(d) of it at step t + d.
        So the slope of score d is p(d) (g(t + d) - sum over d' of p(d') g(t + d')).

        :param gradient: g [n, T, ...], by the frames."""
        there = gradient.flatten()[self.cells]

        share = scores.softmax(1)
        slope = share * (there - (share * there).sum(1, keepdim=True))

        most = gradient.new_zeros(len(gradient))
        most = most.scatter_reduce(0, self.sample, slope.abs().amax(1), "amax")
        largest = most[self.sample][:, None]
        return torch.where(largest > 0, slope / largest, 0)

    def retime(self, gain: Tensor, moved: int | None, total: int | None) -> Tensor:
        """The shift that every spike takes [S], if all would take the one that gains most.

        In rounds every spike that has not moved asks for the best cell that has room. A
        cell takes the spikes that gain most, and a sample lets those move that gain most
        until its budget is spent. A spike that moves leaves room. With a budget of steps,
        gains count per step.

        :param gain: what every shift gains over staying [S, 2D + 1]; a spike moves for
            more than 0.
        :param moved: how many spikes of a sample may move; None: any.
        :param total: the largest sum of the lengths of all shifts of a sample; None:
            any."""
        worth = gain if total is None else gain / self.distance.clamp_min(1)
        taken = torch.zeros_like(self.sample)
        room = self.room.clone()
        moves = self._budget(moved)
        steps = self._budget(total)
        while True:
            # The best shift of every spike that may still move.
            here = (taken == 0) & (moves[self.sample] > 0)
            can = here[:, None] & self.open & (room[self.cells] > 0)
            can &= self.distance <= steps[self.sample][:, None]
            best, shift = torch.where(can, worth, 0).max(1)
            asks = (best > 0).nonzero()[:, 0]
            if not len(asks):
                return taken

            # From here on masks are factors: picking rows by them would wait for the
            # device.
            asks = asks[best[asks].argsort(descending=True, stable=True)]
            move = shift[asks]
            cell = self.cells[asks, move]
            owner = self.sample[asks]
            length = self.distance[move]

            # Those that gain most come first, in their cell and in their sample.
            fits = _running_sums(cell, torch.ones_like(cell)) <= room[cell]
            one = fits.long()
            fits &= _running_sums(owner, one) <= moves[owner]
            fits &= _running_sums(owner, one * length) <= steps[owner]
            one = fits.long()

            # A spike that moves takes room in its new cell, and leaves some at home.
            taken[asks] = one * move
            room.index_add_(0, cell, -one)
            room.index_add_(0, self.cells[asks, 0], one)

            moves.index_add_(0, owner, -one)
            steps.index_add_(0, owner, -one * length)

    def _budget(self, most: int | None) -> Tensor:
        """The budget of every sample [n]."""
        # No budget is larger than the number of all shifts.
        free = self.cells.numel() if most is None else most
        return torch.full((self.samples,), free, device=self.room.device)

    def change(self, taken: Tensor) -> Tensor:
        """The number of spikes that every cell gains by those shifts [n * T * P]."""
        one = torch.ones_like(taken)

        gained = torch.zeros_like(self.room)
        gained.index_add_(0, self.cells.gather(1, taken[:, None])[:, 0], one)
        return gained.index_add_(0, self.cells[:, 0], -one)


def _running_sums(groups: Tensor, amounts: Tensor) -> Tensor:
    """Sums [k] of the amounts, whole numbers from 0, up to every element within its group."""
    order = groups.argsort(stable=True)
    sorted_groups = groups[order]
    is_first = torch.ones_like(order, dtype=torch.bool)
    is_first[1:] = sorted_groups[1:] != sorted_groups[:-1]

    # Sums over all groups, minus the sum of the groups before.
    sums = amounts[order].cumsum(0)
    before = torch.where(is_first, sums - amounts[order], 0).cummax(0).values
    return torch.empty_like(sums).scatter_(0, order, sums - before)


@dataclass(eq=False, repr=False)
class SpikeRetiming(StepwiseAttack):
    """Moves spikes of event frames in time, and keeps their number and their place.

    Samples are event frames ``[T, *place]``: a value of low + k is k spikes, where (low,
    high) are the clip_values. No value rises above high, so that binary frames stay
    binary. A spike s at step t has a score for every shift d from -D to D that ends
    within the frames. The margin is the best other logit minus that of the true class; a
    targeted attack lowers it. In every iteration, with g the gradient of what is raised::

        p_s = softmax(score_s)                             expected frames: p_s(d) at step t + d
        r_s(d) = p_s(d) (g(t + d) - sum over d' of p_s(d') g(t + d'))         the slope of its score
        score <- score + eta r / max |r|                                         max over a sample

    g is taken at frames in which every spike takes the shift of the highest score that
    has room and is within the budgets. It passes straight through to the expected frames.
    A sample is left as soon as it is broken; one that is never broken is returned where
    its margin was highest.

    The attack warns of rate rules, whose gradients move no spike. After :meth:`generate`
    the attribute `shifts` holds :func:`art_snn.attacks.shifts` of what is returned.

    :param max_shift: the largest shift D of a spike, in time steps [2]; None: any.
    :param total_shift: the largest sum of shifts of a sample, without their signs; None:
        any.
    :param moved: the largest number of spikes of a sample that leave their step; None:
        any.
    :param max_iter: iterations [40].
    :param eta: how far the fastest score of a sample moves [0.3].
    :raises ValueError: for a setting out of its range; by :meth:`generate`, without
        clip_values, or whole numbers of spikes. The other parameters are those of
        :class:`CountedAttack`."""

    needs_range = "the value without spikes, and the highest"
    # Every spike has scores, which take many times the memory of the frames.
    bytes_at_once = 2**22

    max_shift: int | None = 2
    total_shift: int | None = None
    moved: int | None = None
    max_iter: int = 40
    eta: float = 0.3
    targeted: bool = False
    batch_size: int = 32
    verbose: bool = True
    shifts: Shifts = field(init=False, default=Shifts(*np.zeros((3, 0), dtype=np.int64)))

    @classmethod
    def budget(cls, measure: Measure, eps: float) -> dict[str, Any] | None:
        if measure == FLIPS:
            # A spike that leaves its step changes two values.
            return {"moved": max(1, int(eps) // 2), "max_shift": None}
        return {"max_shift": eps} if measure == SHIFT else None

    def generate(self, x: Any, y: Any = None) -> Any:
        adversarials = super().generate(x, y)
        self.shifts = shifts(x, adversarials, self.estimator.clip_values[0])
        return adversarials

    def craft(self, queries: Queries, best: BestPoints, classes: Tensor) -> None:
        # Stages on event frames begin at the samples, wherever those before them came.
        best.reached = None
        walk = _Scores(best.samples.clone(), self)
        # Samples without spikes are left as they are.
        if len(walk.rows):
            self._run(queries, best, walk.rows, walk, classes)

    def move(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Samples [n, T, ...] whose spikes all move to where a gradient is largest.

        They stay within the budgets; spikes that are there already stay."""
        walk = _Scores(x, self)

        there = gradient.flatten()[walk.spikes.cells]
        return walk.retime(there - there[:, :1])

    @property
    def objective(self) -> Objective:
        """The margin, above 0 where a sample is broken, or towards a target its negative."""
        if self.targeted:
            return lambda logits, classes: -margin(logits, classes)
        return margin

    def _samples(self, x: Any) -> Tensor:
        shape = self.estimator.input_shape
        require(
            len(shape) > 1,
            "x",
            "event frames [N, T, ...]",
            f"samples of shape {shape}",
            "The time axis comes second.",
        )
        samples = super()._samples(x)
        # They are refused here if they are not whole numbers of spikes.
        counts(samples, self.clip_range(samples)[0])
        return samples

    def _check_params(self) -> None:
        super()._check_params()
        for name in BUDGETS:
            budget = getattr(self, name)
            if budget is not None:
                require_count(
                    name, budget, remedy="Give a number, or None for no such budget."
                )
        require_count("max_iter", self.max_iter, remedy="The default is 40.")
        self.eta = require_number("eta", self.eta, above=0, remedy="The default is 0.3.")


class _Scores(AttackState):
    """The steps of :class:`SpikeRetiming`.

    `spikes` are those of samples `x` ``[N, T, *place]``, of which `rows` [n] are left;
    `whole` is x as low plus whole numbers. `scores` [S, 2D + 1] has a score for every
    shift of the spikes."""

    def __init__(self, x: Tensor, attack: SpikeRetiming) -> None:
        low, self.high = attack.clip_range(x)
        held = counts(x, low)

        # A cell takes any number of spikes where clip_values set no bound.
        most = (self.high - low).expand_as(x).add(WHOLE).clamp_max(MOST)
        furthest = x.shape[1] if attack.max_shift is None else attack.max_shift
        self.spikes = _Spikes(held, most.long().flatten(2), furthest)

        self.x = x
        self.whole = low + held.view_as(x)
        self.attack = attack
        scores = torch.zeros_like(self.spikes.open, dtype=x.dtype)
        self.scores = scores.masked_fill_(~self.spikes.open, -torch.inf)
        self.rows = torch.unique(self.spikes.sample)
        self.points = x[self.rows]

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        if self.done == 0:
            _warn_of_rates(gradient)

        # The scores climb, and every spike takes the shift of the highest that has room.
        slopes = torch.zeros_like(self.x).index_copy_(0, self.rows, gradient)
        self.scores = self.scores + self.attack.eta * self.spikes.ascent(
            self.scores, slopes
        )
        self.points = self.retime(self.scores - self.scores[:, :1])[self.rows]

    def retime(self, gain: Tensor) -> Tensor:
        """All samples, their spikes with the shifts that gain most within the budgets.

        :param gain: what every shift gains over staying [S, 2D + 1]."""
        x = self.x
        taken = self.spikes.retime(gain, self.attack.moved, self.attack.total_shift)
        change = self.spikes.change(taken).view_as(x)
        return torch.where(change == 0, x, (self.whole + change).to(x).minimum(self.high))

    def select(self, which: Tensor) -> "_Scores":
        some = copy.copy(self)
        some.rows = self.rows[which]
        going = torch.isin(self.spikes.sample, some.rows).nonzero()[:, 0]
        some.spikes = self.spikes.select(going)
        some.scores = self.scores[going]
        return some


def _warn_of_rates(gradient: Tensor) -> None:
    """Warn where the gradients [n, T, ...] of all samples are the same at all time steps."""
    if gradient.shape[1] == 1:
        return
    largest = gradient.abs().max()
    between = (gradient - gradient[:, :1]).abs().max()
    if largest > 0 and between <= ROUNDING * largest:
        warnings.warn(_TIMELESS, RuntimeWarning, stacklevel=8)
