"""Threads and tasks that differentiate one network at once, each by a rule of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from art_snn import PyTorchSpikingClassifier
from art_snn.gradients import GRADIENTS
from tests import small
from tests.faults.interrupts import attack

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
    "with_gradient": lambda c, rule, x, y: small.around(c.model.with_gradient(rule)).loss_gradient(
        x, y
    ),
    "backward": by_backward,
    "attack": by_attack,
}


def right_answers(
    way: Way, classifier: Classifier, rules: Sequence[str], x: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """rule -> what a way gives when nothing else runs."""
    answers = {}
    for rule in rules:
        classifier.model.forget()
        answers[rule] = way(classifier, rule, x, y)
    classifier.model.forget()
    return answers


def at_once(
    way: Way, classifier: Classifier, rules: Sequence[str], x: Any, y: Any, rounds: int
) -> list[str]:
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
