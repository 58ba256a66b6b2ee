"""Neurons as modules: parameters, stand-alone use, errors, and settings of every neuron its own."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from art_snn import IF, LIF, STBP, Direct, SpikingNetwork, TimeDistributed
from art_snn.dynamics import Dynamics, Values
from art_snn.gradients import GRADIENTS, NeuronRef
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


STEPS, WIDTH = 6, 5
VARIED = {
    "decay": [0.3, 0.5, 0.9, 1.0, 0.7],
    "threshold": [0.5, 1.0, 1.5, 0.8, 1.2],
    "gain": [1.0, 0.5, 2.0, 1.5, 1.0],
    "constant": [0.0, 0.1, -0.1, 0.2, 0.0],
    "reset_by": [0.5, 0.4, 1.0, 0.8, 1.1],
    "v_reset": [0.0, 0.1, -0.2, 0.3, 0.0],
}
CASES = ["decay", "threshold", "decay threshold", "gain constant", "decay threshold reset_by"]
CASES += ["decay v_reset"]


def one_layer(dynamics: Dynamics, weight: torch.Tensor, columns: torch.Tensor) -> SpikingNetwork:
    linear = nn.Linear(WIDTH, weight.shape[0], bias=False, dtype=torch.float64)
    linear.weight.data.copy_(weight)
    out = nn.Linear(weight.shape[0], 3, bias=False, dtype=torch.float64)
    out.weight.data.copy_(columns)
    layers = [TimeDistributed(linear), Neuron(dynamics), TimeDistributed(out)]
    return SpikingNetwork(layers, Direct(STEPS))


def gradient(network: SpikingNetwork, rule: str, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x = x.clone().requires_grad_()
    with network.using(rule):
        logits = network(x)
    factors = torch.linspace(-1, 1.3, 3, dtype=torch.float64)
    return logits.detach(), torch.autograd.grad((logits * factors).sum(), x)[0]


@pytest.mark.parametrize("rule", [name for name in GRADIENTS if name != "cba"])
@pytest.mark.parametrize("case", CASES)
def test_a_layer_is_what_its_neurons_are_one_by_one(case, rule):
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
    columns = torch.randn(3, WIDTH, generator=generator, dtype=torch.float64)
    x = torch.rand(4, WIDTH, generator=generator, dtype=torch.float64)
    reset = "soft" if "reset_by" in case else "hard"
    varied = {name: torch.tensor(VARIED[name], dtype=torch.float64) for name in case.split()}
    if rule == "pdsg":
        rule = "pdsg-per-sample"  # Its deviation is over the batch, per neuron alike.
    logits, grad = gradient(one_layer(Dynamics(reset=reset, **varied), weight, columns), rule, x)
    wanted = []
    for i in range(WIDTH):
        one = Dynamics(reset=reset, **{name: values[i] for name, values in varied.items()})
        network = one_layer(one, weight[i : i + 1], columns[:, i : i + 1])
        wanted.append(gradient(network, rule, x))
    torch.testing.assert_close(logits, sum(one for one, _ in wanted))
    torch.testing.assert_close(grad, sum(one for _, one in wanted))
    assert grad.any()


def test_channels_have_settings_of_their_own():
    dynamics = Dynamics(decay=torch.tensor([0.2, 0.9]).view(2, 1, 1))
    current = torch.rand(STEPS, 3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    spikes = dynamics.simulate(current)
    for channel, decay in enumerate((0.2, 0.9)):
        alone = Dynamics(decay=torch.tensor(decay)).simulate(current[:, :, channel])
        assert torch.equal(spikes[:, :, channel], alone)


def test_they_are_compared_by_value_and_survive_copies():
    values = torch.tensor([0.2, 0.9])
    one, two = (Dynamics(decay=values.clone()) for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert one != Dynamics(decay=torch.tensor([0.2, 0.8]))
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert "0.2 to 0.9, 2 values" in repr(one)
    assert not one.uniform
    assert one.standard.decay == LIF(decay=values).dynamics.decay == Values(values)
    # A tensor of one number is that number.
    parameter = nn.Parameter(torch.tensor([0.25]))
    assert Dynamics(parameter, nn.Parameter(torch.tensor(2.0))) == Dynamics(0.25, 2.0)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("decay", [0.5, 1.5], r".* at most 1, got 1\.5"),
        ("decay", [-0.5, 0.5], "a number of at least 0"),
        ("threshold", [1.0, -1.0], "a number above 0"),
        ("decay", [0.5, float("nan")], ""),
    ],
)
def test_every_number_must_be_within_range(name, values, message):
    with pytest.raises(ValueError, match=f"{name}: expected {message}"):
        Dynamics(**{name: torch.tensor(values)})
