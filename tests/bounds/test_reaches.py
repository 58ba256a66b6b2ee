"""Budgets that are no boxes, in the Euclidean norm and in flips, hold where values are repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn.bounds.inputs import perturbed
from art_snn.bounds.operations import Propagation
from art_snn.layers import Normalize
from tests.bounds.drawn import LIMITS
from tests.conftest import varied

SHAPE = (2, 1, 4, 4)
GREY = (0.1, 0.2, 0.3)


def rows(x: Tensor) -> Tensor:
    """[2, 1, 4, 4] over four steps as one row per sample."""
    return x.expand(4, *x.shape).transpose(0, 1).flatten(1)


REPEATED = {
    "expanded": (lambda x: x.expand(-1, 3, -1, -1), nn.Conv2d(3, 4, 3)),
    "normalised": (lambda x: Normalize(GREY, (1.0, 1.0, 1.0))(x), nn.Conv2d(3, 4, 3)),
    "shifted": (lambda x: x - torch.tensor(GREY).view(1, 3, 1, 1), nn.Conv2d(3, 4, 3)),
    "scaled": (lambda x: x * torch.tensor(GREY).view(1, 3, 1, 1), nn.Conv2d(3, 4, 3)),
    "chosen twice": (lambda x: x[:, [0, 0, 0]], nn.Conv2d(3, 4, 3)),
    "joined": (lambda x: torch.cat([x, x], 1), nn.Conv2d(2, 4, 3)),
    "steps in a row": (rows, nn.Linear(64, 4)),
    "merged steps": (lambda x: rows(x).view(1, 2, 64), nn.Linear(64, 4)),
    "steps as channels": (lambda x: x.expand(4, *SHAPE)[:, 0, 0], nn.Conv2d(4, 4, 3)),
    "steps apart": (lambda x: x.expand(4, *SHAPE).flatten(0, 1), nn.Conv2d(1, 4, 3)),
    "steps around": (lambda x: x.expand(4, *SHAPE).flatten(2), nn.Linear(16, 4)),
    "one step": (lambda x: x.expand(4, *SHAPE)[0], nn.Conv2d(1, 4, 3)),
    "moved": (lambda x: x.transpose(2, 3).flatten(1)[:, :8], nn.Linear(8, 4)),
}


# Flips in front of a linear layer on several axes are refused.
ROWS = [(name, norm) for name in REPEATED for norm in (2, 0) if (name, norm) != ("steps around", 0)]


@pytest.mark.parametrize(("name", "norm"), ROWS)
def test_the_worst_perturbation_of_an_output_lies_in_its_interval(name, norm):
    move, layer = REPEATED[name]
    torch.manual_seed(varied())
    with torch.no_grad():
        layer.weight.abs_()  # Repeated values pull in one direction.
    x = torch.rand(SHAPE) * 0.2 + 0.4
    x = x if norm == 2 else x.round()
    eps = 0.1 if norm == 2 else 2
    with torch.no_grad(), Propagation():
        low, high = layer(move(perturbed(x, eps, norm, LIMITS))).ends
    leaf = x.clone().requires_grad_()
    y = layer(move(leaf))
    assert low.shape == y.shape
    for index in np.ndindex(*y.shape):
        (slope,) = torch.autograd.grad(y[index], leaf, retain_graph=True)
        for end, side in ((low, -1), (high, 1)):
            with torch.no_grad():
                reached = layer(move(_worst(x, side * slope, eps, norm)))[index]
            assert side * (end[index] - reached) >= 0


def _worst(x: Tensor, slope: Tensor, eps: float, norm: float) -> Tensor:
    """The point within the budget that is the farthest along a slope."""
    if norm == 2:
        return x + eps * slope / slope.norm().clamp_min(1e-12)
    gain = torch.where(x > 0.5, -slope, slope).flatten()
    places = gain.topk(int(eps)).indices
    return x.flatten().scatter(0, places, 1 - x.flatten()[places]).view_as(x)


@pytest.mark.parametrize("name", ["steps apart", "steps around", "one step", "moved"])
def test_repeated_steps_that_stay_apart_keep_the_euclidean_budget(name):
    move, layer = REPEATED[name]
    x = torch.full(SHAPE, 0.5)
    with torch.no_grad(), Propagation():
        low, high = layer(move(perturbed(x, 0.1, 2, LIMITS))).ends
        box_low, box_high = layer(move(perturbed(x, 0.1, np.inf, LIMITS))).ends
    assert (high - low < 0.9 * (box_high - box_low)).all()
