"""Exceptions and interrupts anywhere inside of a call: nothing of the network has changed."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import nn

from art_snn import LIF, Direct, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed as Timed
from art_snn.gradients import objection, parse_rule
from art_snn.running.context import RUN
from tests import classifiers as small
from tests.architectures import Switch, same, weights

ERRORS: tuple[type[BaseException], ...] = (
    *(RuntimeError, ValueError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit),
    *(ArithmeticError, OSError),
)


def attack(classifier: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    options: dict[str, Any] = {"eps": 0.1, "eps_step": 0.05, "max_iter": 2, "verbose": False}
    return ProjectedGradientDescent(classifier, batch_size=len(x), **options).generate(x, y)


Call = Callable[[Any, np.ndarray, np.ndarray], Any]
CALLS: Mapping[str, Call] = {
    "predict": lambda c, x, y: c.predict(x),
    "loss_gradient": lambda c, x, y: c.loss_gradient(x, y),
    "loss_gradient by name": lambda c, x, y: c.loss_gradient(x, y, gradient="stbp"),
    "class_gradient": lambda c, x, y: c.class_gradient(x, y),
    "compute_loss": lambda c, x, y: c.compute_loss(x, y),
    "get_activations": lambda c, x, y: c.get_activations(x, 1),
    "attack": attack,
}


class Countdown:
    """What the switches of a network do: raise at a call, counted from 1."""

    def __init__(self) -> None:
        self.calls, self.limit, self.error = 0, 0, RuntimeError

    def __call__(self, _: torch.Tensor) -> None:
        self.calls += 1
        if self.calls == self.limit:
            raise self.error("injected")

    def at(self, limit: int, error: type[BaseException]) -> None:
        self.calls, self.limit, self.error = 0, limit, error


def interruptible(rule: str) -> tuple[PyTorchSpikingClassifier, Countdown]:
    """A classifier of modules in mixed modes that a countdown interrupts before every layer."""
    countdown = Countdown()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inner = Timed(nn.Linear(12, 8), nn.BatchNorm1d(8))
        layers = [
            *(Switch(countdown), Timed(nn.Flatten(), nn.Linear(64, 12)), LIF(1.0, 0.5)),
            *(Switch(countdown), inner, LIF(1.0, 0.5), Switch(countdown)),
            Timed(nn.Linear(8, small.CLASSES)),
        ]
    classifier = small.around(SpikingNetwork(layers, Direct(3), "bptr").double())
    network = classifier.model
    assert not objection(parse_rule(rule), network.body.neurons(), network.encoder)
    classifier.gradient = rule
    classifier.model.train()
    inner.eval()
    for weight in classifier.model.parameters():
        weight.grad = torch.full_like(weight, 7.0)
    return classifier, countdown


def state(classifier: PyTorchSpikingClassifier) -> tuple[Any, ...]:
    """Everything that a call must leave as it was, next to the weights."""
    network = classifier.model
    modules = list(network.modules())
    return (
        [module.training for module in modules],
        [(len(module._forward_hooks), len(module._backward_hooks)) for module in modules],
        [(p.requires_grad, p.grad) for p in network.parameters()],
        *(network.gradient, network.training_gradient, network.body.context.rule, RUN.get()),
        *(classifier.loss.reduction, torch.is_grad_enabled()),
    )


def content(classifier: PyTorchSpikingClassifier) -> dict[str, torch.Tensor]:
    """Weights, buffers and gradients at the weights, copied."""
    grads = {f"{n}.grad": p.grad.clone() for n, p in classifier.model.named_parameters()}
    return weights(classifier.model) | grads


def interrupted(rule: str, expect: Callable[[object, str], None]) -> Iterator[int]:
    """Interrupt every call under the rule at every layer by every error; yields 1 for each."""
    for name, call in CALLS.items():
        classifier, countdown = interruptible(rule)
        x, y = np.random.default_rng(0).random((3, *small.SHAPE), dtype=np.float32), np.arange(3)
        run, before, mine = partial(call, classifier, x, y), state(classifier), content(classifier)
        undisturbed, layers = run(), countdown.calls
        expect(state(classifier) == before, f"{name} by {rule}: another state")
        expect(same(content(classifier), mine), f"{name} by {rule}: other weights")
        for error in ERRORS:
            for limit in range(1, layers + 1):
                countdown.at(limit, error)
                where = f"{name} by {rule}, {error.__name__} before layer {limit}"
                with contextlib.suppress(error):
                    run()
                expect(state(classifier) == before, f"{where}: another state")
                expect(same(content(classifier), mine), f"{where}: other weights")
                yield 1
        countdown.at(0, RuntimeError)
        classifier.model.forget()
        # An exception inside of a replay makes the network run through every time step from then
        # on, which adds up in another order.
        alike = np.allclose(run(), undisturbed, rtol=1e-9, atol=1e-12)
        expect(alike, f"{name} by {rule}: another result afterwards")


# One rule of every engine, and one around others.
@pytest.mark.parametrize("rule", ["stbp", "assg", "rga", "relu", "mean(rga, stbp)"])
def test_whatever_interrupts_a_call_anywhere_leaves_the_network_as_it_was(rule):
    problems = []
    count = sum(interrupted(rule, lambda holds, what: None if holds else problems.append(what)))
    assert problems == []
    assert count >= 3 * len(CALLS) * len(ERRORS)
