"""What a second reading doubted: silence, potentials, further arguments, outsiders, and states."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from art_snn.dynamics import Dynamics
from art_snn.interop import adapt, register_neuron
from tests.adapted import Spike
from tests.interop import reference
from tests.interop.promises import close, gradients, inputs, weighed
from tests.interop.reference import RULES, Equations
from tests.interop.stacks import STEPS, Loop, SamplesFirst, SamplesMerged, Stack, StateLoop
from tests.interop.test_steps import Read, assert_read_out
from tests.standins import snntorch, spikingjelly as sj

OWN = {"encoder": None, "readout": "mean"}
multi = partial(sj.LIFNode, step_mode="m")
single = partial(sj.LIFNode, step_mode="s")


class Own(nn.Module):
    """A neuron with a decay of 0.5 on [T, N, ...], written by hand; v0 is where it starts."""

    def forward(self, x, v0=None):
        v, spikes = torch.zeros_like(x[0]) if v0 is None else v0, []
        for now in x:
            u = 0.5 * v + now
            spikes.append(Spike.apply(u - 1))
            v = u * (1 - spikes[-1])
        return torch.stack(spikes)


class SamplesOwn(Own):
    def forward(self, x):
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


class RowsOwn(Own):
    def forward(self, x):
        rows = x.view(-1, STEPS, *x.shape[1:]).transpose(0, 1)
        return super().forward(rows).transpose(0, 1).flatten(0, 1)


class Stepping(nn.Module):
    """One step: (spikes, potential after the reset), from the potential that is handed on."""

    def forward(self, x, v=None):
        u = x if v is None else 0.5 * v + x
        s = Spike.apply(u - 1)
        return s, u * (1 - s)


def another(cls):
    """A class of the same forward, which is registered otherwise."""
    return type(f"Another{cls.__name__}", (cls,), {"forward": cls.forward})


# Of another decay; said to return the potential before the reset; said to return spikes alone.
Wrong, Before, Unsaid = another(Own), another(Stepping), another(Stepping)


class Writing(nn.Module):
    """Keeps its state in a tensor and a list that it writes into."""

    def __init__(self):
        super().__init__()
        self.mem, self.past = torch.zeros(5, 12, dtype=torch.float64), []

    def reset(self):
        self.mem.zero_()
        self.past.clear()

    def forward(self, x):
        self.mem.mul_(0.5).add_(x.detach())
        s = Spike.apply(self.mem - 1 + (x - x.detach()))
        self.mem.mul_(1 - s.detach())
        self.past.append(s)
        return s


half = {"dynamics": lambda module: Dynamics(0.5)}
register_neuron(Own, **half)
register_neuron(Wrong, dynamics=lambda module: Dynamics(0.9))
register_neuron(SamplesOwn, **half, layout="samples first")
register_neuron(RowsOwn, **half, layout="samples merged")
register_neuron(Stepping, **half, layout="step", returns="after reset")
register_neuron(Before, **half, layout="step", returns="before reset")
register_neuron(Unsaid, **half, layout="step")
register_neuron(Writing, **half, layout="step")


@pytest.mark.parametrize("rule", RULES)
def test_potentials_without_a_delay_of_the_reset_are_those_behind_it(rule):
    beta = float(torch.tensor(0.8))
    at_once = partial(
        snntorch.Leaky, 0.8, threshold=0.25, reset_mechanism="zero", reset_delay=False
    )
    model = Read(partial(snntorch.Leaky, 0.8, reset_mechanism="zero"), at_once)
    assert_read_out(model, Equations(beta), Equations(beta, 0.25), rule, after=True)


@pytest.mark.parametrize("rule", RULES)
def test_potentials_of_ones_own_neurons_are_those_that_were_said(rule):
    model = Read(Stepping, Stepping)
    assert_read_out(model, Equations(0.5), Equations(0.5), rule, after=True)


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (Before, r"got neuron1, whose potentials are not those before reset"),
        (Unsaid, r"got neuron1, which returns something else\. register_neuron\(\.\.\., returns="),
    ],
)
def test_potentials_that_are_not_those_that_were_said_are_refused(neuron, message):
    with pytest.raises(ValueError, match=message):
        gradients(adapt(StateLoop(neuron), **OWN), "rga", inputs())


@pytest.mark.parametrize("rule", ["stbp", "rga"])
def test_silence_proves_nothing(rule):
    network = adapt(Stack(Wrong, 2.0), steps=STEPS)
    with torch.no_grad():
        for weight in (network.model.fc1, network.model.fc2):
            weight.bias.fill_(-0.1)
    dark = torch.zeros_like(inputs())
    with pytest.warns(UserWarning, match="is zero for the first 5"):
        gradients(network, rule, dark)
    with pytest.raises(ValueError, match="got neuron1, of whose spikes"):
        gradients(network, rule, inputs())


def test_further_arguments_of_a_neuron_are_refused_and_names_are_not():
    class Started(Stack):
        def fire(self, neuron, current):
            return neuron(current, torch.full_like(current[0], 0.9))

    class Named(Stack):
        def fire(self, neuron, current):
            return neuron(x=current, v0=None)

    with pytest.raises(ValueError, match="got neuron1, which is given more than that"):
        gradients(adapt(Started(Own), steps=STEPS), "stbp", inputs())
    wanted = gradients(adapt(Stack(Own), steps=STEPS), "stbp", inputs())
    named = gradients(adapt(Named(Own), steps=STEPS), "stbp", inputs())
    assert torch.equal(named[1], wanted[1])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("stack", "neuron"), [(SamplesFirst, SamplesOwn), (SamplesMerged, RowsOwn)]
)
def test_every_layout_may_be_registered(stack, neuron, rule):
    wanted = gradients(adapt(Stack(Own), steps=STEPS), rule, inputs())
    close(gradients(adapt(stack(neuron), steps=STEPS), rule, inputs())[:2], wanted[:2])


@pytest.mark.parametrize("rule", ["native", "stbp", "rga"])
def test_a_readout_that_is_a_module_is_trained_in_a_loop_too(rule):
    class Potentials(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 3, dtype=torch.float64)

        def forward(self, outputs):
            return self.last(outputs.mean(0))

    network = adapt(Loop(single, 2.0), encoder=None, readout=Potentials())
    with network.using(rule):
        network(inputs())[:, 0].sum().backward()
    assert network.readout.last.weight.grad.any()
    assert network.model.fc1.weight.grad.any()


def test_a_network_may_ask_another_one():
    other = adapt(Stack(multi, 2.0), steps=STEPS)
    model = Stack(multi, 2.0)
    seen = []
    model.register_forward_hook(lambda m, i, o: seen.append(other(i[0][0].detach())) or None)
    network = adapt(model, steps=STEPS)
    with torch.no_grad():
        wanted = network(inputs())
        assert torch.equal(seen[-1], wanted)
    for rule in ("native", "rga"):
        gradients(network, rule, inputs())


def test_a_state_that_is_written_into_is_neither_used_nor_changed():
    model = Loop(Writing)
    model.neuron2.mem = torch.zeros(5, 8, dtype=torch.float64)
    network = adapt(model, **OWN)
    model.neuron1.mem.fill_(7.0)
    model.neuron1.past.append("mine")
    kept = model.neuron1.mem
    first = gradients(network, "stbp", inputs())
    second = gradients(network, "stbp", inputs())
    assert torch.equal(first[1], second[1])
    assert model.neuron1.mem is kept
    assert model.neuron1.mem.eq(7.0).all()
    assert model.neuron1.past == ["mine"]


def test_buffers_that_count_are_counted_by_passes_alone():
    class Counting(Stack):
        def __init__(self, *args):
            super().__init__(*args)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return super().forward(x)

    network = adapt(Counting(multi, 2.0), steps=STEPS)
    with torch.no_grad():
        network(inputs())
    assert network.model.seen == 1  # What was verified before is undone.
    with torch.no_grad():
        network(inputs())
    assert network.model.seen == 2


@pytest.mark.parametrize("rule", ["native", "stbp"])
def test_batch_norm_of_any_name_learns_from_passes_alone(rule):
    class TdBN(nn.BatchNorm1d):
        pass

    class Normed(Stack):
        def __init__(self, *args):
            super().__init__(*args)
            self.norm = TdBN(12, dtype=torch.float64)

        def layers(self, x):
            y = self.fc1(x)
            y = self.norm(y.flatten(0, 1)).view(y.shape)
            return self.fc3(self.neuron2(self.fc2(self.neuron1(y))))

    network = adapt(Normed(multi, 2.0), steps=STEPS).train()
    with network.using(rule):
        network(inputs()).sum().backward()
    assert network.model.norm.num_batches_tracked == 1


@pytest.mark.parametrize("rule", ["native", "stbp"])
def test_functional_dropout_in_training_is_no_state(rule):
    class Dropping(Stack):
        def layers(self, x):
            return super().layers(nn.functional.dropout(x, 0.2, self.training))

    network = adapt(Dropping(multi, 2.0), steps=STEPS).train()
    with network.using(rule):
        network(inputs()).sum().backward()
    assert network.model.fc1.weight.grad.any()


@pytest.mark.parametrize("rule", ["native", "stbp", "rga"])
@pytest.mark.parametrize("make", [Stack, Loop])
def test_weights_are_trained_behind_an_input_that_no_gradient_reaches(rule, make):
    class Binary(make):
        def layers(self, x):
            return super().layers((x > 0.5).to(x.dtype))

    whole = make is Stack
    network = adapt(Binary(multi if whole else single, 2.0), **({"steps": STEPS} if whole else OWN))
    with network.using(rule):
        network(inputs()).sum().backward()
        assert network.model.fc1.weight.grad.any()
        with pytest.raises(ValueError, match="gradient at the input is"):
            network(inputs().requires_grad_())


@pytest.mark.parametrize("rule", ["native", "stbp", "rga", "hart"])
def test_spikes_may_be_written_into(rule):
    class Adding(Loop):
        def layers(self, x):
            spikes = self.neuron1(self.fc1(x))
            spikes += 0.25
            return self.fc3(self.neuron2(self.fc2(spikes)))

    class AddingStack(Stack):
        def layers(self, x):
            return self.fc3(self.neuron2(self.fc2(self.neuron1(self.fc1(x)) + 0.25)))

    wanted = gradients(adapt(AddingStack(multi, 2.0), steps=STEPS), rule, inputs())
    close(gradients(adapt(Adding(single, 2.0), **OWN), rule, inputs())[:2], wanted[:2])


@pytest.mark.parametrize("rule", ["native", "rga"])
def test_logits_that_are_no_numbers_are_no_state(rule):
    network = adapt(Stack(multi, 2.0), steps=STEPS)
    with torch.no_grad():
        network.model.fc3.bias.fill_(torch.nan)
        assert torch.isnan(network(inputs())).all()
    with network.using(rule):
        network(inputs())


@dataclass(frozen=True)
class Refractory(Dynamics):
    """Fires at most once."""

    def simulate(self, current, potential=None, spikes=None):
        spikes = Dynamics.simulate(self, current, potential, spikes)
        return spikes.mul_(spikes.cumsum(0) <= 1)


class Once(Own):
    def forward(self, x):
        spikes = super().forward(x)
        return spikes * (spikes.cumsum(0) <= 1)


register_neuron(Once, dynamics=lambda module: Refractory(0.5))


def test_dynamics_of_ones_own_kind_are_taken():
    network = adapt(Stack(Once, 2.0), steps=STEPS)
    assert str(network.gradient) == "Native()"
    assert gradients(network, "bptr", inputs())[1].any()
    with pytest.raises(ValueError, match="these neurons obey other"):
        network.gradient = "rga"


class Summing(nn.Module):
    """Without a reset, on [T, N, ...]."""

    def forward(self, x):
        return Spike.apply(x.cumsum(0) - 1)


register_neuron(Summing, dynamics=lambda module: Dynamics(1.0, reset="none"))


def test_neurons_without_a_reset_may_take_all_steps():
    network = adapt(Stack(Summing), steps=STEPS)
    logits, grad, _ = gradients(network, "stbp", inputs())
    x = inputs().requires_grad_()
    equations = Equations(1.0, reset="none")
    wanted = reference.logits(network.model.weights, equations, STEPS, x, "stbp")
    (by_hand,) = torch.autograd.grad(weighed(wanted), x)
    close((logits, grad), (wanted.detach(), by_hand))
    with pytest.raises(ValueError, match="these neurons obey other"):
        network.gradient = "rga"


def test_shallow_copies_made_during_a_pass_run_themselves():
    model = Stack(multi, 2.0)
    copies = []
    model.fc2.register_forward_pre_hook(
        lambda *_: copies.append(copy.copy(model.neuron1)) if not copies else None
    )
    with torch.no_grad():
        adapt(model, steps=STEPS)(inputs())
    (copied,) = copies
    copied.v_threshold = 1e3
    other = Stack(multi, 2.0)
    other.neuron1 = copied
    with torch.no_grad():
        assert not adapt(other, steps=STEPS)(inputs()).equal(adapt(model, steps=STEPS)(inputs()))
    assert not any("forward" in vars(module) for module in other.modules())


def test_copies_do_not_believe_what_was_verified():
    network = adapt(Stack(multi, 2.0), steps=STEPS)
    gradients(network, "rga", inputs())
    assert network.verified
    assert not copy.deepcopy(network).verified
