"""A learner whose logits are a product with a matrix, for values that are computed by hand."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Affine:
    weight: Tensor
    device = torch.device("cpu")

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.weight.T

    at_input = __call__


def rows(*values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
