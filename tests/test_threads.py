"""Threads and tasks that differentiate one network at once, each by a rule of its own."""

import asyncio
import contextvars
import copy
import gc
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import LIF, STBP, Direct, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed
from art_snn.gradients import ASSG, GRADIENTS, RGA, Extended
from art_snn.running.context import RUN, keep_modes
from tests import classifiers as small
from tests.test_interrupts import attack

RULES = tuple(name for name in GRADIENTS if name != "cba")  # For IF neurons alone.
Classifier = PyTorchSpikingClassifier
Way = Callable[[Classifier, str, np.ndarray, np.ndarray], np.ndarray]
"""A way to a gradient by a rule: (classifier, rule, x, y) -> gradient of x's shape."""


def by_using(classifier: Classifier, rule: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with classifier.model.using(rule):
        return classifier.loss_gradient(x, y)


def by_backward(classifier: Classifier, rule: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """As a user's own attack does, by torch alone."""
    leaf = torch.tensor(x, requires_grad=True)
    with classifier.model.using(rule):
        logits = classifier.model(leaf)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient.numpy()


def by_attack(classifier: Classifier, rule: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with classifier.model.using(rule):
        return attack(classifier, x, y)


WAYS: Mapping[str, Way] = {
    "using": by_using,
    "gradient=": lambda c, rule, x, y: c.loss_gradient(x, y, gradient=rule),
    "with_gradient": lambda c, r, *xy: small.around(c.model.with_gradient(r)).loss_gradient(*xy),
    "backward": by_backward,
    "attack": by_attack,
}


def right_answers(way, classifier, rules, x, y):
    """rule -> what a way gives when nothing else runs."""
    answers = {}
    for rule in rules:
        classifier.model.forget()
        answers[rule] = way(classifier, rule, x, y)
    classifier.model.forget()
    return answers


def at_once(way, classifier, rules, x, y, rounds):
    """The rules, one per wrong gradient, of a thread per rule that all start together."""
    expected = right_answers(way, classifier, rules, x, y)
    together, wrong = threading.Barrier(len(rules)), []

    def run(rule: str) -> None:
        for _ in range(rounds):
            together.wait()
            classifier.model.forget()
            try:
                if not np.array_equal(way(classifier, rule, x, y), expected[rule]):
                    wrong.append(rule)
            except Exception as error:
                wrong.append(f"{rule}: {error!r}")

    with ThreadPoolExecutor(len(rules)) as pool:
        done = [pool.submit(run, rule) for rule in rules]
    for one in done:
        one.result()
    return wrong


@pytest.fixture
def classifier() -> PyTorchSpikingClassifier:
    return small.classifier()


@pytest.mark.parametrize("way", WAYS)
def test_threads_on_one_network_get_the_gradients_of_their_own_rules(classifier, way):
    x, y = small.samples(classifier)
    assert at_once(WAYS[way], classifier, RULES, x, y, rounds=3) == []
    assert RUN.get().firing is None
    assert classifier.model.body.context.rule is None


BLOCKS = [
    (lambda n: n.using("stbp"), lambda n: n.body.context.rule, STBP()),
    (lambda n: n.attacking(0.1), lambda n: n.body.context.radius, 0.1),
]


@pytest.mark.parametrize(("block", "look", "inside"), BLOCKS, ids=["using", "attacking"])
def test_a_thread_knows_of_a_block_where_it_takes_the_context(classifier, block, look, inside):
    network, seen = classifier.model, []
    with block(network), ThreadPoolExecutor(1) as pool:
        for run in (look, partial(contextvars.copy_context().run, look)):
            seen.append(pool.submit(run, network).result())
    assert seen == [None, inside]


def test_tasks_keep_their_rules_while_they_wait_for_each_other(classifier):
    x, y = small.samples(classifier)
    expected = right_answers(by_using, classifier, RULES, x, y)

    async def differentiate(rule: str) -> bool:
        same = []
        with classifier.model.using(rule):
            for _ in range(3):
                await asyncio.sleep(0)
                classifier.model.forget()
                same.append(np.array_equal(classifier.loss_gradient(x, y), expected[rule]))
        return all(same)

    async def together() -> list[bool]:
        with classifier.model.using("bptr"):
            return await asyncio.gather(*map(differentiate, RULES))

    assert all(asyncio.run(together()))
    assert classifier.model.body.context.rule is None


def test_moments_of_two_attacks_by_one_rule_do_not_mix(classifier):
    x, y = small.samples(classifier)
    nearby = np.clip(x + 0.01, 0, 1)
    classifier.gradient = "assg"

    def attack(start: np.ndarray) -> np.ndarray:
        classifier.model.forget()
        return np.stack([classifier.loss_gradient(start + 0.001 * i, y) for i in range(6)])

    alone = [attack(start) for start in (x, nearby)]
    assert not np.array_equal(*alone)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            assert all(map(np.array_equal, list(pool.map(attack, (x, nearby))), alone))


def test_what_a_network_remembers_is_bounded_and_the_oldest_leave(classifier):
    x, y = small.samples(classifier)
    alone = [ASSG(relax=1 + i / 100) for i in range(20)]
    for rules in (alone, [Extended(rule, steps=6) for rule in alone]):
        for rule in rules:
            classifier.loss_gradient(x, y, gradient=rule)
        assert list(classifier.model.body.memory) == rules[-8:]


def test_how_a_gradient_was_computed_is_told_to_whoever_asked_for_it(classifier):
    x, y = small.samples(classifier)
    classifier.loss_gradient(x, y, gradient=STBP())
    with ThreadPoolExecutor(1) as pool:
        pool.submit(classifier.loss_gradient, x, y, gradient=RGA()).result()
        execution = pool.submit(lambda: classifier.model.execution).result()
    assert execution.kind == "collapsed"
    assert classifier.model.execution.kind == "through time"


@pytest.mark.parametrize("copied", [copy.copy, lambda n: n._replicate_for_data_parallel()])
def test_copies_and_replicas_made_inside_using_keep_its_rule(copied, classifier):
    network: SpikingNetwork = classifier.model
    with network.using(RGA()):
        twin = copied(network)
    assert (twin.gradient, twin.training_gradient) == (RGA(), RGA())
    assert (twin.body.memory, twin.execution, twin.body.context.rule) == ({}, None, None)
    assert network.gradient == STBP()


def test_nothing_of_a_network_that_is_gone_is_kept():
    network = small.classifier().model
    x = torch.rand(2, *small.SHAPE).requires_grad_()
    with network.using("assg"):
        network(x).sum().backward()
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_threads_that_evaluate_a_network_leave_it_in_training_mode_and_see_none_of_it():
    first = TimeDistributed(nn.Flatten(), nn.Linear(64, 24), nn.BatchNorm1d(24), nn.Dropout(0.5))
    layers = [first, LIF(), TimeDistributed(nn.Linear(24, small.CLASSES))]
    classifier = small.around(SpikingNetwork(layers, Direct(4)).double())
    x, y = small.samples(classifier)
    expected, network = classifier.loss_gradient(x, y), classifier.model.train()
    statistics = first.module[2].running_mean.clone()

    def work(_: int) -> bool:
        return all(np.array_equal(classifier.loss_gradient(x, y), expected) for _ in range(25))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert all(module.training for module in network.modules())
    assert torch.equal(first.module[2].running_mean, statistics)
    with keep_modes(network):
        network.eval()
        with keep_modes(network):
            network.train()
        assert not any(module.training for module in network.modules())
    assert all(module.training for module in network.modules())
