"""SDA: binary event frames with as few flipped bits as it takes."""

from typing import Any, ClassVar

import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.balls import ROUNDING
from art_snn.attacks.measures import FLIPS, Measure
from art_snn.attacks.persample import ActiveRows, BestPoints, PerSampleAttack
from art_snn.attacks.queries import Queries, margin
from art_snn.checks import require, require_count, require_seed
from art_snn.seeding import uniform_noise

_NOISE = 1e-5
"""Differences of logits up to that share of the largest one are rounding."""
_HOPELESS = 4
"""Kept bits, in budgets, from which on hardly ever so many are taken back that they fit."""


class _Flips:
    """Samples ``[n, *shape]`` of two levels, and `other`, their values with every bit flipped.

    `untried`, bool [n, P], has the bits of a sample in a row, and `difference` what the flip of a
    bit did to the loss [n, P], infinite without a flip."""

    def __init__(self, samples: Tensor, low: Tensor, high: Tensor) -> None:
        self.samples = samples
        self.other = torch.where(samples > (low + high) / 2, low, high)
        self.untried = torch.ones_like(samples, dtype=torch.bool).flatten(1)
        self.difference = torch.full_like(samples, torch.inf).flatten(1)

    def flipped(self, rows: Tensor) -> Tensor:
        """Which bits of samples [m] are flipped, bool [m, P]."""
        return self.difference[rows].isfinite()

    def show(self, rows: Tensor, flipped: Tensor) -> Tensor:
        """Samples [m] with those bits flipped, bool [m, P]."""
        x = self.samples[rows]
        return torch.where(flipped.view_as(x), self.other[rows], x)

    def candidates(
        self, rows: Tensor, gradient: Tensor, noise: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        """Samples [k] and bits [k]: untried bits of largest gradient whose flip lowers the loss.

        At most `count` per sample; zeros come last, in the order of the noise ``[m, *shape]``."""
        rise = (self.other - self.samples)[rows].sign() * gradient
        size = torch.where(gradient == 0, -noise.abs(), gradient.abs())
        usable = self.untried[rows] & (rise <= 0).flatten(1)
        size = size.flatten(1).masked_fill(~usable, -torch.inf)
        ranked = size.sort(dim=1, descending=True, stable=True)
        which, place = (ranked.values[:, :count] > -torch.inf).nonzero(as_tuple=True)
        return rows[which], ranked.indices[which, place]

    def keep(self, rows: Tensor, bits: Tensor, difference: Tensor) -> None:
        """Note those that were tried, and flip those that do not raise the loss."""
        self.untried[rows, bits] = False
        kept = difference <= 0
        before = self.difference[rows, bits]
        self.difference[rows, bits] = torch.where(kept, difference.to(before), before)


class SparseDynamicAttack(PerSampleAttack):
    """Sparse dynamic attack on binary event frames (SDA; Lun et al., 2025).

    It lowers the loss max(z_y - max of the other z, 0) of logits z. A targeted attack lowers
    max(max of the other z - z_y, 0). In round n, from 0:

    * Gradients g that can act on a bit x are those with (1 - 2x) g <= 0. Zeros among them are
      ranked at random after all others. Bits of earlier rounds are left out.
    * The 10 (n + 1) largest in magnitude are tried. Each bit is flipped alone, and is kept if its
      finite difference, the loss with the flip minus the loss without, is <= 0.
    * Every bit that was ever kept is flipped. The search ends where that is misclassified.

    Then flips are taken back. The kept bits are ordered by the magnitude of their difference. A
    binary search finds the longest prefix without which the sample is still misclassified.

    Differences within the rounding of logits count as 0. With `eps` the search also ends where more
    than 4 eps bits are kept in vain (ours): hardly ever are so many taken back.

    :param estimator: a classifier of torch's, whose clip_values are the two levels of a bit.
    :param eps: the largest number of flips; a sample that takes more is left as it is. None: any.
    :param max_iter: rounds, at most [500].
    :param candidates: bits that are tried in the first round, and how many more in each next [10].
    :param seed: of the order of bits without a gradient.
    :raises ValueError: for a setting out of its range; by :meth:`generate`, for values that are
        neither of the clip_values. The other parameters are those of :class:`CountedAttack`."""

    def __init__(
        self,
        estimator: PyTorchClassifier,
        eps: int | None = None,
        max_iter: int = 500,
        candidates: int = 10,
        targeted: bool = False,
        batch_size: int = 32,
        seed: int = 0,
        verbose: bool = True,
    ) -> None:
        super().__init__(estimator, targeted=targeted, batch_size=batch_size, verbose=verbose)
        self.eps, self.max_iter, self.candidates, self.seed = eps, max_iter, candidates, seed
        self._check_params()

    needs_range: ClassVar[str] = "which two values a bit has"

    @classmethod
    def budget(cls, measure: Measure, eps: float) -> dict[str, Any] | None:
        return {"eps": eps} if measure == FLIPS else None

    def craft(self, queries: Queries, best: BestPoints, classes: Tensor) -> None:
        x = best.samples.clone()
        flips = _Flips(x, *self.clip_range(x))
        broken = self._flip(queries, flips, best, classes)
        self._take(best, flips, broken, self._reduce(queries, flips, broken, classes[broken]))

    def _take(self, best: BestPoints, flips: _Flips, rows: Tensor, bits: Tensor) -> None:
        """Take in broken samples [m] with these bits flipped, bool [m, P], where eps allows it."""
        if len(rows):
            fits = bits.sum(1) <= (bits.shape[1] if self.eps is None else self.eps)
            best.take(rows, flips.show(rows, bits), best.values[rows], fits)

    def loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Distance of samples [n] from being broken, in logits [n, K]."""
        ahead = margin(logits, classes)
        return (ahead if self.targeted else -ahead).clamp_min(0)

    def _flip(self, queries: Queries, flips: _Flips, best: BestPoints, classes: Tensor) -> Tensor:
        """Flip bits round by round; which samples that breaks [m]."""
        rows = torch.arange(len(classes), device="cpu")
        left = asked = ActiveRows(rows.to(classes.device), rows)
        samples = flips.samples.cpu()
        broken = [left.rows[:0]]
        for turn in range(self.max_iter):
            queries.keep(torch.isin(asked.here, left.here))
            asked = left

            true, flipped = classes[left.rows], flips.flipped(left.rows)
            points = flips.show(left.rows, flipped)
            logits, gradient = queries.gradients(points, true, self.loss, left.here)
            done = self.succeeded(logits, true)
            stay = ~done & ~logits.isnan().any(1)
            if self.eps is not None:
                stay &= flipped.sum(1) <= _HOPELESS * self.eps
            done, stay = torch.stack([done, stay]).cpu()
            if done.any():
                rows = left.select(done)[0].rows
                broken.append(rows)
                self._take(best, flips, rows, flips.flipped(rows))
            queries.finish(int((~stay).sum()))
            left, logits, gradient = left.select(stay, logits, gradient)

            noise = uniform_noise(samples[left.here], self.seed, turn).to(gradient.device)
            rows, bits = flips.candidates(left.rows, gradient, noise, self.candidates * (turn + 1))
            if not len(rows):
                return torch.cat(broken)

            tried = ActiveRows(rows, rows.cpu())
            before = logits[torch.searchsorted(left.rows, rows)]
            losses = self._ask_losses(queries, flips, classes, tried, bits)
            difference = losses - self.loss(before, classes[rows])
            rounding = difference.abs() <= _NOISE * before.abs().amax(1)
            flips.keep(rows, bits, torch.where(rounding, 0, difference))
            (left,) = left.select(torch.isin(left.here, tried.here))

        logits = queries.logits(flips.show(left.rows, flips.flipped(left.rows)), left.here)
        return torch.cat([*broken, left.rows[self.succeeded(logits, classes[left.rows])]])

    def _ask_losses(
        self, queries: Queries, flips: _Flips, classes: Tensor, tried: ActiveRows, bits: Tensor
    ) -> Tensor:
        """The losses of single flips of samples [k], which are asked for batch by batch."""
        rows, losses = tried.rows, list[Tensor]()
        for start in range(0, len(rows), self.batch_size):
            batch = slice(start, start + self.batch_size)
            flipped = flips.flipped(rows[batch])
            flipped.scatter_(1, bits[batch, None], True)
            logits = queries.logits(flips.show(rows[batch], flipped), tried.here[batch])
            losses.append(self.loss(logits, classes[rows[batch]]))
        return torch.cat(losses)

    def _reduce(self, queries: Queries, flips: _Flips, rows: Tensor, classes: Tensor) -> Tensor:
        """Which bits of broken samples [m] stay flipped, bool [m, P]."""
        flipped = flips.flipped(rows)
        # The place of every bit in the order of differences.
        rank = flips.difference[rows].abs().argsort(dim=1, stable=True).argsort(1)
        # Without that many flips the sample is still broken, and without that many it is not.
        most, too_many = torch.zeros_like(rows), flipped.sum(1)
        while True:
            at = (too_many - most > 1).nonzero()[:, 0]
            if not len(at):
                return flipped & (rank >= most[:, None])
            middle = (most[at] + too_many[at]) // 2
            points = flips.show(rows[at], flipped[at] & (rank[at] >= middle[:, None]))
            holds = self.succeeded(queries.logits(points, rows[at].cpu()), classes[at])
            most[at] = torch.where(holds, middle, most[at])
            too_many[at] = torch.where(holds, too_many[at], middle)

    def _samples(self, x: Any) -> Tensor:
        """The samples, with the clip_values themselves where they lie within rounding of them."""
        samples, values = super()._samples(x), self.estimator.clip_values
        expected = f"binary event frames, each value one of the two clip_values, {values}"
        low, high = self.clip_range(samples)
        bits = torch.where(samples > (low + high) / 2, high, low)
        strange = (samples - bits).abs() > ROUNDING * (high - low)
        got = f"values such as {samples[strange][0]:g}" if strange.any() else ""
        remedy = "Make them binary first, for instance by (x > 0) where x holds counts."
        require(not got, "x", expected, got, remedy)
        return bits

    def _check_params(self) -> None:
        super()._check_params()
        if self.eps is not None:
            require_count("eps", self.eps, remedy="Give a number of flips, or None for any.")
        require_count("max_iter", self.max_iter, remedy="The paper takes 500 rounds.")
        require_count("candidates", self.candidates, remedy="The paper takes 10.")
        require_seed("seed", self.seed)
