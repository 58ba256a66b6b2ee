"""Passes share nothing: threads, interrupts, states, and networks next to one another."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import nn

from art_snn.interop import adapt, register_neuron
from tests.attacks.classifiers import Stops
from tests.interop.neurons import Gated, Handed, Spike, Step, Steps, dynamics
from tests.interop.promises import EVERY, OWN_TIME, answer, gradients, inputs
from tests.interop.stacks import STEPS, Loop, Stack, StateLoop

MAKERS = {
    "all steps": lambda: adapt(Stack(Steps), steps=STEPS),
    "gated": lambda: adapt(Stack(Gated), steps=STEPS),
    "loop": lambda: adapt(Loop(Step), **OWN_TIME),
    "handed": lambda: adapt(StateLoop(Handed), **OWN_TIME),
}
every_maker = pytest.mark.parametrize("maker", MAKERS)


@pytest.mark.parametrize("maker", list(MAKERS)[:3])  # The loop of the last keeps its states.
def test_threads_and_rules_do_not_mix(maker):
    network = MAKERS[maker]()
    batches = [inputs()[k : k + 2] for k in range(3)]
    jobs = [(rule, x) for rule in EVERY if rule != "assg" for x in batches] * 3
    wanted = [gradients(network, rule, x)[1] for rule, x in jobs[: len(jobs) // 3]] * 3
    with ThreadPoolExecutor(4) as pool:
        grads = list(pool.map(lambda job: gradients(network, *job)[1], jobs))
    for got, expected in zip(grads, wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert clean(network.layers)


def clean(model: nn.Module) -> bool:
    return not any("forward" in vars(m) for m in model.modules())


@every_maker
@pytest.mark.parametrize("rule", ["stbp", "rga", "hart", "native"])
def test_an_interrupted_pass_leaves_nothing(maker, rule):
    network = MAKERS[maker]()
    model = network.layers
    wanted = gradients(network, rule, inputs())
    places = [(layer, call) for call in range(1, 4) for layer in (model.fc2, model.fc3)]
    errors = cycle((KeyboardInterrupt, RuntimeError, RuntimeError, KeyboardInterrupt))
    for (layer, call), error in zip(places, errors, strict=False):
        handle = layer.register_forward_pre_hook(Stops(lambda *_: None, call, error))
        with suppress(error):
            gradients(network, rule, inputs())
        handle.remove()
        assert clean(model)
        logits, grad, _ = gradients(network, rule, inputs())
        assert torch.equal(logits, wanted[0])
        torch.testing.assert_close(grad, wanted[1], rtol=0, atol=1e-12)
    assert torch.equal(answer(network, None, inputs()), wanted[0])


def test_what_a_neuron_keeps_is_neither_used_nor_changed():
    model = Loop(Step)
    network = adapt(model, **OWN_TIME)
    wanted = gradients(network, "native", inputs())
    model(inputs(9))
    kept = [model.neuron1.v, model.neuron2.v]
    values = [v.clone() for v in kept]
    for rule in EVERY:
        logits, _, _ = gradients(network, rule, inputs())
        assert torch.equal(logits, wanted[0])
    assert model.neuron1.v is kept[0]
    assert model.neuron2.v is kept[1]
    assert all(torch.equal(v, value) for v, value in zip(kept, values, strict=True))


class Writing(nn.Module):
    """Keeps its state in a tensor and a list that it writes into."""

    decay, threshold, kind = 0.5, 1.0, "hard"

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


register_neuron(Writing, dynamics=dynamics, layout="step")


def test_a_state_that_is_written_into_is_neither_used_nor_changed():
    model = Loop(Writing)
    model.neuron2.mem = torch.zeros(5, 8, dtype=torch.float64)
    network = adapt(model, **OWN_TIME)
    model.neuron1.mem.fill_(7.0)
    model.neuron1.past.append("mine")
    kept = model.neuron1.mem
    first, second = (gradients(network, "stbp", inputs()) for _ in range(2))
    assert torch.equal(first[1], second[1])
    assert model.neuron1.mem is kept
    assert model.neuron1.mem.eq(7.0).all()
    assert model.neuron1.past == ["mine"]


@contextmanager
def paused(network: Any) -> Iterator[Future]:
    """A gradient in another thread, which stands still in the middle of its pass in the block."""
    inside, goes_on = threading.Event(), threading.Event()

    def waiting(*_: object) -> None:
        inside.set()
        goes_on.wait(10)

    handle = network.layers.fc2.register_forward_pre_hook(waiting)
    thread = ThreadPoolExecutor(1).submit(gradients, network, "rga", inputs())
    inside.wait(10)
    handle.remove()
    yield thread
    goes_on.set()
    thread.result()


def test_two_networks_of_one_model_run_at_once():
    model = Stack(Steps)
    one, two = adapt(model, steps=STEPS), adapt(model, steps=2)
    wanted = [gradients(n, "rga", inputs())[1] for n in (one, two)]
    with paused(one) as thread:
        assert torch.equal(gradients(two, "rga", inputs())[1], wanted[1])
        alone = model(inputs().expand(STEPS, *inputs().shape))
    torch.testing.assert_close(thread.result()[1], wanted[0], rtol=0, atol=1e-12)
    assert torch.equal(answer(one, None, inputs()), alone.mean(0))
    assert clean(model)


def test_copies_made_while_a_pass_runs_are_themselves():
    model = Stack(Steps)
    network = adapt(model, steps=STEPS)
    wanted = gradients(network, "rga", inputs())
    with paused(network):
        copied, shallow = copy.deepcopy(network), copy.copy(model.neuron1)
    for neuron in (copied.layers.neuron1, copied.layers.neuron2, shallow):
        neuron.threshold = 99.0
    other = Stack(Steps)
    other.neuron1 = shallow
    with torch.no_grad():
        assert torch.equal(network(inputs()), wanted[0])
        for changed in (copied, adapt(other, steps=STEPS)):
            assert not torch.equal(changed(inputs()), wanted[0])
            assert clean(changed.layers)
    assert clean(model)


def test_a_network_may_ask_another_one():
    other, model, seen = adapt(Stack(Steps), steps=STEPS), Stack(Steps), []
    model.register_forward_hook(lambda m, i, o: seen.append(other(i[0][0].detach())) or None)
    network = adapt(model, steps=STEPS)
    wanted = answer(network, None, inputs())
    assert torch.equal(seen[-1], wanted)
    for rule in ("native", "rga"):
        gradients(network, rule, inputs())


@every_maker
@pytest.mark.parametrize("rule", ["native", "stbp"])
def test_training_verifies_once_and_not_for_every_state_of_the_weights(maker, rule):
    network = MAKERS[maker]()
    calls, spent = [], []
    network.layers.fc1.register_forward_pre_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(3):
        calls.clear()
        with network.using(rule):
            network(inputs()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        spent.append(len(calls))
    assert spent[0] > spent[1] == spent[2]
    by_steps = any(layer.layout == "step" for layer in network.body.neuron_layers())
    assert spent[1] == (STEPS if by_steps else 1)


def test_buffers_that_count_are_counted_by_passes_alone():
    class Counting(Stack):
        def __init__(self, *args):
            super().__init__(*args)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen += 1
            return super().forward(x)

    network = adapt(Counting(Steps), steps=STEPS)
    for passes in (1, 2):
        answer(network, None, inputs())
        assert network.layers.seen == passes  # What was verified before is undone.


@pytest.mark.parametrize("rule", ["native", "stbp"])
def test_training_mode_is_no_state(rule):
    class TdBN(nn.BatchNorm1d):
        pass

    class Normed(Stack):
        def __init__(self, *args):
            super().__init__(*args)
            self.norm = TdBN(12, dtype=torch.float64)

        def layers(self, x):
            y = self.fc1(nn.functional.dropout(x, 0.2, self.training))
            y = self.norm(y.flatten(0, 1)).view(y.shape)
            return self.fc3(self.neuron2(self.fc2(self.neuron1(y))))

    network = adapt(Normed(Steps), steps=STEPS).train()
    with network.using(rule):
        network(inputs()).sum().backward()
    assert network.layers.norm.num_batches_tracked == 1
    assert network.layers.fc1.weight.grad.any()


@pytest.mark.parametrize("rule", ["native", "rga"])
def test_logits_that_are_no_numbers_are_no_state(rule):
    network = adapt(Stack(Steps), steps=STEPS)
    with torch.no_grad():
        network.layers.fc3.bias.fill_(torch.nan)
        assert torch.isnan(network(inputs())).all()
    with network.using(rule):
        network(inputs())
