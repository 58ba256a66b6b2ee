"""Settings that differ from neuron to neuron, in every rule, against neurons one by one."""

import copy
import pickle

import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed
from art_snn.dynamics import Dynamics, Values
from art_snn.gradients import GRADIENTS
from art_snn.neurons import Neuron

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
