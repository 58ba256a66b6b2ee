"""Bits of event frames, and which of them an attack has flipped."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Flips:
    """Samples of two levels, and for every bit whether it was tried and is flipped.

    :param samples: the samples ``[n, *shape]``.
    :param other: their values with every bit flipped ``[n, *shape]``.
    :param untried: bool [n, P], the bits of a sample in a row.
    :param difference: what the flip of a bit did to the loss [n, P]; infinite where it is not
        flipped."""

    samples: Tensor
    other: Tensor
    untried: Tensor
    difference: Tensor

    @classmethod
    def none(cls, samples: Tensor, low: Tensor, high: Tensor, mask: Tensor | None) -> "Flips":
        """Of samples that are as they came.

        :param mask: bool ``[n, *shape]``, which bits may be flipped; None: every one."""
        other = torch.where(samples > (low + high) / 2, low, high)
        untried = torch.ones_like(samples, dtype=torch.bool) if mask is None else mask.clone()
        return cls(
            samples, other, untried.flatten(1), torch.full_like(samples, torch.inf).flatten(1)
        )

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
        """Of samples [m], the untried bits of the largest gradients whose flip lowers the loss.

        Zeros do not hinder a flip; they come last, in the order of the noise.

        :param gradient: of the loss, at what is flipped ``[m, *shape]``.
        :param noise: in (-1, 1) ``[m, *shape]``.
        :param count: how many bits per sample, at most.
        :return: samples among the rows [k], and their bits [k]."""
        rise = (self.other - self.samples)[rows].sign() * gradient
        size = torch.where(gradient == 0, -noise.abs(), gradient.abs())
        usable = self.untried[rows] & (rise <= 0).flatten(1)
        size = size.flatten(1).masked_fill(~usable, -torch.inf)
        ranked = size.sort(dim=1, descending=True, stable=True)
        which, place = (ranked.values[:, :count] > -torch.inf).nonzero(as_tuple=True)
        return rows[which], ranked.indices[which, place]

    def keep(self, rows: Tensor, bits: Tensor, difference: Tensor) -> None:
        """Those that were tried, and flip those that do not raise the loss.

        :param difference: what the flips did to the loss [k]."""
        self.untried[rows, bits] = False
        kept = difference <= 0
        self.difference[rows[kept], bits[kept]] = difference[kept].to(self.difference)
