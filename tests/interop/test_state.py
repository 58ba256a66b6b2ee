"""Passes share nothing: threads, interrupts, exceptions, and networks beside one another."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import nn

from art_snn.interop import adapt
from art_snn.interop.members import _RUNNING
from tests.interop.promises import EVERY, gradients, inputs
from tests.interop.stacks import STEPS, Loop, SamplesFirst, Stack, StateLoop
from tests.standins import sinabs, snntorch, spikingjelly as sj, spikingjelly_old

OWN = {"encoder": None, "readout": "mean"}
MAKERS = {
    "all steps": lambda: adapt(Stack(partial(sj.LIFNode, step_mode="m"), 2.0), steps=STEPS),
    "gated": lambda: adapt(
        Stack(partial(spikingjelly_old.LIFNode, step_mode="m"), 2.0), steps=STEPS
    ),
    "loop": lambda: adapt(Loop(partial(sj.LIFNode, step_mode="s"), 2.0), **OWN),
    "hidden": lambda: adapt(Loop(partial(snntorch.Leaky, 0.8, init_hidden=True)), **OWN),
}
every_maker = pytest.mark.parametrize("maker", MAKERS)


@every_maker
def test_threads_and_rules_do_not_mix(maker):
    network = MAKERS[maker]()
    batches = [inputs()[k : k + 2] for k in range(3)]
    jobs = [(rule, x) for rule in EVERY if rule != "assg" for x in batches] * 3
    wanted = [gradients(network, rule, x)[1] for rule, x in jobs[: len(jobs) // 3]] * 3
    with ThreadPoolExecutor(4) as pool:
        grads = list(pool.map(lambda job: gradients(network, *job)[1], jobs))
    for got, expected in zip(grads, wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert clean(network.model)


def clean(model: nn.Module) -> bool:
    return _RUNNING.get() is None and not any("forward" in vars(m) for m in model.modules())


class Stopped(BaseException):
    """As Ctrl-C is."""


@every_maker
@pytest.mark.parametrize("rule", ["stbp", "rga", "hart", "native"])
def test_an_interrupted_pass_leaves_nothing(maker, rule):
    network = MAKERS[maker]()
    model = network.model
    wanted = gradients(network, rule, inputs())
    places = [(layer, call) for call in range(1, 4) for layer in (model.fc2, model.fc3)]
    for (layer, call), error in zip(places, cycle((Stopped, RuntimeError, RuntimeError, Stopped))):
        handle = layer.register_forward_pre_hook(Stopping(call, error))
        with suppress(error):
            gradients(network, rule, inputs())
        handle.remove()
        assert clean(model)
        logits, grad, _ = gradients(network, rule, inputs())
        assert torch.equal(logits, wanted[0])
        torch.testing.assert_close(grad, wanted[1], rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(network(inputs()), wanted[0])


class Stopping:
    def __init__(self, call: int, error: type[BaseException]) -> None:
        self.left, self.error = call, error

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if not self.left:
            raise self.error


def test_what_a_neuron_keeps_is_neither_used_nor_changed():
    model = Loop(partial(sj.LIFNode, step_mode="s"), 2.0)
    network = adapt(model, **OWN)
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


def test_the_state_of_another_network_is_not_reset():
    models = [StateLoop(partial(snntorch.Leaky, 0.8)) for _ in range(2)]
    models[1](inputs())
    kept = models[1].neuron1.mem
    network = adapt(models[0], **OWN)
    gradients(network, "rga", inputs())
    assert models[1].neuron1.mem is kept


def test_another_batch_size_draws_no_state_at_random():
    model = SamplesFirst(partial(sinabs.IAF, spike_fn=sinabs.SingleSpike))
    network = adapt(model, steps=STEPS)
    with torch.no_grad():
        whole = network(inputs(6))
        parts = torch.cat([network(inputs(6)[:4]), network(inputs(6)[4:])])
    torch.testing.assert_close(whole, parts)
    assert model.neuron1.v_mem.shape == (0,)


@contextmanager
def paused(network: Any) -> Iterator[Future]:
    """A gradient in another thread, which stands still in the middle of its pass in the block."""
    inside, goes_on = threading.Event(), threading.Event()

    def waiting(*_: object) -> None:
        inside.set()
        goes_on.wait(10)

    handle = network.model.fc2.register_forward_pre_hook(waiting)
    thread = ThreadPoolExecutor(1).submit(gradients, network, "rga", inputs())
    inside.wait(10)
    handle.remove()
    yield thread
    goes_on.set()
    thread.result()


def test_two_networks_of_one_model_run_at_once():
    model = Stack(partial(sj.LIFNode, step_mode="m"), 2.0)
    one, two = adapt(model, steps=STEPS), adapt(model, steps=2)
    wanted = [gradients(n, "rga", inputs())[1] for n in (one, two)]
    with paused(one) as thread:
        assert torch.equal(gradients(two, "rga", inputs())[1], wanted[1])
        with torch.no_grad():
            alone = model(inputs().expand(STEPS, *inputs().shape))
            for neuron in (model.neuron1, model.neuron2):
                neuron.reset()
    torch.testing.assert_close(thread.result()[1], wanted[0], rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.equal(one(inputs()), alone.mean(0))
    assert clean(model)


def test_copies_made_while_a_pass_runs_are_themselves():
    model = Stack(partial(sj.LIFNode, step_mode="m"), 2.0)
    network = adapt(model, steps=STEPS)
    wanted = gradients(network, "rga", inputs())
    with paused(network):
        copied = copy.deepcopy(network)
    for neuron in (copied.model.neuron1, copied.model.neuron2):
        neuron.v_threshold = 99.0
    with torch.no_grad():
        assert not torch.equal(copied(inputs()), network(inputs()))
        assert torch.equal(network(inputs()), wanted[0])
    assert clean(copied.model)
    assert clean(model)


@every_maker
@pytest.mark.parametrize("rule", ["native", "stbp"])
def test_training_verifies_once_and_not_for_every_state_of_the_weights(maker, rule):
    network = MAKERS[maker]()
    calls = []
    network.model.fc1.register_forward_pre_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    spent = []
    for _ in range(3):
        calls.clear()
        with network.using(rule):
            network(inputs()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        spent.append(len(calls))
    assert spent[0] > spent[1] == spent[2]
    by_steps = any(layer.layout == "step" for layer in network.neuron_layers())
    assert spent[1] == (STEPS if by_steps else 1)
