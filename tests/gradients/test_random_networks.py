"""Networks drawn at random under every rule, and calls that are interrupted anywhere."""

from __future__ import annotations

import pytest

from art_snn.gradients import BPTR
from tests.conftest import varied
from tests.faults.interrupts import CALLS, ERRORS, interrupted
from tests.faults.networks import NAIVE, compared


@pytest.mark.parametrize("start", range(0, 40, 10))
def test_drawn_networks_have_the_logits_and_gradients_of_naive_loops_under_every_rule(start):
    problems, rules = [], []
    for seed in range(varied(start), varied(start) + 10):
        rules += compared(seed, lambda holds, what: None if holds else problems.append(what))
    assert problems == []
    assert set(rules) >= set(NAIVE) - {"cba"}
    assert len(rules) >= 40


def test_a_gradient_of_another_rule_would_be_found_out(monkeypatch):
    problems = []
    monkeypatch.setattr(BPTR, "slope", lambda self, trace: trace.rate)
    for seed in range(5):
        list(compared(seed, lambda holds, what: None if holds else problems.append(what)))
    assert any("by bptr: gradient at the input" in problem for problem in problems)
    assert all("by bptr" in problem for problem in problems)


# One rule of every engine.
@pytest.mark.parametrize("rule", ["stbp", "assg", "rga", "relu"])
def test_whatever_interrupts_a_call_anywhere_leaves_the_network_as_it_was(rule):
    problems = []
    count = sum(interrupted(rule, lambda holds, what: None if holds else problems.append(what)))
    assert problems == []
    assert count >= 3 * len(CALLS) * len(ERRORS)
