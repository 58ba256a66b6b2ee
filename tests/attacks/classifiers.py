"""Classifiers of few weights for the tests of attacks, of which everything is known by hand."""

from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn


def linear(weights: Any, bias: Any = None, **options: Any) -> PyTorchClassifier:
    """ART's stock classifier: logits = weights [K, D] x + bias [K], for samples (D,)."""
    table = torch.as_tensor(np.asarray(weights, dtype=np.float64))
    layer = nn.Linear(table.shape[1], len(table)).double()
    with torch.no_grad():
        layer.weight.copy_(table)
        layer.bias.copy_(torch.zeros(len(table)) if bias is None else torch.as_tensor(bias))
    return stock(layer, (table.shape[1],), len(table), **options)


def stock(
    module: nn.Module, shape: tuple[int, ...], classes: int, **options: Any
) -> PyTorchClassifier:
    """ART's stock classifier around a module, in double precision."""
    options = {"clip_values": (0.0, 1.0), "device_type": "cpu"} | options
    return PyTorchClassifier(_Whole(module), nn.CrossEntropyLoss(), shape, classes, **options)


class _Whole(nn.Module):
    """ART takes a bare nn.Sequential apart."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.module(x.double())
        return found
