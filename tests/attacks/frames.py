"""Classifiers of event frames that are linear, and what they were asked."""

from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from tests.attacks.classifiers import stock


def linear_in(weights: Any, bias: Any, **options: Any) -> PyTorchClassifier:
    """Logits = weights [K, *shape] x + bias [K], for samples of that shape."""
    table = torch.as_tensor(np.asarray(weights, dtype=np.float64))
    layer = nn.Linear(table[0].numel(), len(table)).double()
    with torch.no_grad():
        layer.weight.copy_(table.flatten(1))
        layer.bias.copy_(torch.as_tensor(np.asarray(bias, dtype=np.float64)))
    module = Counting(nn.Sequential(nn.Flatten(), layer))
    return stock(module, tuple(table.shape[1:]), len(table), **options)


class Counting(nn.Module):
    """How many samples a module was asked for, and the most of a pass."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.rows, self.largest = module, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        self.largest = max(self.largest, len(x))
        found: Tensor = self.module(x)
        return found
