"""Models that would give a wrong gradient are refused: by neuron, reason and remedy."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from art_snn.dynamics import Dynamics
from art_snn.gradients import RGA, STBP, Native
from art_snn.interop import adapt, register_neuron
from tests.interop.adapted import Threshold
from tests.interop.neurons import (
    Gated,
    Handed,
    Step,
    Steps,
    Synaptic,
    SynapticSteps,
    again,
    dynamics,
)
from tests.interop.promises import ALL_STEPS, OWN_TIME, gradients, inputs
from tests.interop.stacks import STEPS, Loop, Stack

IF = partial(Steps, 1.0)


def test_a_forward_exchanged_on_a_module_is_refused_and_left_there():
    model = Stack(Steps)
    network = adapt(model, steps=STEPS)
    forward = model.neuron2.forward
    model.neuron2.forward = exchanged = lambda x: forward(x)
    for call in (lambda: network(inputs()), lambda: adapt(model, steps=STEPS)):
        with pytest.raises(ValueError, match=r"^model: .*neuron2.*exchanged"):
            call()
    assert vars(model.neuron2)["forward"] is exchanged


class Otherwise(Gated):
    """It fires otherwise in training mode."""

    def fire(self, distance):
        return super().fire(distance + 0.5 * self.training)


class Twice(Loop):
    def layers(self, x):
        first = self.neuron1(self.fc1(x))
        return self.fc3(self.neuron2(self.fc2(self.neuron1(first))))


class Blind(Stack):
    def layers(self, x):
        with torch.no_grad():
            x = self.neuron1(self.fc1(x))
        return self.fc3(self.neuron2(self.fc2(x)))


class ByFunction(Stack):
    def layers(self, x):
        spikes = Steps.forward(self.neuron1, self.fc1(x))
        return self.fc3(self.neuron2(self.fc2(spikes)))


class Idle(Stack):
    def layers(self, x):
        return self.fc3(self.fc2(self.fc1(x)))


class Longer(Stack):
    def forward(self, x):
        return super().forward(torch.cat([x, x]))[:STEPS]


class Uneven(Loop):
    def forward(self, x):
        self.neuron1(self.fc1(x.flatten(1)))
        return super().forward(x)


class Delayed(Stack):
    """Its first spikes arrive at several later steps."""

    def layers(self, x):
        spikes = nn.functional.pad(self.neuron1(self.fc1(x)), (0, 0, 0, 0, 0, 2))
        return self.fc3(self.neuron2(self.fc2(spikes)))[:STEPS]


class Weighted(Step):
    """As in event_flow: a layer and its neurons, which return their states as well."""

    def __init__(self):
        super().__init__()
        self.ff = nn.Linear(9, 12, dtype=torch.float64)

    def forward(self, x):
        spikes = super().forward(4 * self.ff(x))
        return spikes, torch.stack([self.v, spikes])


register_neuron(Weighted, dynamics=dynamics, layout="step")


class Weighing(Loop):
    """[N, ...] -> [T, N, K]; its first neurons are a layer, too."""

    def __init__(self):
        super().__init__(Step)
        self.neuron1 = Weighted()

    def layers(self, x):
        return self.fc3(self.neuron2(self.fc2(self.neuron1(x)[0] + 0 * self.fc1(x))))


class Recurrent(Loop):
    def forward(self, x):
        spikes, outputs = 0, []
        for _ in range(STEPS):
            first = self.neuron1(self.fc1(x.flatten(1)) + spikes)
            second = self.neuron2(self.fc2(first))
            spikes = nn.functional.pad(second, (0, 4))
            outputs.append(self.fc3(second))
        return torch.stack(outputs)


class Counting(Stack):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class Leap(torch.autograd.Function):
    """A spike that no class of neurons announces."""

    @staticmethod
    def forward(ctx, x):
        return (x > 0).to(x)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Hidden(Stack):
    def layers(self, x):
        return self.fc3(self.neuron2(self.fc2(Leap.apply(self.neuron1(self.fc1(x)) - 0.5))))


class HiddenLoop(Loop):
    layers = Hidden.layers


class Outside(Loop):
    scale = torch.ones(12, dtype=torch.float64, requires_grad=True)

    def layers(self, x):
        return super().layers(x) * self.scale[0]


class Double(nn.Module):
    """Two spikes where the current is above 2."""

    def forward(self, x):
        return (x >= 1).to(x) + (x >= 2).to(x) + 0 * x


class Late(nn.Module):
    """An IF neuron in all but its threshold after the first step."""

    def forward(self, x):
        v, spikes = torch.zeros_like(x[0]), []
        for t, now in enumerate(x):
            v = v + now
            spikes.append((v >= (1.0 if t == 0 else 1.5)).to(x))
            v = v * (1 - spikes[-1])
        return torch.stack(spikes) + 0 * x


for _cls in (Double, Late):
    register_neuron(_cls, dynamics=lambda module: Dynamics(1.0))


TALL = again(Steps, dynamics=lambda module: Dynamics(0.5, amplitude=1.5))
BEFORE, ALONE = (again(Handed, layout="step", returns=said) for said in ("before reset", None))


@pytest.mark.parametrize("rule", ["stbp", "native"])
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("equations", [True, False])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.filterwarnings("ignore:the rule knows no equations")
def test_activation_checkpointing_is_refused(equations, reentrant, rule):
    if not (reentrant or hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks")):
        pytest.skip("this version of torch does not show that a pass will be computed again")

    class Checkpointed(Stack):
        def layers(self, x):
            return checkpoint(super().layers, x, use_reentrant=reentrant) + 0

    network = adapt(Checkpointed(Steps), steps=STEPS, equations=equations)
    with pytest.raises(ValueError, match=r"checkpointing|made later"):
        gradients(network, rule, inputs())


@pytest.mark.parametrize("rule", ["rga", "stbp", "cba"])
def test_neurons_that_are_not_used_change_nothing(rule):
    plain = gradients(adapt(Stack(IF), steps=STEPS), rule, inputs())
    model = Stack(IF)
    model.spare, model.other = IF(), IF()
    logits, grad, _ = gradients(adapt(model, steps=STEPS), rule, inputs())
    assert all(map(torch.equal, (logits, grad), plain[:2]))


def test_an_objection_with_samples_verifies_the_model_and_leaves_nothing():
    network = adapt(Hidden(Steps), steps=STEPS, gradient="native").train()
    state = torch.get_rng_state()
    for rule, samples in ((RGA(), None), (Native(), inputs()), (Native(), inputs().numpy())):
        assert network.body.objection(rule, samples) is None
    assert "Leap in its graph" in network.body.objection(RGA(), inputs(20).numpy())
    assert network.training
    assert network.body.memory == {}
    assert torch.equal(torch.get_rng_state(), state)


def test_autograd_functions_are_taken_for_harmless_where_that_was_said():
    network = adapt(Hidden(Steps), steps=STEPS, harmless=[Leap])
    assert gradients(network, "rga", inputs())[1].any()


ALL_RULES = ("stbp", "rga", "bptr", "hart", "pdsg", "assg", "static", "cba", "relu")
RATE_RULES = ("rga", "bptr", "hart", "static", "cba", "relu")


class Overriding(Steps):
    def forward(self, x):
        return super().forward(x)


class Older(nn.Module):
    forward = Steps.forward


register_neuron(Older, dynamics=lambda module: Dynamics(module.leak))
UNKNOWN = {
    "step": (Loop, Step, Synaptic, "it has a synaptic current"),
    "steps": (Stack, Steps, SynapticSteps, "it has a synaptic current"),
    "forward": (Stack, Steps, Overriding, "Overriding has a forward"),
    "attribute": (Stack, Steps, Older, "'Older' .*leak"),
    "threshold": (Stack, Steps, partial(Steps, 0.5, 1e9), "threshold: .* never fires"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_neurons_that_rules_do_not_know_are_refused_by_name_and_reason(name):
    make, known, unknown, reason = UNKNOWN[name]
    model = make(known)
    model.neuron1 = unknown()
    network = adapt(model, **(OWN_TIME if make is Loop else ALL_STEPS))
    assert str(network.gradient) == str(STBP())
    for rule in RATE_RULES:
        with pytest.raises(ValueError, match=rf"neuron 'neuron1'.*{reason}.* 'native'\."):
            network.gradient = rule


@pytest.mark.parametrize("rule", ["stbp", "rga"])
def test_silence_proves_nothing(rule):
    wrong = again(Steps, dynamics=lambda module: Dynamics(0.9))
    network = adapt(Stack(wrong, 2.0), steps=STEPS)
    with torch.no_grad():
        for weight in (network.layers.fc1, network.layers.fc2):
            weight.bias.fill_(-0.1)
    dark = torch.zeros_like(inputs())
    with pytest.warns(UserWarning, match="is zero for the first 5"):
        gradients(network, rule, dark)
    seen = "got neuron1, of whose spikes"
    if rule == "stbp":
        with pytest.warns(UserWarning, match=f"no equations of neurons can be used: .*{seen}"):
            gradients(network, rule, inputs())
        rule = "mean(rga, stbp)"
    with pytest.raises(ValueError, match=seen):
        gradients(network, rule, inputs())


@pytest.mark.filterwarnings("ignore:the rule knows no equations")
@pytest.mark.parametrize("rule", ["native", "stbp", "rga"])
@pytest.mark.parametrize("make", [Stack, Loop])
def test_weights_are_trained_after_an_input_that_no_gradient_reaches(rule, make):
    class Binary(make):
        def layers(self, x):
            return super().layers((x > 0.5).to(x.dtype))

    whole = make is Stack
    network = adapt(Binary(Steps if whole else Step), **(ALL_STEPS if whole else OWN_TIME))
    with network.using(rule):
        network(inputs()).sum().backward()
        assert network.layers.fc1.weight.grad.any()
        if rule == "stbp":
            assert torch.autograd.grad(network(x := inputs().requires_grad_()).sum(), x)[0].any()
            return
        with pytest.raises(ValueError, match=r"gradient at the input is|spikes of others"):
            network(inputs().requires_grad_())


class Online(nn.Module):
    """A neuron of OTTT, around a module: it makes its state where init=True."""

    def __init__(self):
        super().__init__()
        self.surrogate = nn.Identity()

    def forward(self, x, init=False):
        self.v = torch.zeros_like(x) if init else 0.5 * self.v
        return Leap.apply(self.v + x - 1)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors take notes from Python 3.11 on")
def test_an_error_of_one_time_step_is_not_hidden_by_that_of_all():
    register_neuron(Online, dynamics=lambda module: Dynamics(), layout="step")
    model = nn.Sequential(nn.Conv2d(1, 2, 3), Online(), nn.Flatten())
    with pytest.raises(RuntimeError, match="conv2d") as caught:
        adapt(model.eval(), steps=STEPS)(torch.rand(2, 1, 5, 5))
    assert "has no attribute 'v'" in caught.value.__notes__[0]


def test_native_alone_is_refused_for_networks_of_our_own():
    from tests.architectures import chain, network

    with pytest.raises(ValueError, match="these neurons are art_snn's own"):
        network(chain, gradient="native")


def test_an_error_of_the_model_says_what_it_was_given():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), Steps(), nn.Flatten(2))
    network = adapt(model.eval(), steps=STEPS)
    with pytest.raises(ValueError, match=r"conv2d.* step mode"):
        network(torch.rand(2, 1, 5, 5))


def test_a_slope_that_is_zero_everywhere_is_told_and_not_refused():
    network = adapt(Stack(Steps, 1e-3), steps=STEPS, gradient="bptr")
    x = inputs().requires_grad_()
    with pytest.warns(UserWarning, match=r"BPTR\(\) is zero"):
        logits = network(x)
    (grad,) = torch.autograd.grad(logits.sum(), x)
    assert not grad.any()
    network(x)  # Once.


def test_conversion_is_refused_in_a_loop_over_time():
    network = adapt(Loop(partial(Step, 1.0)), **OWN_TIME)
    for rule in ("cba", "eot(cba)", "mean(rga, cba)", "relu", "eot(relu)"):
        with pytest.raises(ValueError, match=r"step by step.*no spikes"):
            network.gradient = rule
    network = adapt(Loop(Step), **OWN_TIME)
    with pytest.raises(ValueError, match="The rules that do apply") as caught:
        network.gradient = "cba"
    assert "relu" not in str(caught.value)


def test_functions_that_return_no_dynamics_are_refused():
    with pytest.raises(TypeError, match=r"^dynamics: .*returns 3"):
        adapt(Stack(again(Steps, dynamics=lambda module: 3)), steps=STEPS)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_neurons_that_torch_compiled_keep_their_own_gradient_alone():
    model = Stack(IF)
    model.neuron2 = torch.jit.script(nn.Sequential(Threshold()))
    network = adapt(model, steps=STEPS)
    assert gradients(network, "native", inputs())[1].any()
    for rule in ALL_RULES:
        with pytest.raises(ValueError, match=r"'neuron2\.0'.*torch\.jit"):
            network.gradient = rule
