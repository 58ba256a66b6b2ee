"""Spike retiming: event frames whose spikes come a little earlier or later."""

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.best import Best
from art_snn.attacks.distances import FLIPS, SHIFT, WHOLE, Shifts, counts, shifts
from art_snn.attacks.left import Left
from art_snn.attacks.objectives import margin
from art_snn.attacks.persample import ROUNDING, PerSampleAttack
from art_snn.attacks.queries import Queries
from art_snn.attacks.remembering import keep
from art_snn.attacks.spikes import Spikes
from art_snn.checks import require, require_count, require_number

LARGEST = 2**31 - 1
"""The most spikes of a cell where clip_values set no bound."""
BUDGETS = ("max_shift", "total_shift", "moved")

TIMELESS = (
    "The gradient is the same at all time steps, so that no spike is moved. Rate rules such as RGA "
    "know no order of spikes: choose a temporal rule, as by classifier.gradient = 'stbp'."
)


class SpikeRetiming(PerSampleAttack):
    """Moves spikes of event frames in time, and keeps their number and their place.

    Samples are event frames ``[T, *place]``: a value of low + k is k spikes, where (low, high) are
    the clip_values. No value rises above high, so that binary frames stay binary. A spike s at step
    t has a score for every shift d from -D to D that ends within the frames. The margin is the best
    other logit minus that of the true class; a targeted attack lowers it. In every iteration, with
    g the gradient of what is raised::

        p_s = softmax(score_s)                             expected frames: p_s(d) at step t + d
        r_s(d) = p_s(d) (g(t + d) - sum over d' of p_s(d') g(t + d'))         the slope of its score
        score <- score + eta r / max |r|                                         max over a sample

    g is taken at frames in which every spike takes the shift of the highest score that has room and
    is within the budgets. It passes straight through to the expected frames. A sample is left as
    soon as it is broken; one that is never broken is returned where its margin was highest.

    The attack warns of rate rules, whose gradients move no spike. After :meth:`generate` the
    attribute `shifts` holds :func:`art_snn.attacks.shifts` of what is returned.

    :param max_shift: the largest shift D of a spike, in time steps [2]; None: any.
    :param total_shift: the largest sum of shifts of a sample, without their signs; None: any.
    :param moved: the largest number of spikes of a sample that leave their step; None: any.
    :param max_iter: iterations [40].
    :param eta: how far the fastest score of a sample moves [0.3].
    :raises ValueError: for a setting out of its range; by :meth:`generate`, without clip_values, or
        whole numbers of spikes. The other parameters are those of :class:`CountedAttack`."""

    together: ClassVar[int] = 2**22  # Every spike has scores, many times the memory of the frames.

    def __init__(
        self,
        estimator: PyTorchClassifier,
        max_shift: int | None = 2,
        total_shift: int | None = None,
        moved: int | None = None,
        max_iter: int = 40,
        eta: float = 0.3,
        targeted: bool = False,
        batch_size: int = 32,
        verbose: bool = True,
    ) -> None:
        super().__init__(estimator, targeted=targeted, batch_size=batch_size, verbose=verbose)
        self.max_shift, self.total_shift, self.moved = max_shift, total_shift, moved
        self.max_iter, self.eta = max_iter, eta
        self.shifts = Shifts(*np.zeros((3, 0), dtype=np.int64))
        self._check_params()

    @classmethod
    def budget(cls, norm: float | str, eps: float) -> dict[str, Any] | None:
        if norm == FLIPS:
            # A spike that leaves its step changes two values.
            return {"moved": max(1, int(eps) // 2), "max_shift": None}
        return {"max_shift": eps} if norm == SHIFT else None

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        adversarials = super().generate(x, y, **kwargs)
        self.shifts = shifts(x, adversarials, self.estimator.clip_values[0])
        for spent, name in zip(self.shifts, BUDGETS, strict=True):
            budget = getattr(self, name)
            if budget is not None and (spent > budget).any():
                raise RuntimeError(f"retiming moved spikes by {spent.max()}, above {budget}")
        return adversarials

    def craft(self, queries: Queries, best: Best, classes: Tensor, mask: Tensor | None) -> None:
        x = best.samples.clone()
        low, high = self.clip_range(x)
        held = counts(x, low)
        spikes = self._spikes(held, (high - low).expand_as(x), mask)
        scores = torch.zeros_like(spikes.open, dtype=x.dtype).masked_fill_(~spikes.open, -torch.inf)
        rows = torch.unique(spikes.sample)
        frames, left, values = x, Left(rows, rows.cpu()), low + held.view_as(x)
        for turn in range(self.max_iter):
            if not len(left.here):
                return
            points, true = frames[left.rows], classes[left.rows]
            logits, gradient = queries.gradients(
                points, true, self.objective, left.here, self.succeeded
            )
            if not turn:
                _warn_of_rates(gradient)
            stay = self._kept(best, left.rows, points, true, logits).cpu()
            queries.finish(int((~stay).sum()))
            left, gradient = left.of(stay, gradient)
            keep(self.estimator.model, stay)
            if not stay.all():
                going = torch.isin(spikes.sample, left.rows).nonzero()[:, 0]
                spikes, scores = spikes.of(going), scores[going]
            slopes = torch.zeros_like(x).index_copy_(0, left.rows, gradient)
            scores = scores + self.eta * spikes.ascent(scores, slopes)
            change = self._change(spikes, scores).view_as(x)
            frames = torch.where(change == 0, x, (values + change).to(x).minimum(high))
        if len(left.here):
            logits = queries.logits(frames[left.rows], left.here)
            self._kept(best, left.rows, frames[left.rows], classes[left.rows], logits)

    def objective(self, logits: Tensor, classes: Tensor) -> Tensor:
        """What is raised: the margin [n] of logits [n, K], above 0 where a sample is broken."""
        ahead = margin(logits, classes)
        return -ahead if self.targeted else ahead

    def _spikes(self, held: Tensor, span: Tensor, mask: Tensor | None) -> Spikes:
        """The spikes of counts [n, T, P], and where they may go; cells ``[n, T, *place]`` span."""
        most = (span + WHOLE).clamp_max(LARGEST).long()
        free = torch.ones_like(most, dtype=torch.bool) if mask is None else mask
        furthest = held.shape[1] if self.max_shift is None else self.max_shift
        return Spikes.among(held, most.flatten(2), free.flatten(2), furthest)

    def _kept(self, best: Best, rows: Tensor, x: Tensor, classes: Tensor, logits: Tensor) -> Tensor:
        """Take in points of samples [m]; which of these the attack goes on with."""
        broken = self.succeeded(logits, classes)
        best.take(rows, x, self.objective(logits, classes), broken)
        return ~broken & ~logits.isnan().any(1)

    def _change(self, spikes: Spikes, scores: Tensor) -> Tensor:
        """How many spikes every cell gains where spikes take their best shifts."""
        return spikes.change(spikes.retimed(scores - scores[:, :1], self.moved, self.total_shift))

    def _samples(self, x: Any) -> Tensor:
        expected, remedy = "event frames [N, T, ...]", "The time axis comes second."
        shape = self.estimator.input_shape
        require(len(shape) > 1, "x", expected, f"samples of shape {shape}", remedy)
        fits, got = self.estimator.clip_values is not None, "a classifier without clip_values"
        remedy = "Tell the classifier by clip_values the value without spikes, and the highest."
        require(fits, "x", f"{expected} of a known range", got, remedy)
        samples = super()._samples(x)
        counts(samples, self.clip_range(samples)[0])
        return samples

    def _check_params(self) -> None:
        super()._check_params()
        for name in BUDGETS:
            if (budget := getattr(self, name)) is not None:
                require_count(name, budget, remedy="Give a number, or None for no such budget.")
        require_count("max_iter", self.max_iter, remedy="The default is 40.")
        self.eta = require_number("eta", self.eta, above=0, remedy="The default is 0.3.")


def _warn_of_rates(gradient: Tensor) -> None:
    """Warn where the gradients [n, T, ...] of all samples are the same at all time steps."""
    largest, between = gradient.abs().max(), (gradient - gradient[:, :1]).abs().max()
    if gradient.shape[1] > 1 and largest > 0 and between <= ROUNDING * largest:
        warnings.warn(TIMELESS, RuntimeWarning, stacklevel=6)
