"""What the demo says: tables with intervals, and which gradient was stronger."""

from __future__ import annotations

import numpy as np
import pytest

from art_snn.app.demo import ATTACKS, Demonstration, Settings
from art_snn.app.demo.result import gradient_verdicts
from art_snn.metrics import Robustness


def outcome_with(rga: int, stbp: int) -> Demonstration:
    """A plain network on 40 images; each rule flips the first or last so many of them."""
    correct = np.ones(40, dtype=bool)
    curves = {}
    for attack in ATTACKS:
        for gradient, count in (("rga", rga), ("stbp", stbp)):
            robust = correct.copy()
            robust[slice(None, count) if gradient == "rga" else slice(40 - count, None)] = False
            curves[attack, gradient] = [Robustness(correct, robust)]
    return Demonstration(Settings(eps=(0.1,)), accuracy={"plain": 1.0}, curves={"plain": curves})


@pytest.mark.parametrize(
    ("rga", "stbp", "finding"),
    [
        (20, 2, "RGA stronger at 0.1"),
        (2, 20, "STBP stronger at 0.1"),
        (10, 9, "no difference that these images can show"),
    ],
)
def test_the_verdict_names_the_stronger_gradient_or_none(rga, stbp, finding):
    for verdict in gradient_verdicts(outcome_with(rga, stbp)):
        assert finding in verdict
        assert f"RGA alone {rga}, by STBP alone {stbp}" in verdict


def test_the_table_shows_success_with_its_interval():
    assert "50.0 % [35.2, 64.8]" in outcome_with(20, 2).render()


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_form_tells_accuracy_budget_and_verdicts(form):
    text = outcome_with(20, 2).render(form)
    assert "plain: 100.0 % test accuracy" in text
    assert "0.100" in text
    assert text.count("RGA stronger at 0.1") == len(ATTACKS)
