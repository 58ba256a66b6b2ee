"""`inspect` and `evaluate` name the same rule to attack with, and say when another one runs."""

from pathlib import Path

import pytest

from art_snn.app.evaluate import result, target
from tests.command import succeed
from tests.datasets import images
from tests.records import WEAK, evaluation_in

NEURONS = """
import torch
from torch import nn

class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, distance):
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx, grad):
        (distance,) = ctx.saved_tensors
        return grad / (1 + distance.abs())

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x):
        current, potential, spikes = self.first(x.flatten(1)), 0.0, []
        for _ in range(3):
            potential = current + potential / 2
            spikes.append(Spike.apply(potential - 1))
        return self.second(torch.stack(spikes).mean(0))

def build():
    torch.manual_seed(0)
    model = Model()
    with torch.no_grad():
        model.first.bias.fill_(BIAS)
    return model
"""
UNKNOWN = ("near", 0.8)
"""Potentials of these neurons, which nobody knows, come near the threshold."""
SILENT = ("far", -20.0)
"""These stay so far below it that STBP's slope is 0, and that of the model is not."""
COMMON = ("--data", "images.npz", "--device", "cpu", "--threads", "1", "--output", "out")
FEW = ("--eps", "0.1", "--samples", "4")
pytestmark = pytest.mark.filterwarnings(
    "ignore:the rule knows no equations", "ignore:the gradient under STBP"
)


@pytest.fixture
def told(here: Path, monkeypatch: pytest.MonkeyPatch):
    """What the two commands print of a model of plain torch, in one line."""
    monkeypatch.setattr(target, "resolve_plan", lambda *_: WEAK)
    monkeypatch.setattr(result, "render_page", lambda _: "")
    images(here / "images.npz")

    def tell(model: tuple[str, float], command: str, *words: str) -> str:
        name, bias = model
        (here / f"{name}.py").write_text(NEURONS.replace("BIAS", str(bias)))
        text = succeed(command, "--model", f"{name}.py:build", *words, *COMMON)
        return " ".join(text.split())

    return tell


def trials(folder: str = "out") -> list[str]:
    return [one.name for one in evaluation_in(Path(folder)).trials]


def test_where_stbp_is_the_best_inspect_names_it_and_evaluate_takes_it(told):
    assert "Attack with stbp, whose gradient is zero for 0 samples." in told(UNKNOWN, "inspect")
    assert "Attack with" not in told(UNKNOWN, "evaluate", "--plan", "fast", *FEW)
    assert trials() == ["PGD-7 by stbp", "fast"]


def test_where_another_is_better_both_name_it_and_that_papers_report_stbp(told):
    text = told(SILENT, "inspect")
    assert "Attack with native, whose gradient is zero for 0 samples; that of stbp for" in text
    assert "So does art-snn evaluate if --attack names an attack in the norm inf or 2." in text
    assert "takes stbp, as papers report it." in text
    text = told(SILENT, "evaluate", "--plan", "fast", *FEW)
    assert "Attack with native, as art-snn inspect says: " in text
    assert "PGD-7 by stbp is what papers report, to compare." in text
    assert trials() == ["PGD-7 by stbp", "fast"]


def test_an_attack_that_is_named_runs_with_the_rule_that_inspect_names(told):
    assert "Attack with" not in told(SILENT, "evaluate", "--attack", "pgd(max_iter=1)", *FEW)
    assert trials() == ["pgd(max_iter=1) by native"]


def test_rules_that_are_named_are_taken_without_a_word(told):
    words = ("--plan", "fast", "--rules", "stbp", *FEW)
    assert "Attack with" not in told(SILENT, "evaluate", *words)
    assert trials() == ["PGD-7 by stbp", "fast"]
