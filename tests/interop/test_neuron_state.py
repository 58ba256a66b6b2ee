"""State that a model reads off its neurons itself, such as a membrane potential as its output."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn.interop import adapt, register_neuron
from tests.command import interrupted
from tests.interop.neurons import Handed, Step, Steps, dynamics
from tests.interop.promises import EVERY, answer, close, gradient, gradients, inputs, weighed
from tests.interop.stacks import STEPS, Loop, Stack, StateLoop


class Recording(Steps):
    """Takes all time steps, and keeps the last potential, all potentials and all spikes."""

    v: Any = 0.0
    hides = False

    def reset(self) -> None:
        self.v = 0.0
        for name in ("v_seq", "spikes", "trace", "past", "held"):
            vars(self).pop(name, None)

    def forward(self, x: Tensor) -> Tensor:
        v, spikes, potentials = torch.zeros_like(x[0]) + self.v, [], []
        for current in x:
            s, _, v = self.step(current, v)
            spikes.append(s)
            potentials.append(v)
        self.v, self.v_seq, self.spikes = v, torch.stack(potentials), torch.stack(spikes)
        self.trace = self.spikes.cumsum(0)
        self.past = {"of": [*potentials, self.trace]}
        self.held = SimpleNamespace(v=v) if self.hides else None
        return self.spikes


class RecordingStep(Step):
    """The same one step at a time."""

    hides = False

    def reset(self) -> None:
        Recording.reset(self)

    def forward(self, x: Tensor) -> Tensor:
        s = super().forward(x)
        v, spikes = self.v[None], s[None]
        self.v_seq = torch.cat([self.v_seq, v]) if "v_seq" in vars(self) else v
        self.spikes = torch.cat([self.spikes, spikes]) if "spikes" in vars(self) else spikes
        self.trace = self.spikes.cumsum(0)
        past = self.past["of"][:-1] if "past" in vars(self) else []
        self.past = {"of": [*past, self.v, self.trace]}
        self.held = SimpleNamespace(v=self.v) if self.hides else None
        return s


register_neuron(Recording, dynamics=dynamics)
register_neuron(RecordingStep, dynamics=dynamics, layout="step")

READ = {
    "v": lambda neuron: neuron.v,
    "v_seq": lambda neuron: neuron.v_seq.mean(0),
    "cell": lambda neuron: (neuron.cell.v + neuron.cell.same) / 2,
    "past": lambda neuron: torch.stack(neuron.past["of"][:STEPS]).mean(0),
    "spikes": lambda neuron: (neuron.spikes + neuron.v_seq).mean(0),
    "trace": lambda neuron: neuron.trace.mean(0),
}


class ReadStack(Stack):
    """[N, ...] -> [N, K] of the state of its last neurons."""

    def __init__(self, what: str, neuron: Any = Recording) -> None:
        super().__init__(neuron)
        self.what = what
        self.neuron3 = neuron()

    def forward(self, x: Tensor) -> Tensor:
        self.neuron3(self.layers(x.flatten(1).expand(STEPS, len(x), -1)))
        return READ[self.what](self.neuron3)


class ReadLoop(ReadStack):
    """The same in a loop."""

    def __init__(self, what: str) -> None:
        super().__init__(what, RecordingStep)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(STEPS):
            self.neuron3(self.layers(x.flatten(1)))
        return READ[self.what](self.neuron3)


class Returned(StateLoop):
    """The same potentials, returned by neurons."""

    def __init__(self, what: str) -> None:
        super().__init__(Handed)
        self.what, self.neuron3 = what, Handed()

    def forward(self, x: Tensor) -> Tensor:
        self.begin()
        spikes, potentials = [], []
        for _ in range(STEPS):
            spikes.append(self.fire(self.neuron3, self.layers(x.flatten(1))))
            potentials.append(self.states[self.neuron3][-1])
        if self.what == "v":
            return potentials[-1]
        more = torch.stack(spikes) if self.what == "spikes" else 0
        return (torch.stack(potentials) + more).mean(0)


PAIRS = [(make, what) for what in ("v", "v_seq", "spikes") for make in (ReadStack, ReadLoop)]


@pytest.mark.parametrize("rule", EVERY)
@pytest.mark.parametrize(("make", "what"), [*PAIRS, (ReadLoop, "past")])
def test_state_that_is_read_has_the_gradient_of_state_that_is_returned(make, what, rule):
    model = make(what)
    kept = [dict(vars(module)) for module in model.modules()]
    network = adapt(model, encoder=None)
    wanted = gradient(adapt(Returned(what), encoder=None), rule, inputs())
    found = gradient(network, rule, inputs())
    close(found, wanted)
    assert torch.equal(answer(network, None, inputs()), found[0])
    for module, earlier in zip(model.modules(), kept, strict=True):
        assert vars(module).keys() == earlier.keys()
        assert all(vars(module)[name] is earlier[name] for name in earlier)


@pytest.mark.parametrize("make", [ReadStack, ReadLoop])
def test_the_native_gradient_of_state_that_is_read_is_that_of_the_model(make):
    for what in READ.keys() - {"cell"}:
        model, x = make(what), inputs().requires_grad_()
        logits = model(x)
        by_hand = torch.autograd.grad(weighed(logits), x)
        close(gradient(adapt(make(what), encoder=None), "native", x), (logits.detach(), *by_hand))


@pytest.mark.parametrize("rule", ["rga", "hart"])
@pytest.mark.parametrize("make", [ReadStack, ReadLoop])
def test_state_that_an_object_of_a_neuron_holds_is_refused_by_name(make, rule):
    hiding = make("v")
    hiding.neuron3.hides = True
    with pytest.raises(ValueError, match="held of neuron3"):
        gradient(adapt(hiding, encoder=None), rule, inputs())


class Celled(RecordingStep):
    """It keeps its potential in two tensors of a module inside."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        s = super().forward(x)
        self.cell.v = 1.0 * self.v
        self.cell.same = 1.0 * self.v
        return s


