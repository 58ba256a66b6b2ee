"""Engine of the temporal rules: what it keeps, what it asks of a rule, what it refuses."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from art_snn import STBP
from art_snn.dynamics import Dynamics
from art_snn.gradients import NeuronRef, TemporalGradient, Triangle

DYNAMICS = [Dynamics(decay, 1.0, reset) for decay in (1.0, 0.5) for reset in ("hard", "soft")]


@dataclass(frozen=True)
class Whole(TemporalGradient):
    """The triangle, asked for once for all steps; notes what it was asked."""

    detach_reset: bool = False
    asked: list[tuple[Tensor, NeuronRef]] = field(default_factory=list, compare=False, repr=False)

    def slope(self, distance: Tensor, site: NeuronRef) -> Tensor:
        self.asked.append((distance.clone(), site))
        return Triangle()(distance)


@dataclass(frozen=True)
class InParts(Whole):
    """The same, asked for some samples at a time."""

    elementwise: ClassVar[bool] = True


def gradient(rule, dynamics, current, at_spikes):
    current = current.clone().requires_grad_()
    spikes = rule.firing()(NeuronRef("here", dynamics), current)
    return torch.autograd.grad(spikes, current, at_spikes)[0]


@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("dynamics", DYNAMICS, ids=str)
def test_slopes_of_all_steps_at_once_and_in_parts_give_the_same(dynamics, detach_reset):
    current, at_spikes = torch.randn(2, 5, 3, 4, dtype=torch.float64) + 0.5
    whole, parts = Whole(detach_reset), InParts(detach_reset)
    got = gradient(whole, dynamics, current, at_spikes)
    assert torch.equal(got, gradient(parts, dynamics, current, at_spikes))
    plain = gradient(STBP(detach_reset=detach_reset), dynamics, current, at_spikes)
    assert torch.equal(got, plain)
    assert got.abs().sum() > 0


@pytest.mark.parametrize("kind", [Whole, InParts])
def test_a_rule_sees_all_distances_and_the_site_at_once_or_in_parts_where_they_are_large(kind):
    dynamics, rule = Dynamics(0.5, 0.8, "soft"), kind()
    current = torch.rand(5, 3, 2**16, dtype=torch.float64)
    gradient(rule, dynamics, current, torch.ones_like(current))
    potential = torch.empty_like(current)
    dynamics.simulate(current, potential)
    assert len(rule.asked) == (1 if kind is Whole else 3)
    distances = torch.cat([distance for distance, _ in rule.asked], 1)
    assert torch.equal(distances, potential - 0.8)
    assert {site for _, site in rule.asked} == {NeuronRef("here", dynamics)}


@pytest.mark.parametrize("rule", [STBP(), STBP(detach_reset=True), Whole()], ids=repr)
@pytest.mark.parametrize("dynamics", DYNAMICS, ids=str)
def test_a_large_layer_has_the_gradient_of_its_samples_one_by_one(rule, dynamics):
    current = torch.rand(2, 3, 2**18) + 0.3
    at_spikes = torch.rand(2, 3, 2**18)
    alone = [gradient(rule, dynamics, current[:, [n]], at_spikes[:, [n]]) for n in range(3)]
    assert torch.equal(gradient(rule, dynamics, current, at_spikes), torch.cat(alone, 1))
