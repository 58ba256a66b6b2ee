"""The adversarial samples that an attack has found so far."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Best:
    """Of every sample the first one that is broken; until then the one with the highest value.

    :param samples: adversarial samples ``[n, *shape]``; before anything was found, the samples.
    :param values: what the attack raises, there [n].
    :param broken: bool [n]."""

    samples: Tensor
    values: Tensor
    broken: Tensor

    @classmethod
    def none(cls, x: Tensor) -> "Best":
        """The samples themselves, below whatever is found."""
        lowest = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
        return cls(x.clone(), lowest, torch.zeros_like(lowest, dtype=torch.bool))

    def take(self, rows: Tensor, found: Tensor, values: Tensor, broken: Tensor) -> None:
        """Take in what was found for some samples that were not broken before.

        :param rows: which samples [m].
        :param found: ``[m, *shape]``, with the values [m] there and whether they are broken [m]."""
        better = broken | (values > self.values[rows])
        self.samples[rows[better]] = found[better]
        self.values[rows[better]] = values[better].to(self.values)
        self.broken[rows[broken]] = True
