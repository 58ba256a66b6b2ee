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
        return cls(*(torch.arange(len(like), device=place) for place in (like.device, "cpu")))

    def of(self, stay: Tensor, *others: Any) -> tuple[Any, ...]:
        """Those that a mask [n] on the CPU names, and the same rows of what belongs to them.

        :param others: tensors [n, ...], or what takes rows by a method `of`."""
        if stay.all():
            return self, *others
        which = stay.nonzero()[:, 0].to(self.rows.device)
        rows = (other.of(which) if hasattr(other, "of") else other[which] for other in others)
        return Left(self.rows[which], self.here[stay]), *rows
