"""Many gradients of one network at once, by threads and by tasks."""

from __future__ import annotations

import asyncio
import math

import numpy as np

from art_snn.gradients import GRADIENTS
from tests import small
from tests.faults.commands import Bench
from tests.faults.report import Report
from tests.faults.threads import WAYS, Classifier, at_once, by_using, right_answers

RULES = tuple(name for name in GRADIENTS if name != "cba")  # For IF neurons alone.
MANY = 1000


def threads(_: Bench, report: Report) -> None:
    """So many gradients by every way, of a thread or a task for every rule."""
    classifier = small.classifier()
    x, y = small.samples(classifier)
    rounds = math.ceil(MANY / len(RULES))
    for way, how in WAYS.items():
        wrong = at_once(how, classifier, RULES, x, y, rounds)
        report.expect(not wrong, f"{way} of threads: {wrong[:5]}")
        report.count(f"by {way}", rounds * len(RULES))
    wrong = asyncio.run(_tasks(classifier, x, y, rounds))
    report.expect(not wrong, f"tasks: {wrong[:5]}")
    report.count("by tasks", rounds * len(RULES))
    report.expect(classifier.model._override is None, "a rule is left on the network")


async def _tasks(classifier: Classifier, x: np.ndarray, y: np.ndarray, rounds: int) -> list[str]:
    """The rules, one per wrong gradient, of a task per rule that wait for each other."""
    expected, wrong = right_answers(by_using, classifier, RULES, x, y), []

    async def differentiate(rule: str) -> None:
        with classifier.model.using(rule):
            for _ in range(rounds):
                await asyncio.sleep(0)
                classifier.model.forget()
                if not np.array_equal(classifier.loss_gradient(x, y), expected[rule]):
                    wrong.append(rule)

    await asyncio.gather(*map(differentiate, RULES))
    return wrong