register_neuron(Celled, dynamics=dynamics, layout="step")


def test_state_of_a_module_inside_a_neuron_is_read_as_well():
    model = ReadLoop("cell")
    model.neuron3 = Celled()
    for rule in ("native", "rga", "stbp"):
        found = gradient(adapt(model, encoder=None), rule, inputs())
        close(found, gradient(adapt(ReadLoop("v"), encoder=None), rule, inputs()))
    assert "v" not in vars(model.neuron3.cell)


def test_rules_without_potentials_are_refused_where_state_is_read():
    model = ReadStack("v")
    for neuron in (model.neuron1, model.neuron2, model.neuron3):
        neuron.decay = 1.0
    network = adapt(model, encoder=None)
    with pytest.raises(ValueError, match="conversion has no potentials"):
        gradient(network, "cba", inputs())


def test_an_interrupted_pass_leaves_no_state():
    model = ReadStack("v")
    network = adapt(model, encoder=None)
    gradient(network, "rga", inputs())
    kept = dict(vars(model.neuron3))
    handle = model.neuron3.register_forward_hook(interrupted)
    with suppress(KeyboardInterrupt):
        gradient(network, "rga", inputs())
    handle.remove()
    assert vars(model.neuron3).keys() == kept.keys()
    assert model.neuron3.v == 0.0


class Starting(Loop):
    """It starts its neurons from a potential of its own."""

    def begin(self) -> None:
        self.neuron1.v = torch.tensor(0.4, dtype=torch.float64).expand(5, 12)


def test_state_that_the_model_writes_is_used_by_its_own_gradient_alone():
    network = adapt(Starting(Step), encoder=None, readout="mean")
    x = inputs().requires_grad_()
    wanted = torch.autograd.grad(weighed(Starting(Step)(x).mean(0)), x)
    close(gradients(network, "native", inputs())[1:2], wanted)
    with pytest.raises(ValueError, match=r"neuron1, .*changed from"):
        gradients(network, "rga", inputs())


def test_a_model_that_sets_its_neurons_to_rest_does_not_read_them():
    class Resting(Loop):
        def begin(self):
            self.neuron1.v = torch.zeros(())

    network = adapt(Resting(Step), encoder=None, readout="mean")
    assert gradient(network, "rga", inputs())[1].any()
    assert not network.body.traits.reads
