"""Bits of event frames, and which of them an attack has flipped."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Flips:
    """Samples ``[n, *shape]`` of two levels, and `other`, their values with every bit flipped.

    :param untried: bool [n, P], the bits of a sample in a row.
    :param difference: what the flip of a bit did to the loss [n, P]; infinite without a flip."""

    samples: Tensor
    other: Tensor
    untried: Tensor
    difference: Tensor

    @classmethod
    def none(cls, samples: Tensor, low: Tensor, high: Tensor, mask: Tensor | None) -> "Flips":
        """Of samples as they came; the mask says which bits may be flipped."""
        other = torch.where(samples > (low + high) / 2, low, high)
        untried = torch.ones_like(samples, dtype=torch.bool) if mask is None else mask.clone()
        difference = torch.full_like(samples, torch.inf)
        return cls(samples, other, untried.flatten(1), difference.flatten(1))

    def flipped(self, rows: Tensor) -> Tensor:
        """Which bits of samples [m] are flipped, bool [m, P]."""
        return self.difference[rows].isfinite()

    def showing(self, rows: Tensor, flipped: Tensor) -> Tensor:
        """Samples [m] with those bits flipped, bool [m, P]."""
        x = self.samples[rows]
        return torch.where(flipped.view_as(x), self.other[rows], x)

    def with_one_more(self, rows: Tensor, bits: Tensor) -> Tensor:
        """Samples [k], with repeats, with what is flipped and one more bit each."""
        flipped = self.flipped(rows)
        flipped[torch.arange(len(rows), device=rows.device), bits] = True
        return self.showing(rows, flipped)

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
