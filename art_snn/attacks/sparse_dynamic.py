"""SDA: binary event frames with as few flipped bits as it takes."""

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.utils import gen_batches
from torch import Tensor

from art_snn.attacks.measures import FLIPS, ROUNDING, Measure
from art_snn.attacks.persample import ActiveRows, BestPoints, PerSampleAttack
from art_snn.attacks.queries import Queries, margin
from art_snn.checks import invalid, require_count
from art_snn.seeding import uniform_noise

_NOISE = 1e-5
"""Differences of the loss up to that share of the largest logit count as rounding."""
_HOPELESS = 4
"""The search gives up at that many budgets of kept bits: hardly ever are so many taken back."""


class _Flips:
    """Samples ``[n, *shape]`` of two levels, and which of their bits are flipped.

    `other` has the values of the samples with every bit flipped. `untried`, bool [n, P],
    has the bits of a sample in a row. `difference` [n, P] is what the flip of a kept bit
    did to the loss; it is infinite for a bit that is not flipped."""

    def __init__(self, samples: Tensor, low: Tensor, high: Tensor) -> None:
        self.samples = samples
        # Values above the middle count as the high level.
        self.other = torch.where(samples > (low + high) / 2, low, high)
        self.untried = torch.ones_like(samples, dtype=torch.bool).flatten(1)
        self.difference = torch.full_like(samples, torch.inf).flatten(1)

    def flipped(self, rows: Tensor) -> Tensor:
        """True for the bits of samples [m] that are flipped, bool [m, P]."""
        return self.difference[rows].isfinite()

    def show(self, rows: Tensor, flipped: Tensor) -> Tensor:
        """The values of samples [m] with those bits flipped, bool [m, P]."""
        x = self.samples[rows]
        return torch.where(flipped.view_as(x), self.other[rows], x)

    def candidates(
        self, rows: Tensor, gradient: Tensor, noise: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        """The untried bits of largest gradient that can act, at most `count` of a sample.

        Bits without a gradient come last, in the order of the noise ``[m, *shape]``.

        :param rows: the samples [m].
        :param gradient: of the loss ``[m, *shape]``.
        :return: the sample of every such bit [k], and the bit [k]."""
        # A flip changes a bit by 1 - 2x, and with it the loss by (1 - 2x) g at first order.
        rise = (self.other - self.samples)[rows].sign() * gradient
        usable = self.untried[rows] & (rise <= 0).flatten(1)

        # Noise below 0 puts bits without a gradient after all others.
        size = torch.where(gradient == 0, -noise.abs(), gradient.abs()).flatten(1)
        size = size.masked_fill(~usable, -torch.inf)
        ranked = size.sort(dim=1, descending=True, stable=True)

        # Those that cannot act are among the first where a sample has few others.
        which, place = (ranked.values[:, :count] > -torch.inf).nonzero(as_tuple=True)
        return rows[which], ranked.indices[which, place]

    def keep(self, rows: Tensor, bits: Tensor, difference: Tensor) -> None:
        """Note which bits [k] of samples [k] were tried, and flip those that may stay.

        :param difference: what the flip of each bit alone did to the loss; <= 0 lets it stay."""
        self.untried[rows, bits] = False
        before = self.difference[rows, bits]
        self.difference[rows, bits] = torch.where(
            difference <= 0, difference.to(before), before
        )


@dataclass(eq=False, repr=False)
class SparseDynamicAttack(PerSampleAttack):
    """Sparse dynamic attack on binary event frames (SDA; Lun et al., 2025).

    It lowers the loss max(z_y - max of the other z, 0) of logits z. A targeted attack
    lowers max(max of the other z - z_y, 0). In round n, from 0:

    * Gradients g that can act on a bit x are those with (1 - 2x) g <= 0. Zeros among them
      are ranked at random after all others. Bits of earlier rounds are left out.
    * The 10 (n + 1) largest in magnitude are tried. Each bit is flipped alone, and is
      kept if its finite difference, the loss with the flip minus the loss without, is <=
      0.
    * Every bit that was ever kept is flipped. The search ends where that is
      misclassified.

    Then flips are taken back. The kept bits are ordered by the magnitude of their
    difference. A binary search finds the longest prefix without which the sample is still
    misclassified.

    Differences within the rounding of logits count as 0. With `eps` the search also ends
    where more than 4 eps bits are kept in vain (ours): hardly ever are so many taken
    back.

    :param estimator: a classifier of torch's, whose clip_values are the two levels of a
        bit.
    :param eps: the largest number of flips; a sample that takes more is left as it is.
        None: any.
    :param max_iter: rounds, at most [500].
    :param candidates: bits that are tried in the first round, and how many more in each
        next [10].
    :param seed: of the order of bits without a gradient.
    :raises ValueError: for a setting out of its range; by :meth:`generate`, for values
        that are neither of the clip_values. The other parameters are those of
        :class:`CountedAttack`."""

    eps: int | None = None
    max_iter: int = 500
    candidates: int = 10
    targeted: bool = False
    batch_size: int = 32
    seed: int = 0
    verbose: bool = True

    needs_range = "which two values a bit has"

    @classmethod
    def budget(cls, measure: Measure, eps: float) -> dict[str, Any] | None:
        return {"eps": eps} if measure == FLIPS else None

    def craft(self, queries: Queries, best: BestPoints, classes: Tensor) -> None:
        x = best.samples.clone()

        flips = _Flips(x, *self.clip_range(x))
        broken = self._flip(queries, flips, best, classes)

        # Each sample that is broken keeps as few of its flips as it needs.
        needed = self._reduce(queries, flips, broken, classes[broken])
        self._take(best, flips, broken, needed)

    def _take(self, best: BestPoints, flips: _Flips, rows: Tensor, bits: Tensor) -> None:
        """Take in broken samples [m] with some bits flipped, where eps allows it.

        :param bits: bool [m, P]."""
        most = bits.shape[1] if self.eps is None else self.eps
        best.take(rows, flips.show(rows, bits), best.values[rows], bits.sum(1) <= most)

    def loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The distance [n] of samples from being broken, in logits [n, K]."""
        # Above 0 where the sample is misclassified.
        ahead = margin(logits, classes)
        return (ahead if self.targeted else -ahead).clamp_min(0)

    def _flip(
        self, queries: Queries, flips: _Flips, best: BestPoints, classes: Tensor
    ) -> Tensor:
        """Flip bits of all samples, round by round.

        :return: rows [m] of the samples that are broken."""
        rows = torch.arange(len(classes), device="cpu")
        left = ActiveRows(rows.to(classes.device), rows)

        broken = [left.rows[:0]]
        for turn in range(self.max_iter):
            # Every bit that was ever kept is flipped.
            true = classes[left.rows]
            flipped = flips.flipped(left.rows)
            points = flips.show(left.rows, flipped)
            logits, gradient = queries.gradients(points, true, self.loss, left.here)

            # The search of a sample ends where it is broken, or hopeless.
            done = self.succeeded(logits, true)
            stay = ~done & ~logits.isnan().any(1)
            if self.eps is not None:
                stay &= flipped.sum(1) <= _HOPELESS * self.eps
            # One transfer from the device brings both.
            done, stay = torch.stack([done, stay]).cpu()
            if done.any():
                # An interruption may come before any flip is taken back.
                rows = left.select(done)[0].rows
                broken.append(rows)
                self._take(best, flips, rows, flips.flipped(rows))
            queries.keep(stay)
            left, logits, gradient = left.select(stay, logits, gradient)

            # The bits of largest gradient are tried, each by itself.
            noise = uniform_noise(flips.samples[left.rows], self.seed, turn)
            count = self.candidates * (turn + 1)
            rows, bits = flips.candidates(left.rows, gradient, noise, count)
            if not len(rows):
                return torch.cat(broken)

            before = logits[torch.searchsorted(left.rows, rows)]
            self._try(queries, flips, rows, bits, classes[rows], before)
            # Samples whose bits have all been tried are given up.
            tried = torch.isin(left.here, rows.cpu())
            queries.keep(tried)
            (left,) = left.select(tried)

        # The flips of the last round have not been looked at yet.
        points = flips.show(left.rows, flips.flipped(left.rows))
        done = self.succeeded(queries.logits(points, left.here), classes[left.rows])
        return torch.cat([*broken, left.rows[done]])

    def _try(
        self,
        queries: Queries,
        flips: _Flips,
        rows: Tensor,
        bits: Tensor,
        classes: Tensor,
        before: Tensor,
    ) -> None:
        """Keep those of single flips that do not raise the loss.

        A change of the loss within rounding counts as 0.

        :param rows: the sample of each flip [k].
        :param bits: the bit of each flip [k].
        :param before: logits [k, K] of the sample without that flip."""
        here = rows.cpu()
        losses = []
        for batch in gen_batches(len(rows), self.batch_size):
            # The bits of earlier rounds stay flipped, and one more is.
            flipped = flips.flipped(rows[batch])
            flipped.scatter_(1, bits[batch, None], True)
            points = flips.show(rows[batch], flipped)
            losses.append(self.loss(queries.logits(points, here[batch]), classes[batch]))

        difference = torch.cat(losses) - self.loss(before, classes)
        rounding = _NOISE * before.abs().amax(1)
        flips.keep(rows, bits, torch.where(difference.abs() <= rounding, 0, difference))

    def _reduce(
        self, queries: Queries, flips: _Flips, rows: Tensor, classes: Tensor
    ) -> Tensor:
        """The flips that broken samples [m] cannot do without, bool [m, P].

        Bits are taken back in the order of their differences, by a binary search."""
        flipped = flips.flipped(rows)
        order = flips.difference[rows].abs().argsort(dim=1, stable=True)
        rank = order.argsort(1)

        # Without the first `most` bits the sample is broken, without `too_many` it is
        # not.
        most = torch.zeros_like(rows)
        too_many = flipped.sum(1)
        at = (too_many - most > 1).nonzero()[:, 0]
        while len(at):
            middle = (most[at] + too_many[at]) // 2
            bits = flipped[at] & (rank[at] >= middle[:, None])
            points = flips.show(rows[at], bits)
            logits = queries.logits(points, rows[at])

            holds = self.succeeded(logits, classes[at])
            most[at] = torch.where(holds, middle, most[at])
            too_many[at] = torch.where(holds, too_many[at], middle)
            at = at[too_many[at] - most[at] > 1]
        return flipped & (rank >= most[:, None])

    def _samples(self, x: Any) -> Tensor:
        """The samples, with the clip_values themselves where they lie within rounding of them."""
        samples = super()._samples(x)

        low, high = self.clip_range(samples)
        bits = torch.where(samples > (low + high) / 2, high, low)

        strange = samples[(samples - bits).abs() > ROUNDING * (high - low)]
        if len(strange):
            raise invalid(
                "x",
                f"binary event frames of the two clip_values, {self.estimator.clip_values}",
                f"values such as {strange[0]:g}",
                "Make them binary first, for instance by (x > 0) where x holds counts.",
            )
        return bits

    def _check_params(self) -> None:
        super()._check_params()
        if self.eps is not None:
            require_count(
                "eps", self.eps, remedy="Give a number of flips, or None for any."
            )
        require_count("max_iter", self.max_iter, remedy="The paper takes 500 rounds.")
        require_count("candidates", self.candidates, remedy="The paper takes 10.")
