"""adapt: its arguments, what it shares with the model, and that the result is a SpikingNetwork."""

from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork
from art_snn.dynamics import Dynamics
from art_snn.gradients import EOT, HART, RGA, STBP, Extended, Mean, Native
from art_snn.interop import ModelBody, adapt, register_neuron
from tests.interop.neurons import Learned, Step, Steps, again
from tests.interop.promises import EVERY, OWN_TIME, answer, close, gradients, inputs, weighed
from tests.interop.stacks import STEPS, Loop, Stack


class PooledStack(Stack):
    def layers(self, x):
        y = self.neuron1(self.fc1(x))
        y = nn.functional.max_pool1d(y.flatten(0, -2), 3, 1, 1).view(y.shape)
        return self.fc3(self.neuron2(self.fc2(y)))


class PooledLoop(Loop):
    layers = PooledStack.layers


class SkippingStack(Stack):
    def layers(self, x):
        first = self.neuron1(self.fc1(x))
        return self.fc3(self.neuron2(self.fc2(first)) + 0.5 * first[..., :8])


class SkippingLoop(Loop):
    layers = SkippingStack.layers


def test_the_network_shares_the_models_parameters_and_is_a_spiking_network():
    model = Stack(Steps)
    network = adapt(model, steps=STEPS)
    assert isinstance(network, SpikingNetwork)
    assert network.layers is model
    assert next(iter(network.parameters())) is model.fc1.weight
    assert network.gradient == STBP()
    assert network.training_gradient == Native()
    assert [site.name for site in network.body.neurons()] == ["neuron1", "neuron2"]
    assert isinstance(network.encoder, Direct)
    assert "layers.fc1" in network.body.layer_names


def test_readouts_are_a_mean_a_function_or_none():
    class Inside(Stack):
        def forward(self, x):
            return super().forward(x).mean(0)

    x = inputs()
    mean, last = (
        adapt(Stack(Steps), steps=STEPS, readout=readout)(x)
        for readout in ("mean", lambda outputs: outputs[-1])
    )
    assert torch.equal(adapt(Inside(Steps), steps=STEPS, readout=None)(x), mean)
    torch.testing.assert_close(adapt(Loop(Step), **OWN_TIME)(x), mean)
    assert not torch.equal(last, mean)


@pytest.mark.parametrize("rule", ["native", "stbp", "rga"])
@pytest.mark.parametrize("make", [partial(Stack, Steps), partial(Loop, Step)])
def test_a_readout_that_is_a_module_is_trained_too(make, rule):
    class Potentials(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 3, dtype=torch.float64)

        def forward(self, outputs):
            return self.last(outputs.mean(0))

    model = make()
    options = {"encoder": None} if isinstance(model, Loop) else {"steps": STEPS}
    network = adapt(model, readout=Potentials(), **options)
    with network.using(rule):
        network(inputs())[:, 0].sum().backward()
    assert network.body.readout.last.weight.grad.any()
    assert model.fc1.weight.grad.any()


@pytest.mark.parametrize("rule", EVERY)
def test_a_sum_has_the_gradients_of_the_mean_times_the_steps(rule):
    mean = gradients(adapt(Stack(Steps), steps=STEPS), rule, inputs())
    sums = gradients(adapt(Stack(Steps), steps=STEPS, readout="sum"), rule, inputs())
    close(sums[:2], [value * STEPS for value in mean[:2]])


@pytest.mark.parametrize(
    ("model", "kind"), [(Stack, "collapsed"), (PooledStack, "time-resolved")], ids=["affine", "max"]
)
def test_affine_layers_are_collapsed_and_max_pooling_is_not(model, kind):
    network = adapt(model(Steps), steps=STEPS)
    for readout in ("mean", "sum"):
        network.body.readout = readout
        gradients(network, "rga", inputs())
        assert network.execution.kind == kind


@pytest.mark.parametrize("rule", EVERY)
def test_a_loop_over_time_has_the_gradients_of_all_steps_in_one_call(rule):
    for whole, loop in (Stack, Loop), (PooledStack, PooledLoop), (SkippingStack, SkippingLoop):
        wanted = gradients(adapt(whole(Steps), steps=STEPS), rule, inputs())
        looped = gradients(adapt(loop(Step), **OWN_TIME), rule, inputs())
        close((*looped[:2], *looped[2]), (*wanted[:2], *wanted[2]))


def test_the_relu_network_of_a_model_is_that_of_its_layers():
    model, x = Stack(Steps), inputs()
    logits, grad, _ = gradients(adapt(model, steps=STEPS), "relu", x)
    x.requires_grad_()
    wanted = model.fc3(torch.relu(model.fc2(torch.relu(model.fc1(x.flatten(1))))))
    close((logits, grad), (wanted, *torch.autograd.grad(weighed(wanted), x)))


def test_a_decay_that_is_learnt_is_read_at_every_call_and_reached_by_native():
    model = Stack(Learned)
    network = adapt(model, steps=STEPS)
    assert network.gradient == STBP()
    assert network.body.neurons()[0].dynamics.decay == 0.5
    close(
        gradients(network, "rga", inputs())[:2],
        gradients(adapt(Stack(Steps), steps=STEPS), "rga", inputs())[:2],
    )
    one = gradients(network, "stbp", inputs())
    with torch.no_grad():
        model.neuron1.decay.add_(0.25)
    assert network.body.neurons()[0].dynamics.decay == 0.75
    two = gradients(network, "stbp", inputs())
    assert torch.equal(two[0], answer(network, None, inputs()))
    assert not torch.equal(one[1], two[1])
    network(inputs())[:, 0].sum().backward()
    assert network.execution.kind == "native"
    assert model.neuron1.decay.grad != 0


