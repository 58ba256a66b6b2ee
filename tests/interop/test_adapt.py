"""adapt: its forms, what it shares with the model, and that the result is a SpikingNetwork."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, Frames, Mean, Poisson, SpikingNetwork
from art_snn.dynamics import Dynamics
from art_snn.gradients import EOT, HART, RGA, STBP, Extended, Native
from art_snn.interop import AdaptedNetwork, adapt, register_neuron
from tests.interop.promises import EVERY, close, gradients, inputs, weighed
from tests.interop.stacks import STEPS, Loop, Merged, OwnMerged, Stack, StateLoop
from tests.standins import norse, published, spikingjelly as sj

multi = partial(sj.LIFNode, step_mode="m")
single = partial(sj.LIFNode, step_mode="s")
OWN = {"encoder": None, "readout": "mean"}


class Published(published.LIFSpike):
    """Under a name of its own, so that other tests find the original unknown."""


class SameSteps(published.LIFSpike):
    """Registered without a word about its layout."""


class Steps(published.LIFSpike):
    """The same neuron on [T, N, ...]."""

    def forward(self, x):
        return super().forward(x.flatten(0, 1)).view(x.shape)


for _cls, _layout in ((Published, "merged"), (SameSteps, "steps"), (Steps, "steps")):
    register_neuron(_cls, dynamics=lambda m: Dynamics(m.tau, m.thresh), layout=_layout)


class PooledStack(Stack):
    def layers(self, x):
        y = self.neuron1(self.fc1(x))
        y = nn.functional.max_pool1d(y.flatten(0, -2), 3, 1, 1).view(y.shape)
        return self.fc3(self.neuron2(self.fc2(y)))


class PooledLoop(Loop):
    layers = PooledStack.layers


def test_the_network_shares_the_models_parameters_and_is_a_spiking_network():
    model = Stack(multi, 2.0)
    network = adapt(model, steps=STEPS)
    assert isinstance(network, SpikingNetwork)
    assert network.model is model
    assert next(iter(network.parameters())) is model.fc1.weight
    assert network.gradient == RGA()
    assert network.training_gradient == Native()
    assert [site.name for site in network.sites()] == ["neuron1", "neuron2"]
    assert isinstance(network.encoder, Direct)
    assert "layers.fc1" in network.layer_names


def test_readouts_are_a_mean_a_sum_a_function_or_none():
    x = inputs()
    mean = adapt(Stack(multi, 2.0), steps=STEPS)(x)
    sums = adapt(Stack(multi, 2.0), steps=STEPS, readout="sum")(x)
    last = adapt(Stack(multi, 2.0), steps=STEPS, readout=lambda outputs: outputs[-1])(x)

    class Inside(Stack):
        def forward(self, x):
            return super().forward(x).mean(0)

    none = adapt(Inside(multi, 2.0), steps=STEPS, readout=None)(x)
    looped = adapt(Loop(single, 2.0), **OWN)(x)
    torch.testing.assert_close(sums, mean * STEPS)
    assert torch.equal(none, mean)
    torch.testing.assert_close(looped, mean)
    assert not torch.equal(last, mean)


@pytest.mark.parametrize("rule", EVERY)
def test_a_sum_has_the_gradients_of_the_mean_times_the_steps(rule):
    mean = gradients(adapt(Stack(multi, 2.0), steps=STEPS), rule, inputs())
    network = adapt(Stack(multi, 2.0), steps=STEPS, readout="sum")
    sums = gradients(network, rule, inputs())
    close(sums[:2], [value * STEPS for value in mean[:2]])


def test_affine_layers_are_collapsed_and_max_pooling_is_not():
    kinds = {}
    for name, model in {"affine": Stack(multi, 2.0), "pooled": PooledStack(multi, 2.0)}.items():
        network = adapt(model, steps=STEPS)
        for readout in ("mean", "sum"):
            network.readout = readout
            gradients(network, "rga", inputs())
            kinds[name, readout] = network.execution.kind
    assert kinds["affine", "mean"] == kinds["affine", "sum"] == "collapsed"
    assert kinds["pooled", "mean"] == kinds["pooled", "sum"] == "time-resolved"


@pytest.mark.parametrize("rule", EVERY)
def test_a_loop_over_time_has_the_gradients_of_all_steps_in_one_call(rule):
    for whole, loop in ((Stack, Loop), (PooledStack, PooledLoop)):
        wanted = gradients(adapt(whole(multi, 2.0), steps=STEPS), rule, inputs())
        looped = gradients(adapt(loop(single, 2.0), **OWN), rule, inputs())
        close((*looped[:2], *looped[2]), (*wanted[:2], *wanted[2]))


@pytest.mark.parametrize("rule", [r for r in EVERY if r != "native"])
def test_merged_steps_have_the_gradients_of_steps_apart(rule):
    for model, options in (
        (Merged(partial(Published, STEPS)), {"steps": STEPS}),
        (OwnMerged(partial(Published, STEPS)), {"steps": STEPS, **OWN}),
    ):
        network = adapt(model, **options)
        other = adapt(Stack(partial(Steps, STEPS)), steps=STEPS)
        wanted, merged = (gradients(one, rule, inputs()) for one in (other, network))
        close((*merged[:2], *merged[2]), (*wanted[:2], *wanted[2]))


@pytest.mark.parametrize("mean", [False, True])
def test_a_published_network_runs_under_every_rule(mean):
    model = published.VGG(T=STEPS, mean=mean).eval()
    for module in model.modules():
        if isinstance(module, published.LIFSpike):
            module.__class__ = Published
    options = {"readout": None if mean else "mean", "encoder": None, "steps": STEPS}
    network = adapt(model, **options)
    x = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        wanted = model(x) if mean else model(x).mean(0)
    for rule in EVERY:
        given = x.clone().requires_grad_()
        with network.using(rule):
            logits = network(given)
        assert torch.equal(logits, wanted)
        (grad,) = torch.autograd.grad(logits[:, 0].sum(), given)
        assert grad.any()


def test_the_relu_network_of_a_model_is_that_of_its_layers():
    model, x = Stack(multi, 2.0), inputs()
    logits, grad, _ = gradients(adapt(model, steps=STEPS), "relu", x)
    x.requires_grad_()
    y = x.flatten(1)
    for layer in (model.fc1, model.fc2):
        # SpikingJelly's neuron of tau 2 charges half of its current.
        y = torch.relu(layer(y) / 2)
    wanted = model.fc3(y)
    close((logits, grad), (wanted, *torch.autograd.grad(weighed(wanted), x)))


def test_the_merged_option_says_it_of_classes_that_take_all_steps():
    network = adapt(Merged(partial(SameSteps, STEPS)), steps=STEPS, merged=True)
    wanted = gradients(adapt(Stack(partial(Steps, STEPS)), steps=STEPS), "rga", inputs())
    close(gradients(network, "rga", inputs())[:2], wanted[:2])


def test_a_decay_that_is_learnt_is_read_at_every_call_and_reached_by_native():
    model = Stack(partial(sj.ParametricLIFNode, step_mode="m"), 3.0)
    network = adapt(model, steps=STEPS)
    first = network.sites()[0].dynamics.decay
    one = gradients(network, "stbp", inputs())
    with torch.no_grad():
        model.neuron1.w.add_(1.0)
    assert network.sites()[0].dynamics.decay < first
    two = gradients(network, "stbp", inputs())
    with torch.no_grad():
        assert torch.equal(two[0], network(inputs()))
    assert not torch.equal(one[1], two[1])
    network(inputs())[:, 0].sum().backward()
    assert network.execution.kind == "native"
    assert model.neuron1.w.grad != 0


@pytest.mark.parametrize(
    "rule",
    [
        Mean(Native(), RGA()),
        EOT(Native(), samples=2),
        Extended(RGA(), steps=6),
        Extended(Native(), steps=6),
        Mean(HART(), Extended(STBP(), steps=3)),
    ],
    ids=["mean", "eot", "extended", "extended native", "both"],
)
def test_rules_of_rules_take_native_too(rule):
    network = adapt(Stack(multi, 2.0), steps=STEPS)
    logits, grad, _ = gradients(network, rule, inputs())
    with torch.no_grad():
        torch.testing.assert_close(logits, network(inputs()))
    assert grad.any()


def test_a_loop_of_its_own_cannot_be_extended():
    network = adapt(Loop(single, 2.0), **OWN)
    with pytest.raises(ValueError, match="the model's own time cannot give another number of time"):
        network.gradient = "extended-rga"
    with pytest.raises(ValueError, match=r"^encoder: "):
        network.with_steps(8)


MADE = {
    "steps": (partial(Stack, multi, 2.0), {"steps": STEPS}),
    "loop": (partial(Loop, single, 2.0), OWN),
    "own neuron": (partial(Stack, partial(Steps, STEPS)), {"steps": STEPS}),
}


@pytest.mark.parametrize("make", MADE)
def test_twins_copies_and_pickles_give_the_same_and_single_precision_nearly(make):
    build, options = MADE[make]
    network = adapt(build(), **options, gradient="hart")
    wanted = gradients(network, "rga", inputs())[:2]
    twin, copied = network.with_gradient("stbp"), copy.deepcopy(network)
    assert twin.model is network.model
    assert isinstance(twin, AdaptedNetwork)
    assert copied.model is not network.model
    others = [twin, copied, network]
    if make == "own neuron":  # Stand-ins cannot be pickled.
        others.append(pickle.loads(pickle.dumps(network)))
        assert others[-1].gradient == HART()
    for other in others:
        close(gradients(other, "rga", inputs())[:2], wanted, 0)
    lower = gradients(network.float(), "rga", inputs().float())[:2]
    assert lower[1].dtype == torch.float32
    close([value.double() for value in lower], wanted, 1e-5)


def test_other_encoders_and_event_frames():
    model = Stack(multi, 3.0)
    frames = torch.rand(5, STEPS, 1, 3, 3, dtype=torch.float64)
    network = adapt(model, encoder=Frames(STEPS))
    with torch.no_grad():
        wanted = Stack(multi, 3.0)(frames.transpose(0, 1)).mean(0)
        assert torch.equal(network(frames), wanted)
    network = adapt(model, encoder=Poisson(STEPS))
    torch.manual_seed(0)
    given = inputs().requires_grad_()
    (grad,) = torch.autograd.grad(network(given)[:, 0].sum(), given)
    assert grad.any()


def test_training_by_the_native_gradient_learns():
    torch.manual_seed(0)
    network = adapt(Stack(multi, 2.0).train(), steps=STEPS)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    x, y = inputs(30), torch.arange(30) % 3
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


ours = SpikingNetwork([nn.Flatten(2), LIF()])
ARGUMENTS = {
    "class": (Stack, {}, r"^model: expected a torch module of another framework"),
    "string": ("model", {}, "got str. Pass an instance"),
    "ours": (ours, {}, "a SpikingNetwork needs no adapting"),
    "mixed": (nn.Sequential(LIF()), {}, r"^model: .*neurons of one framework"),
    "none": (nn.Sequential(nn.Linear(2, 3), nn.ReLU()), {}, "^model: .* Linear, ReLU.*register_"),
    "steps": (Stack(multi), {"steps": None}, r"^steps: expected .* got None\. With encoder=None"),
    "zero": (Stack(multi), {"steps": 0}, "^steps: "),
    "fraction": (Stack(multi), {"steps": 2.5}, "^steps: "),
    "both": (Stack(multi), {"encoder": Direct(4)}, "^steps: expected None with an encoder, got 8"),
    "word": (Stack(multi), {"encoder": "poisson"}, "^encoder: expected an encoder or 'direct'"),
    "encoder": (Stack(multi), {"steps": None, "encoder": 5}, "^encoder: .* such as Direct"),
    "readout": (Stack(multi), {"readout": "median"}, "^readout: expected 'mean', .* got 'median'"),
    "rule": (Stack(multi), {"gradient": "sgd"}, "^gradient: expected one of"),
    "number": (Stack(multi), {"harmless": 3}, "^harmless: .* autograd functions, got 3"),
    "name": (Stack(multi), {"harmless": ["F"]}, "^harmless: .* autograd functions"),
    "merged": (Stack(multi), {"merged": "yes"}, "^merged: expected True or False, got 'yes'"),
    "shape": (Stack(multi), {"input_shape": 8}, "^input_shape: expected a tuple of sizes, got 8"),
    "elsewhere": (Stack(multi), {"elsewhere": "stbp"}, "^elsewhere: .*'native' or None, got"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_are_refused_by_name(name):
    model, options, message = ARGUMENTS[name]
    error = TypeError if name in ("class", "string", "ours", "encoder") else ValueError
    with pytest.raises(error, match=message):
        adapt(model, **{"steps": 8, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": STEPS, "readout": None}, r"returns \[5, K\], got a tensor \[4, 5, 3\]"),
        ({"encoder": None}, r"returns \[5, K\], got a tensor"),
        ({"steps": STEPS, "readout": lambda outputs: outputs}, r"^readout: .*tensor \[4, 5, 3\]"),
    ],
    ids=["none", "own", "function"],
)
def test_outputs_of_another_shape_are_refused(options, message):
    class Flat(Stack):
        def forward(self, x):
            return super().forward(x if x.ndim == 5 else x.expand(STEPS, *x.shape))

    network = adapt(Flat(multi), gradient="native", **options)
    with pytest.raises(ValueError, match=message):
        network(inputs())


def test_outputs_that_are_no_tensor_are_refused_with_the_remedy():
    class Both(Stack):
        def forward(self, x):
            return super().forward(x), None

    with pytest.raises(ValueError, match=r"got a tuple of 2\. A readout reduces what the model"):
        adapt(Both(multi), steps=STEPS)(inputs())
    network = adapt(Both(multi, 2.0), steps=STEPS, readout=lambda outputs: outputs[0].sum(0))
    assert network(inputs()).shape == (5, 3)


REGISTERED = {
    "number": (3, {}, "^cls: expected a class of torch modules, got 3"),
    "dynamics": (nn.ReLU, {"dynamics": Dynamics(0.5)}, "^dynamics: expected a function of a"),
    "layout": (nn.ReLU, {"layout": "[T, N]"}, "^layout: expected one of steps, step, merged"),
    "torch": (nn.Module, {}, "^cls: expected a class of neurons, got torch's Module"),
    "returns": (Steps, {"returns": "mem"}, "^returns: expected one of before reset, after reset"),
}


@pytest.mark.parametrize("name", REGISTERED)
def test_neurons_are_registered_with_their_own_checks(name):
    cls, options, message = REGISTERED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        register_neuron(cls, **{"dynamics": Dynamics, **options})


@pytest.mark.parametrize("rule", EVERY)
def test_containers_that_merge_the_steps_are_layers_as_any(rule):
    class Contained(Stack):
        def __init__(self, *args):
            super().__init__(*args)
            self.between = sj.SeqToANNContainer(nn.Identity(), self.fc2)

        def layers(self, x):
            return self.fc3(self.neuron2(self.between(self.neuron1(self.fc1(x)))))

    wanted = gradients(adapt(Stack(multi, 2.0), steps=STEPS), rule, inputs())
    network = adapt(Contained(multi, 2.0), steps=STEPS)
    close(gradients(network, rule, inputs())[:2], wanted[:2])


@pytest.mark.parametrize("rule", EVERY)
def test_states_that_a_sequence_of_norse_hands_on_are_those_of_a_loop(rule):
    class Sequence(Loop):
        def __init__(self, neuron):
            super().__init__(neuron)
            parts = (self.fc1, self.neuron1, self.fc2, self.neuron2, self.fc3)
            self.body = norse.SequentialState(*parts)

        def forward(self, x):
            state, outputs = None, []
            for _ in range(STEPS):
                output, state = self.body(x.flatten(1), state)
                outputs.append(output)
            return torch.stack(outputs)

    wanted = gradients(adapt(StateLoop(norse.IAFCell), **OWN), rule, inputs())
    close(gradients(adapt(Sequence(norse.IAFCell), **OWN), rule, inputs())[:2], wanted[:2])
