"""Which samples an attack still works on, for the device and for the host."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Left:
    """Rows of samples [n] on the device, and on the CPU, where they are counted without a wait."""

    rows: Tensor
    here: Tensor

    @classmethod
    def all_of(cls, like: Tensor) -> "Left":
        """All samples [N, ...] of a tensor."""
        return cls(
            torch.arange(len(like), device=like.device), torch.arange(len(like), device="cpu")
        )

    def of(self, stay: Tensor, *others: Tensor) -> tuple[Any, ...]:
        """Those that a mask [n] on the CPU names, and the same rows of other tensors."""
        if stay.all():
            return self, *others
        which = stay.nonzero()[:, 0].to(self.rows.device)
        return Left(self.rows[which], self.here[stay]), *(other[which] for other in others)
