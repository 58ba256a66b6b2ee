"""The frameworks' own classes in adapt: states, settings, potentials, subclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from art_snn import STBP
from art_snn.dynamics import Dynamics, Values
from art_snn.gradients import Sigmoid
from art_snn.interop import adapt
from tests.frameworks.loading import real
from tests.interop.promises import (
    ALL_STEPS,
    OWN_TIME,
    RULES,
    close,
    gradient,
    gradients,
    inputs,
    weighed,
)
from tests.interop.stacks import (
    CLASSES,
    STEPS,
    Loop,
    SamplesFirst,
    SamplesMerged,
    Stack,
    StateLoop,
    chain,
    images,
    lively,
)
from tests.interop.test_steps import ReadHanded, assert_read_out

RATE_RULES = ("rga", "bptr", "hart", "static", "cba", "relu")
BETA, LOW = float(torch.tensor(0.8)), float(torch.tensor(0.3))


def drifting(library: Any) -> Callable[[], nn.Module]:
    class Drifting(library.IFNode):
        def single_step_functional_forward(self, inputs, states, **kwargs):
            (spikes,), (v,) = super().single_step_functional_forward(inputs, states, **kwargs)
            return (spikes,), (v + 0.05,)

    return partial(Drifting, step_mode="m")


def analog(library: Any) -> Callable[[], nn.Module]:
    surrogate = type(library.IFNode().surrogate_function)(spiking=False)
    return partial(library.IFNode, step_mode="m", surrogate_function=surrogate)


def of(name: str, *args: Any, **options: Any) -> Callable[[Any], Callable[[], nn.Module]]:
    return lambda library: partial(getattr(library, name), *args, **options)


UNKNOWN = [
    ("spikingjelly", drifting, "Drifting has a single_step_functional_forward of"),
    ("spikingjelly", analog, "its outputs are not 0 or 1"),
    (
        "spikingjelly",
        of("QIFNode", step_mode="m"),
        "not those of IFNode, LIFNode, ParametricLIFNode",
    ),
    ("snntorch", of("RLeaky", 0.9, all_to_all=False), "temporal rules exchange their slope"),
    ("snntorch", of("Synaptic", 0.9, 0.8, reset_mechanism="zero"), "the current of the next step"),
    ("snntorch", of("Synaptic", 0.9, 0.8, reset_delay=False), "twice its threshold is reset twice"),
    ("snntorch", of("Leaky", 0.9, reset_delay=False), "twice its threshold is reset twice"),
    ("snntorch", of("Leaky", 0.9, inhibition=True), "its neurons inhibit one another"),
    ("snntorch", of("Leaky", 0.9, graded_spikes_factor=-1.0), "amplitude: .*above 0"),
    ("norse", of("LSNNCell"), "not those of LIF, LIFBoxCell or IAFCell"),
    ("norse", of("LIFRecurrentCell", 12, 12), "temporal rules exchange their slope"),
    ("sinabs", of("IAF", reset_fn=round), "its reset_fn is <built-in function round>"),
]


@pytest.mark.parametrize(("framework", "make", "reason"), UNKNOWN)
@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_neurons_that_rules_do_not_know_are_refused_by_name_and_reason(framework, make, reason):
    model = Stack(make(real(framework)))
    network = adapt(model, steps=STEPS)
    assert network.gradient == STBP()  # By exchange.
    for rule in RATE_RULES:
        with pytest.raises(ValueError, match=rf"neuron 'neuron1'.*{reason}"):
            network.gradient = rule


def test_a_subclass_with_a_constructor_of_its_own_counts_as_the_same():
    jelly = real("spikingjelly")

    class Named(jelly.IFNode):
        def __init__(self, **options):
            super().__init__(v_threshold=0.5, **options)

    network = adapt(Stack(partial(Named, step_mode="m")), steps=STEPS)
    assert [site.dynamics.threshold for site in network.body.neurons()] == [0.5, 0.5]


def test_a_node_of_another_step_mode_mixes_samples():
    jelly = real("spikingjelly")
    model = Loop(partial(jelly.IFNode, step_mode="s"), 2.0)
    model.neuron2 = jelly.IFNode(step_mode="m")
    network = adapt(model, gradient="native", **OWN_TIME)
    with pytest.raises(ValueError, match="step mode"):
        gradients(network, "rga", inputs())


ZERO = {"threshold": 0.25, "reset_mechanism": "zero"}
SOFT = Dynamics(BETA, LOW, reset="soft", reset_by=LOW / BETA)
FILTERED = replace(SOFT, synapse=float(torch.tensor(0.7)))
LAST = {
    "subtract": ("Leaky", {"threshold": 0.3}, SOFT),
    "zero": ("Leaky", ZERO, Dynamics(BETA, 0.25)),
    "zero at once": ("Leaky", ZERO | {"reset_delay": False}, Dynamics(BETA, 0.25)),
    "none": ("Leaky", {"reset_mechanism": "none"}, Dynamics(BETA, reset="none")),
    "synapse": ("Synaptic", {"alpha": 0.7, "threshold": 0.3}, FILTERED),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("last", LAST)
def test_potentials_of_snntorch_are_those_before_a_delayed_reset(last, rule):
    snn = real("snntorch")
    name, options, equations = LAST[last]
    hidden = partial(snn.Leaky, 0.8, reset_mechanism="zero")
    model = ReadHanded(hidden, partial(getattr(snn, name), beta=0.8, **options))
    after = last == "zero at once"
    # Spikes of snnTorch are single precision.
    assert_read_out(model, Dynamics(BETA), equations, rule, after=after, tolerance=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("kind", "loss"), [("LIFBox", 1.0), ("LIF", float(torch.tensor(0.2)))])
def test_potentials_of_norse_are_those_after_the_reset(kind, loss, rule):
    norse = real("norse")
    share = float(0.001 * torch.tensor(300.0))
    settings = {"tau_mem_inv": torch.tensor(300.0), "v_th": torch.tensor(0.25)}
    p = getattr(norse, f"{kind}Parameters")(**settings)
    equations = Dynamics(1 - share, 0.25, gain=share, synapse=1 - loss)
    model = ReadHanded(norse.IAFCell, partial(getattr(norse, f"{kind}Cell"), p))
    assert_read_out(model, Dynamics(1.0), equations, rule, after=True, tolerance=1e-6)


def test_the_state_of_another_network_of_snntorch_is_not_reset():
    snn = real("snntorch")
    models = [StateLoop(partial(snn.Leaky, 0.8)) for _ in range(2)]
    models[1](inputs())
    kept = models[1].neuron1.mem
    gradients(adapt(models[0], **OWN_TIME), "rga", inputs())
    assert models[1].neuron1.mem is kept


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "static", "bptr"])
def test_a_learned_beta_of_snntorch_is_known_neuron_by_neuron(rule):
    snn = real("snntorch")
    beta = torch.tensor([0.2, 0.5, 0.9])
    model = lively(nn.Sequential(nn.Flatten(), nn.Linear(9, CLASSES)), 0.2)
    model.append(snn.Leaky(beta, init_hidden=True, learn_beta=True))
    network = adapt(model, steps=STEPS)
    assert gradient(network, rule, images())[1].any()
    assert network.body.neurons()[0].dynamics.decay == Values(beta)


def test_states_of_norse_that_nobody_hands_on_are_refused():
    norse = real("norse")

    class Forgetful(nn.Linear):
        def forward(self, x):
            return self.cell(super().forward(x.flatten(1)))[0]

    model = Forgetful(9, CLASSES)
    model.cell = norse.LIFBoxCell()
    network = adapt(lively(model), steps=STEPS, gradient="native")
    with pytest.raises(ValueError, match="without the state"):
        network(images())


def test_another_batch_size_draws_no_state_of_sinabs_at_random():
    sinabs = real("sinabs")
    model = SamplesFirst(partial(sinabs.IAF, spike_fn=sinabs.SingleSpike))
    network = adapt(model, **ALL_STEPS)
    with torch.no_grad():
        whole = network(inputs(6))
        parts = torch.cat([network(inputs(6)[:4]), network(inputs(6)[4:])])
    torch.testing.assert_close(whole, parts)
    assert model.neuron1.v_mem.shape == (0,)


def test_a_size_of_the_batch_that_sinabs_was_told_holds_for_every_batch():
    sinabs = real("sinabs")

    def squeezed(**lengths):
        neuron = partial(sinabs.IAFSqueeze, spike_fn=sinabs.SingleSpike, **lengths)
        return adapt(SamplesMerged(neuron), **ALL_STEPS)

    wanted = gradients(squeezed(num_timesteps=STEPS), "rga", inputs(6))
    network = squeezed(batch_size=6)
    logits, grad, _ = gradients(network, "rga", inputs(6))
    torch.testing.assert_close(logits, wanted[0])
    torch.testing.assert_close(grad, wanted[1])
    assert network.layers.neuron1.batch_size == 6
    with torch.no_grad():
        part = network(inputs(6)[:3])
    torch.testing.assert_close(part, logits[:3], rtol=0, atol=1e-6)


def test_decays_that_sinabs_learns_are_read_off():
    sinabs = real("sinabs")
    options = {"train_alphas": True, "spike_fn": sinabs.SingleSpike}
    network = adapt(SamplesFirst(partial(sinabs.LIF, tau_mem=3.0, **options), 2.0), **ALL_STEPS)
    assert network.body.neurons()[0].dynamics.decay == pytest.approx(0.7165, abs=1e-4)
    gradients(network, "rga", inputs())


@pytest.mark.parametrize("options", [{}, {"min_v_mem": -0.25, "spike_threshold": 0.5}])
@pytest.mark.parametrize("rule", ["rga", "stbp", "hart"])
def test_several_spikes_and_a_floor_of_sinabs_are_read_off(rule, options):
    sinabs = real("sinabs")
    network = adapt(SamplesFirst(partial(sinabs.IAF, **options), 4.0), **ALL_STEPS)
    dynamics = network.body.neurons()[0].dynamics
    assert (dynamics.max_spikes, dynamics.floor) == (None, options.get("min_v_mem"))
    # Spikes are compared with the neuron's own.
    assert gradients(network, rule, inputs())[1].any()


def test_a_node_of_0_0_0_0_14_with_equations_of_its_own_is_refused():
    library = real("spikingjelly old")

    class Older(library.LIFNode):
        def neuronal_charge(self, x):
            self.v = self.v + x

    network = adapt(Stack(partial(Older, step_mode="m"), 2.0), steps=STEPS)
    with pytest.raises(ValueError, match="neuronal_charge"):
        network.gradient = "rga"
    # It has a gradient in training mode alone, where it asks for other methods.
    with pytest.raises(ValueError, match="logits then differ"):
        gradients(network, "native", inputs())


def test_layers_of_multi_step_nodes_are_taken_as_they_are():
    jelly = real("spikingjelly")
    model = chain(jelly.LIFNode(step_mode="m"))
    model[1] = jelly.SeqToANNContainer(model[1])
    network = adapt(model, steps=STEPS)
    plain = adapt(chain(jelly.LIFNode(step_mode="m")), steps=STEPS)
    close(gradient(network, "rga", images()), gradient(plain, "rga", images()), 1e-6)


class Membrane(nn.Module):
    """[N, ...] -> [N, K], read off the potentials of its last neurons."""

    def __init__(self, hidden, last, read=None, mode="s"):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(9, 12), nn.Linear(12, CLASSES)
        self.hidden, self.last, self.read, self.mode = hidden, last, read, mode
        lively(self)

    def step(self, x):
        return self.last(self.fc2(self.hidden(self.fc1(x))))

    def forward(self, x):
        x = x.flatten(1)
        if self.mode == "m":
            self.step(x.expand(STEPS, *x.shape))
        else:
            for _ in range(STEPS):
                self.step(x)
        return self.read(self.last)


READ = {"v": lambda neuron: neuron.v, "v_seq": lambda neuron: neuron.v_seq.mean(0)}


@pytest.mark.parametrize("threshold", [1.0, 1e9, float("inf")])
@pytest.mark.parametrize("mode", ["m", "s"])
@pytest.mark.parametrize("what", READ)
def test_potentials_that_spikingjelly_reads_are_differentiated(what, mode, threshold):
    jelly = real("spikingjelly")

    def build():
        options = {"step_mode": mode, "detach_reset": True}
        last = jelly.LIFNode(**options, store_v_seq=True, v_threshold=threshold)
        return Membrane(jelly.LIFNode(**options), last, READ[what], mode)

    model, x = build(), images().requires_grad_()
    logits = model(x)
    (by_hand,) = torch.autograd.grad(weighed(logits), x)
    network = adapt(build(), encoder=None)
    # SpikingJelly's own surrogate and detached reset, as a rule of ours.
    for rule in ("native", STBP(surrogate=Sigmoid(4.0), detach_reset=True)):
        close(gradient(network, rule, images()), (logits.detach(), by_hand), 1e-5)
    if threshold != 1.0:
        with pytest.raises(ValueError, match=r"never fires"):
            adapt(build(), encoder=None, gradient="rga")
    for rule in ("rga", "stbp", "hart") if threshold == 1.0 else ("stbp",):
        found, grad = gradient(network, rule, images())
        assert torch.equal(found, logits)
        assert grad.any()


@pytest.mark.parametrize("rule", [*RULES, "native"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_potentials_that_a_model_of_snntorch_reads_are_those_that_it_returns(reset, rule):
    snn = real("snntorch")

    class Read(Membrane):
        def forward(self, x):
            potentials = []
            for _ in range(STEPS):
                self.step(x.flatten(1))
                potentials.append(self.last.mem)
            return torch.stack(potentials).mean(0)

    class Returned(Membrane):
        def forward(self, x):
            states, potentials = (self.hidden.init_leaky(), self.last.init_leaky()), []
            for _ in range(STEPS):
                spikes, first = self.hidden(self.fc1(x.flatten(1)), states[0])
                _, second = self.last(self.fc2(spikes), states[1])
                states = first, second
                potentials.append(second)
            return torch.stack(potentials).mean(0)

    results = []
    for make, hidden in ((Read, True), (Returned, False)):
        leaky = partial(snn.Leaky, 0.8, reset_mechanism=reset, init_hidden=hidden)
        results.append(gradient(adapt(make(leaky(), leaky()), encoder=None), rule, images()))
    close(*results)
