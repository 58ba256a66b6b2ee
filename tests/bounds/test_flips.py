"""Flips reach as far as the worst of all choices of so many values, and no farther."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import nn

from art_snn.bounds.inputs import perturbed
from art_snn.bounds.operations import Propagation
from art_snn.layers import Normalize

LAYERS = {
    "convolution": lambda: nn.Conv2d(2, 3, 3, padding=1),
    "with a stride": lambda: nn.Conv2d(2, 3, 2, stride=2, bias=False),
    "in groups": lambda: nn.Conv2d(2, 4, 3, groups=2, padding=1),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 5)),
    "normalised": lambda: nn.Sequential(Normalize((0.1, 0.2), (0.5, 0.25)), nn.Conv2d(2, 3, 3)),
    "pooled": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 3, 2)),
    "pooled to a size": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Conv2d(2, 3, 2)),
}
APART = {"overlapping": lambda: nn.Sequential(nn.AvgPool2d(3, 1), nn.Conv2d(2, 3, 2))}


def worst(layer: nn.Module, x: torch.Tensor, count: int):
    """Lowest and highest outputs over all choices of `count` values of one sample."""
    places = torch.tensor(list(combinations(range(x.numel()), count)))
    flips = torch.zeros(len(places), x.numel()).scatter_(1, places, 1.0)
    outputs = torch.cat([layer(x), layer((x - flips.view(-1, *x.shape[1:])).abs())])
    return outputs.amin(0), outputs.amax(0)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", LAYERS | APART)
def test_flips_reach_the_worst_of_all_choices(name, count):
    torch.manual_seed(count)
    layer, x = (LAYERS | APART)[name](), (torch.rand(2, 2, 4, 4) > 0.6).float()
    with torch.no_grad(), Propagation():
        low, high = layer(perturbed(x, count, 0.0, (0.0, 1.0))).ends
    for n in range(len(x)):
        with torch.no_grad():
            least, most = worst(layer, x[n : n + 1], count)
        assert (low[n] <= least).all()
        assert (most <= high[n]).all()
        if name in LAYERS:
            torch.testing.assert_close(low[n], least, rtol=0, atol=1e-3)
            torch.testing.assert_close(high[n], most, rtol=0, atol=1e-3)


def test_samples_are_computed_in_parts_and_give_the_same(monkeypatch):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(2, 3, 3, padding=1), (torch.rand(5, 2, 4, 4) > 0.6).float()

    def ends():
        with torch.no_grad(), Propagation():
            return layer(perturbed(x, 2, 0.0, (0.0, 1.0))).ends

    together = ends()
    monkeypatch.setattr("art_snn.bounds.largest.ELEMENTS", 600)
    for a, b in zip(together, ends(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["convolution", "with a stride", "in groups", "pooled"])
def test_patches_give_the_same_each_once_and_one_by_one(name, monkeypatch):
    torch.manual_seed(0)
    layer, x = LAYERS[name](), (torch.rand(5, 2, 4, 4) > 0.6).float()

    def changes():
        with torch.no_grad(), Propagation():
            return layer(perturbed(x, 3, 0.0, (0.0, 1.0))).ends

    once = changes()
    monkeypatch.setattr("art_snn.bounds.patches.CODES", 0.0)
    for a, b in zip(once, changes(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
