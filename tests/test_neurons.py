"""Neurons as modules: parameters, stand-alone use, errors."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from art_snn import IF, LIF, STBP, Direct, SpikingNetwork, TimeDistributed
from art_snn.dynamics import Dynamics
from art_snn.gradients import NeuronRef
from art_snn.neurons import Neuron


@pytest.mark.parametrize(
    ("neuron", "dynamics"),
    [
        (LIF(), Dynamics(0.5, 1.0, "hard")),
        (LIF(decay=0.9, threshold=0.5, reset="soft"), Dynamics(0.9, 0.5, "soft")),
        (IF(), Dynamics(1.0, 1.0, "hard")),
        (IF(threshold=2.0, reset="soft"), Dynamics(1.0, 2.0, "soft")),
    ],
)
def test_a_neuron_has_its_dynamics_shows_them_and_has_nothing_to_save(neuron, dynamics):
    assert neuron.dynamics == dynamics
    assert repr(neuron) == repr(dynamics).replace("Dynamics", type(neuron).__name__)
    assert list(neuron.parameters()) == []
    assert neuron.state_dict() == {}


def test_a_neuron_on_its_own_is_differentiated_by_stbp():
    neuron = LIF(decay=0.9, reset="soft")
    current = torch.randn(6, 2, 3).add_(0.6).requires_grad_()
    at_spikes = torch.randn(6, 2, 3)
    (alone,) = torch.autograd.grad(neuron(current), current, at_spikes)
    spikes = STBP().firing()(NeuronRef("", neuron.dynamics), current)
    (expected,) = torch.autograd.grad(spikes, current, at_spikes)
    assert torch.equal(alone, expected)
    assert alone.abs().sum() > 0


def test_neurons_can_be_copied_and_pickled_and_take_new_dynamics():
    neuron = LIF(decay=0.7, threshold=0.4, reset="soft")
    current = torch.rand(5, 2, 3)
    for twin in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert isinstance(twin, Neuron)
        assert torch.equal(twin(current), neuron(current))
        assert twin.dynamics == neuron.dynamics
    neuron.dynamics = Dynamics(decay=1.0)
    assert torch.equal(neuron(current), Dynamics(decay=1.0).simulate(current))


@pytest.mark.parametrize("shape", [(), (4,), (0, 2), (0, 2, 3)])
def test_a_current_without_time_steps_or_batch_axis_is_refused(shape):
    with pytest.raises(ValueError, match=r"^current: .*\[T, N, "):
        LIF()(torch.zeros(shape))


@pytest.mark.parametrize("neuron", [LIF, IF])
def test_neurons_without_a_reset_are_refused(neuron):
    with pytest.raises(ValueError, match=r"^reset: expected .*, got 'none'"):
        neuron(reset="none")


@pytest.mark.parametrize("gradient", ["rga", "stbp"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_is_refused_instead_of_using_another_rule(gradient, reentrant):
    class Checkpointed(nn.Sequential):
        def forward(self, x):
            return checkpoint(super().forward, x, use_reentrant=reentrant)

    block = Checkpointed(TimeDistributed(nn.Linear(3, 3)), LIF(threshold=0.1))
    net = SpikingNetwork([block, TimeDistributed(nn.Linear(3, 2))], Direct(4), gradient)
    loss = net(torch.rand(2, 3, requires_grad=True)).sum()
    with pytest.raises(RuntimeError, match="activation checkpointing"):
        loss.backward()