NESTED = [Mean(Native(), RGA()), EOT(Native(), samples=2), Extended(Native(), steps=6)]
NESTED += [Extended(RGA(), steps=6), Mean(HART(), Extended(STBP(), steps=3))]


@pytest.mark.parametrize("rule", NESTED, ids=repr)
def test_rules_of_rules_take_native_too(rule):
    network = adapt(Stack(Steps), steps=STEPS)
    logits, grad, _ = gradients(network, rule, inputs())
    torch.testing.assert_close(logits, answer(network, None, inputs()))
    assert grad.any()


def test_a_loop_of_its_own_cannot_be_extended():
    network = adapt(Loop(Step), **OWN_TIME)
    with pytest.raises(ValueError, match="number of time"):
        network.gradient = "extended(rga)"
    with pytest.raises(ValueError, match=r"^encoder: "):
        network.with_steps(8)


@pytest.mark.parametrize("build", [partial(Stack, Steps), partial(Loop, Step)])
def test_twins_copies_and_pickles_give_the_same_and_single_precision_nearly(build):
    model = build()
    options = OWN_TIME if isinstance(model, Loop) else {"steps": STEPS}
    network = adapt(model, **options, gradient="hart")
    wanted = gradients(network, "rga", inputs())[:2]
    assert network.body.verified
    twin, copied = network.with_gradient("stbp"), copy.deepcopy(network)
    assert twin.layers is network.layers
    assert isinstance(twin.body, ModelBody)
    assert copied.layers is not network.layers
    assert not copied.body.verified  # It does not believe what was verified of another.
    loaded = pickle.loads(pickle.dumps(network))
    assert loaded.gradient == HART()
    for other in (twin, copied, network, loaded):
        close(gradients(other, "rga", inputs())[:2], wanted, 0)
    lower = gradients(network.float(), "rga", inputs().float())[:2]
    assert lower[1].dtype == torch.float32
    close([value.double() for value in lower], wanted, 1e-5)


ours = SpikingNetwork([nn.Flatten(2), LIF()])
ARGUMENTS = {
    "class": (Stack, {}, r"^model: expected a torch module of another framework"),
    "string": ("model", {}, "got str. Pass an instance"),
    "ours": (ours, {}, "a SpikingNetwork needs no adapting"),
    "mixed": (nn.Sequential(LIF()), {}, r"^model: .*neurons of one framework"),
    "steps": (Stack(Steps), {"steps": None}, r"^steps: expected .* got None\. With encoder=None"),
    "zero": (Stack(Steps), {"steps": 0}, "^steps: "),
    "fraction": (Stack(Steps), {"steps": 2.5}, "^steps: "),
    "both": (Stack(Steps), {"encoder": Direct(4)}, "^steps: expected None with an encoder, got 8"),
    "word": (Stack(Steps), {"encoder": "poisson"}, "^encoder: expected an encoder or 'direct'"),
    "encoder": (Stack(Steps), {"steps": None, "encoder": 5}, "^encoder: .* such as Direct"),
    "readout": (Stack(Steps), {"readout": "median"}, "^readout: expected 'mean', .* got 'median'"),
    "rule": (Stack(Steps), {"gradient": "sgd"}, "^gradient: expected one of"),
    "number": (Stack(Steps), {"harmless": 3}, "^harmless: .* autograd functions, got 3"),
    "name": (Stack(Steps), {"harmless": ["F"]}, "^harmless: .* autograd functions"),
    "shape": (Stack(Steps), {"input_shape": 8}, "^input_shape: expected a tuple of sizes, got 8"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_are_refused_by_name(name):
    model, options, message = ARGUMENTS[name]
    error = TypeError if name in ("class", "string", "ours", "encoder") else ValueError
    with pytest.raises(error, match=message):
        adapt(model, **{"steps": 8, **options})


REGISTERED = {
    "number": (3, {}, "^cls: expected a class of torch modules, got 3"),
    "dynamics": (nn.ReLU, {"dynamics": Dynamics(0.5)}, "^dynamics: expected a function of a"),
    "layout": (nn.ReLU, {"layout": "[T, N]"}, "^layout: expected one of steps, step, merged"),
    "returns": (Steps, {"returns": "mem"}, "^returns: expected one of before reset, after reset"),
}


@pytest.mark.parametrize("name", REGISTERED)
def test_neurons_are_registered_with_their_own_checks(name):
    cls, options, message = REGISTERED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        register_neuron(cls, **{"dynamics": Dynamics, **options})


def test_a_class_that_is_registered_again_is_read_by_the_later_function():
    twice = again(Steps)
    for decay in (0.25, 0.5):
        register_neuron(twice, dynamics=lambda module, decay=decay: Dynamics(decay))
        assert adapt(Stack(twice), steps=STEPS).body.neurons()[0].dynamics.decay == decay


OUTPUTS = {
    "none": ({"steps": STEPS, "readout": None}, r"returns \[5, K\], got a tensor \[4, 5, 3\]"),
    "spikes": ({"steps": STEPS, "readout": "spikes"}, r"\(spikes, potential\), got a tensor"),
    "own": ({"encoder": None}, r"returns \[5, K\], got a tensor"),
    "function": ({"steps": STEPS, "readout": lambda out: out}, r"^readout: .*tensor \[4, 5, 3\]"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_of_another_shape_are_refused(name):
    class Flat(Stack):
        def forward(self, x):
            return super().forward(x if x.ndim == 5 else x.expand(STEPS, *x.shape))

    options, message = OUTPUTS[name]
    with pytest.raises(ValueError, match=message):
        adapt(Flat(Steps), gradient="native", **options)(inputs())
