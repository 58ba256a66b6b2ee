"""Neurons with a synaptic current: spikes bit for bit, whole networks, states that are read.

test_equations and test_slopes compare their gradients with those by hand and of the frameworks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn import Direct, Poisson, SpikingNetwork
from art_snn.gradients import GRADIENTS, STBP, FastSigmoid
from art_snn.gradients.rules import VARIANTS
from art_snn.gradients.synapse import filter_current
from art_snn.interop import adapt
from art_snn.interop.frameworks import find_kind
from tests.frameworks.loading import real
from tests.interop.promises import close, gradient, weighed
from tests.interop.stacks import images, lively

LOOP_STEPS = 12


def handed_on(neuron: nn.Module, x: Tensor) -> Tensor:
    """Spikes of a neuron of one step, whose states are handed on."""
    states: Any = ()
    spikes = []
    for step in x:
        fired, *states = neuron(step, *states)
        spikes.append(fired)
    return torch.stack(spikes)


def of_norse(name: str, **options: Any) -> nn.Module:
    norse = real("norse")
    values = {key: torch.as_tensor(value) for key, value in options.items()}
    return getattr(norse, name)(norse.LIFParameters(**values))


def of_sinabs(**options: Any) -> nn.Module:
    sinabs = real("sinabs")
    if options.pop("zero", False):
        options["reset_fn"] = sinabs.MembraneReset()
    return sinabs.LIF(**options)


def synaptic(**options: Any) -> nn.Module:
    return real("snntorch").Synaptic(**{"alpha": 0.7, "beta": 0.85} | options)


def cuba(mode: str, **options: Any) -> nn.Module:
    node = real("spikingjelly").CUBALIFNode(**options)
    node.step_mode = mode
    return node


def each(node: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([node(step) for step in x])


REST = {"v_leak": 0.3, "v_reset": -0.2, "v_th": 0.7, "tau_syn_inv": 130.0, "tau_mem_inv": 170.0}
TAUS = {"tau_mem": 7.0, "tau_syn": 3.0}
NEURONS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Tensor], Tensor]]] = {
    "LIFCell": (partial(of_norse, "LIFCell"), handed_on),
    "LIFCell rest": (partial(of_norse, "LIFCell", **REST), handed_on),
    "LIF rest": (partial(of_norse, "LIF", **REST), lambda neuron, x: neuron(x)[0]),
    "Synaptic": (synaptic, handed_on),
    "Synaptic of each": (partial(synaptic, alpha=torch.rand(100), beta=0.9), handed_on),
    "Synaptic none": (partial(synaptic, reset_mechanism="none"), handed_on),
    "Synaptic zero at once": (
        partial(synaptic, reset_mechanism="zero", reset_delay=False),
        handed_on,
    ),
    "sinabs": (
        partial(of_sinabs, **TAUS),
        lambda neuron, x: neuron(x.transpose(0, 1)).transpose(0, 1),
    ),
    "CUBA s": (partial(cuba, "s"), each),
    "CUBA m": (partial(cuba, "m", c_decay=0.7, v_reset=None), lambda node, x: node(x)),
}
SINABS = {
    "sinabs floor": {"min_v_mem": -0.25, **TAUS},
    "sinabs plain": {"norm_input": False, **TAUS},
    "sinabs zero": {"zero": True, **TAUS},
    "sinabs learned": {"train_alphas": True, **TAUS},
}
NEURONS |= {
    name: (partial(of_sinabs, **options), NEURONS["sinabs"][1]) for name, options in SINABS.items()
}


@pytest.mark.parametrize("name", NEURONS)
def test_spikes_are_equal_bit_for_bit_over_ten_thousand_neuron_steps(name):
    make, run = NEURONS[name]
    torch.manual_seed(0)
    neuron = make()
    kind, cls = find_kind(type(neuron))
    dynamics = kind.dynamics(neuron, cls)
    assert dynamics.has_synapse
    currents = 4 * torch.randn(100, 1, 100)
    with torch.no_grad():
        spikes = run(neuron, currents)
    assert torch.equal(dynamics.simulate(currents), spikes)
    assert 0.02 < (spikes > 0).float().mean() < 0.98


def test_synaptic_currents_of_sinabs_are_scaled_by_the_decay_in_the_gradient_too():
    neuron = of_sinabs(**TAUS)
    kind, cls = find_kind(type(neuron))
    dynamics = kind.dynamics(neuron, cls)
    x = torch.ones(3, 1, 1, requires_grad=True)
    a = dynamics.synapse
    (grad,) = torch.autograd.grad(filter_current(x, dynamics).sum(), x)
    torch.testing.assert_close(grad.flatten(), torch.tensor([a + a**2 + a**3, a + a**2, a]))


class OfNorse(nn.Module):
    """The network of a task of Norse, smaller: an encoder, a loop over time, largest potentials."""

    def __init__(self, task: str, encode: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        norse = real("norse")
        lif = partial(of_norse, "LIFCell", v_th=0.7 if task == "MNIST" else 0.4)
        pool = nn.MaxPool2d(2)
        if task == "MNIST":
            first = nn.Conv2d(1, 4, 5), lif(), pool, nn.Conv2d(4, 8, 5), lif(), pool, nn.Flatten()
            last = nn.Linear(8, 16), norse.LIFCell(), nn.ReLU(), norse.LILinearCell(16, 10)
        else:
            conv = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
            first = conv(3, 4), lif(), conv(4, 8), lif(), pool, conv(8, 16), lif(), pool
            last = conv(16, 16), lif(), pool, nn.Flatten(), nn.Linear(16, 10, False), norse.LICell()
        self.encode, self.body = encode, norse.SequentialState(*first, *last)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        potentials = []
        for step in self.encode(x):
            potential, state = self.body(step, state)
            potentials.append(potential)
        return largest(potentials)


def largest(potentials: list[Tensor]) -> Tensor:
    return torch.stack(potentials).max(0).values


class OfSnntorch(nn.Module):
    """Two layers of Synaptic, as its tutorial writes them; it returns one of their states."""

    def __init__(self, read: str = "mem") -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(9, 12), synaptic()
        self.fc2, self.lif2 = nn.Linear(12, 3), synaptic()
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        syn1, mem1 = self.lif1.reset_mem()
        syn2, mem2 = self.lif2.reset_mem()
        recorded = []
        for _ in range(LOOP_STEPS):
            spk1, syn1, mem1 = self.lif1(self.fc1(x.flatten(1)), syn1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            recorded.append({"mem": mem2, "spk": spk2, "syn": syn2}[self.read])
        return torch.stack(recorded).mean(0)


@cache
def whole(name: str) -> tuple[nn.Module, SpikingNetwork, Tensor]:
    """A model, its network, in which the model or adapt loops over time, and samples."""
    if name in ("mem", "spk"):
        model = lively(OfSnntorch(name), 0.5)
        return model, adapt(model, encoder=None), images()
    norse = real("norse")
    encode: Any = Poisson(LOOP_STEPS) if name == "MNIST, loop of adapt" else Direct(LOOP_STEPS)
    if name == "MNIST":
        encode = norse.ConstantCurrentLIFEncoder(LOOP_STEPS, norse.LIFParameters(v_th=0.05))
    model = lively(OfNorse(name[:5], encode), 0.25)
    x = images(3, (1, 16, 16) if "MNIST" in name else (3, 8, 8))
    if "loop" in name:
        return model, adapt(model.body, encoder=encode, readout=largest), x
    return model, adapt(model, encoder=None, harmless=[norse.functional.superspike.SuperSpike]), x


OF_NORSE = ["MNIST", "MNIST, loop of adapt", "CIFAR-10", "CIFAR-10, loop of adapt"]
AROUND = ["eot(stbp, samples=2)", "extended(stbp)", "mean(stbp, rga)"]
NATIVE = {"native": "native", "norse's": STBP(surrogate=FastSigmoid(k=1.0))}


@pytest.mark.parametrize("rule", [*GRADIENTS, *VARIANTS, *AROUND, "norse's"])
@pytest.mark.parametrize("name", [*OF_NORSE, "mem", "spk"])
def test_rules_run_whole_networks_whose_logits_stay_the_same(name, rule):
    model, network, x = whole(name)
    if rule in ("cba", "relu") or (rule == "extended(stbp)" and network.body.loops_itself):
        with pytest.raises(ValueError, match=r"IF neurons only|no spikes|another number of time"):
            gradient(network, rule, x)
        return
    torch.manual_seed(0)
    logits, grad = gradient(network, NATIVE.get(rule, rule), x)
    torch.manual_seed(0)
    wanted = model(x.requires_grad_())
    assert torch.equal(logits, wanted) != ("eot" in rule and name == "MNIST, loop of adapt")
    assert 0 < grad.abs().sum() < torch.inf
    if rule in NATIVE and name in OF_NORSE:
        close([grad], torch.autograd.grad(weighed(wanted), x), 1e-6)


@pytest.mark.parametrize("other", ["LSNNCell", "LIFRecurrentCell"])
@pytest.mark.filterwarnings("ignore:the rule knows no equations")
def test_cells_of_norse_with_and_without_known_equations_stand_side_by_side(other):
    norse = real("norse")
    sizes = (12, 12) if "Recurrent" in other else ()
    first = nn.Flatten(), nn.Linear(9, 12), norse.LIFCell(), nn.Linear(12, 12)
    last = getattr(norse, other)(*sizes), nn.Linear(12, 3), norse.LIFCell()
    model = lively(norse.SequentialState(*first, *last), 5.0)
    network = adapt(model, LOOP_STEPS, gradient="stbp")
    x = images().requires_grad_()
    assert torch.autograd.grad(weighed(network(x)), x)[0].any()


def read_elsewhere(framework):
    """A model that reads other state than potentials, and the name of that state."""
    if framework == "snntorch":
        return adapt(lively(OfSnntorch("syn"), 0.5), encoder=None), "the synaptic current of lif2"
    model = lively(nn.Sequential(nn.Flatten(2), nn.Linear(9, 3), real("norse").LIF()), 5.0)
    network = adapt(model, LOOP_STEPS, readout=lambda output: output[1].v)
    return network, "the state that 2 returns"


@pytest.mark.parametrize("framework", ["snntorch", "norse"])
def test_a_current_or_a_state_that_is_read_has_exchanged_slopes_and_no_rate_rule(framework):
    network, state = read_elsewhere(framework)
    with pytest.raises(ValueError, match=rf"{state}.*equations=False.* 'native'"):
        gradient(network, "rga", images())
    with pytest.warns(UserWarning, match=f"no equations of neurons can be used: .*{state}"):
        logits, grad = gradient(network, "stbp", images())
    native = gradient(network, "native", images())
    assert torch.equal(logits, native[0])
    assert grad.any()
    assert native[1].any()
