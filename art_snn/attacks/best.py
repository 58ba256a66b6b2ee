"""The adversarial samples that an attack has found so far."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Best:
    """Of every sample the first one that is broken; until then the one with the highest value.

    :param samples: adversarial samples ``[n, *shape]``.
    :param values: what the attack raises, there [n]."""

    samples: Tensor
    values: Tensor

    @classmethod
    def none(cls, x: Tensor) -> "Best":
        """The samples themselves, below whatever is found."""
        return cls(x.clone(), torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device))

    def take(self, rows: Tensor, found: Tensor, values: Tensor, broken: Tensor) -> None:
        """Take in what was found for some samples that were not broken before.

        :param rows: which samples [m].
        :param found: ``[m, *shape]``, with the values [m] there and whether they are broken [m]."""
        better = broken | (values > self.values[rows])
        self.samples[rows[better]] = found[better]
        self.values[rows[better]] = values[better].to(self.values)
