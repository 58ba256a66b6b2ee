"""Evaluations written by hand: what a report is made of, without a network."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from art.attacks.evasion import SquareAttack
from jsonschema import Draft202012Validator

from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.evaluation.record import Bounds, Evaluation, Examples, Provenance, Trial
from art_snn.app.results import write_result
from art_snn.attacks import AutoPGD, Outcome, StableAdaptivePGD, Stage, StageRecord
from art_snn.certified_regions import L1Ball
from art_snn.findings import Finding, Remedy
from art_snn.gradients import ASSG, HART, RGA, STBP, Triangle
from art_snn.metrics import Certificate, Robustness

FORM = Path(__file__).parents[1] / "docs" / "evaluation.schema.json"
SCHEMA = json.loads(FORM.read_text("utf-8"))
STAGES = (
    Stage(AutoPGD, HART(surrogate=Triangle(0.5)), {"max_iter": 20}).record(),
    Stage(AutoPGD, RGA(), {"max_iter": 20}).record(),
    Stage(StableAdaptivePGD, ASSG(omega=4.21), {"max_iter": 100}).record(),
    Stage(AutoPGD, STBP(), {"loss_type": "difference_logits_ratio"}).record(),
    Stage(SquareAttack, None, {"max_iter": 2500}).record(),
)
PGD = StageRecord("pgd", "PGD", "PGD()", gradient=True)
VANISHED = Finding(
    "vanished-gradients",
    "vanished gradients",
    {"zero": 0.12, "not finite": 0.0},
    "if one is 0 throughout or not finite (AutoAttack)",
    (Remedy("Take another rule: a rate rule such as RGA has a slope that is nowhere 0."),),
    about="stbp gradients",
)
RISES = Finding(
    "more-steps",
    "success still rises with steps",
    {"broken": 612.0, "with twice the steps": 633.0, "p": 1.2e-05},
    "above one point at p < 0.05 (ours, after Carlini et al., 2019)",
    (Remedy("Give the attack more steps."),),
    about="standard",
)
WEAK = replace(RISES, about="PGD-7 by stbp", evidence={"broken": 402.0})


def outcome(flips: int | Collection[int], samples: int = 10, wrong: int = 2) -> Robustness:
    """The first `wrong` samples misclassified from the start; flipped are those of the numbers, or
    so many behind the wrong ones."""
    flipped = range(wrong, wrong + flips) if isinstance(flips, int) else flips
    place = np.arange(samples)
    return Robustness(place >= wrong, ~np.isin(place, list(flipped)) & (place >= wrong))


def trial(name, eps, stage, stages=(PGD,), **changes):
    """A trial in which each sample took as many queries as its row says, from 2 on.

    A text among the stages is one with a gradient, or adversarials from elsewhere."""
    records = tuple(one if isinstance(one, StageRecord) else record(one) for one in stages)
    stage = np.array(stage, dtype=np.int64)
    rows = np.arange(len(stage))
    columns: dict[str, Any] = {
        "forwards": rows + 2,
        "backwards": rows,
        "distance": np.where(stage >= 0, eps, 0.0),
        "votes": ((stage >= 0) | (stage == Outcome.WRONG)).astype(int),
    }
    usual = {"skipped": (), "draws": 1, "stage": stage, **columns}
    return Trial(name, eps, Outcome(records, **(usual | changes)))


def record(words: str, status: Any = None, reason: str = "", instead_of: str = "") -> StageRecord:
    """A stage with a gradient, or adversarials from elsewhere."""
    submitted = words.startswith("adversarials ")
    status = status or ("submitted" if submitted else "ran")
    return StageRecord(words, words, words, not submitted, status, instead_of, reason)


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write all files of an evaluation into the folder."""
    EvaluationResult(evaluation).write(folder)


def save(evaluation: Evaluation, folder: Path) -> None:
    """Write the JSON of an evaluation alone, which takes no time."""
    write_result(folder / "evaluation.json", EvaluationResult(evaluation).as_dict())


def comparable(folder: Path) -> dict[str, Any]:
    """All files of an evaluation by name, without what differs from run to run: its date, what it
    took, and the commit of the folder in which it ran."""
    files: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    content = json.loads(files["evaluation.json"])
    del content["date"], content["sha256"]
    del content["provenance"]["seconds"], content["provenance"]["commit"]
    rows = (">date<", ">time taken<", ">commit<")
    lines = files["report.html"].decode().splitlines()
    page = [line for line in lines if not any(row in line for row in rows)]
    return files | {"evaluation.json": content, "report.html": page}


def complaints(content: Any, schema: Any = SCHEMA) -> list[str]:
    """What a published schema says against content, by default against evaluation.json."""
    return [error.message for error in Draft202012Validator(schema).iter_errors(content)]


def provenance(**changes: Any) -> Provenance:
    """Of a command on two threads."""
    sizes = {"seed": 0, "block": 64, "batch_size": 32, "threads": 2, "examined": 100}
    network = {"steps": 8, "encoder": "direct", "shape": (1, 8, 8), "parameters": 1234}
    words = {"dataset": "digits", "training": "10 epochs", "device": "AMD EPYC"}
    digests = {"commit": "2795f59", "weights": "ab" * 32, "data": "cd" * 32}
    usual = Provenance(
        command="art-snn evaluate --data digits --model vgg5 --eps 2/255,4/255,8/255",
        versions={"art_snn": "0.1.0", "Python": "3.11.7", "torch": "2.9.0", "numpy": "2.3.4"},
        rules={"stbp": "STBP(surrogate=Triangle(width=1.0))"},
        sources=(),
        seconds=83.0,
        **(sizes | network | words | digests),
    )
    return replace(usual, **changes)


def evaluation(*trials: Trial, **changes: Any) -> Evaluation:
    """Of those trials; labels count up to nine, and the wrong ones are taken for the next."""
    first, *_ = trials
    stage = first.outcome.stage.tolist()
    labels = tuple(row % 10 for row in range(len(stage)))
    clean = tuple(
        -1 if s == Outcome.UNANSWERED else (y + (s == Outcome.WRONG)) % 10
        for y, s in zip(labels, stage, strict=True)
    )
    words = {"name": "plain", "title": "vgg5 on digits", "key": "0123456789abcdef"}
    words |= {"norm": "inf", "plan": "", "date": "2026-11-27T12:00:00+00:00"}
    names = tuple(f"sample-{row}" for row in range(len(labels)))
    rows = {"samples": names, "labels": labels, "clean": clean, "trials": trials}
    usual: dict[str, Any] = words | rows | {"findings": (), "provenance": provenance()}
    return Evaluation(**(usual | changes))


def small(**changes: Any) -> Evaluation:
    """Four samples by hand: one wrong, one broken by the plan, one by PGD, and one stands."""
    plan = trial("standard", 8 / 255, (-2, 1, -1, -1), STAGES[:2])
    weak = trial("PGD-7 by stbp", 8 / 255, (-2, -1, 0, -1))
    return evaluation(plan, weak, **({"plan": plan.name} | changes))


CERTIFICATE = Certificate(
    np.array([0, 2, -1, 3]),
    L1Ball(np.array([0.08, 0.04, 0.0, 0.02])),
    np.array([True, False, False, True]),
    draws=100,
    alpha=0.001,
)
"""Of the four samples by hand: two are certified rightly, one wrongly, and one is not."""


def proven(*margins: float, eps: float = 8 / 255) -> Bounds:
    """Bounds of the samples at a budget, those of the four by hand for one that certifies the
    fourth: ``proven(-1, -1, -1, 2)``."""
    return Bounds(eps, "counts", np.array(margins, dtype=float))


EXACT = (proven(-1, -np.inf, -1, 2),)
"""Of the four samples by hand: the one that stands is certified."""


def large(samples: int = 400, seed: int = 0, **changes: Any) -> Evaluation:
    """As real ones are: a plan and two attacks at three budgets, with two findings."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(samples) < 0.06
    hardness = rng.random(samples)
    trials = []
    for name, stages, strength in (
        ("standard", STAGES, 1.0),
        ("PGD-7 by stbp", ("PGD-7 by stbp",), 0.6),
        ("PGD-7 by rga", ("PGD-7 by rga",), 0.85),
    ):
        for eps in (2 / 255, 4 / 255, 8 / 255):
            broken = hardness + 0.05 * rng.random(samples) < 21 * strength * eps
            which = np.minimum(rng.geometric(0.6, samples) - 1, len(stages) - 1)
            stage = np.where(wrong, -2, np.where(broken, which, -1))
            spent = np.where(stage < 0, 50 * len(stages), 1 + (50 * (which + 1) * hardness) // 1)
            queries = spent.astype(np.int64)
            trials.append(trial(name, eps, stage, stages, forwards=queries, backwards=queries))
    usual: dict[str, Any] = {"plan": "standard", "findings": (VANISHED, RISES, WEAK)}
    return evaluation(*trials, **(usual | changes))


def images(count: int = 6, shape: tuple[int, ...] = (1, 8, 8), seed: int = 0) -> Examples:
    """Random smooth pictures with small changes."""
    rng = np.random.default_rng(seed)
    x = rng.random((count, *shape))
    for axis in (-1, -2):
        x = (x + np.roll(x, 1, axis)) / 2
    change = 8 / 255 * rng.choice([-1, 1], x.shape)
    rows, predicted = np.arange(count), (np.arange(count) + 1) % 10
    return Examples("standard", 8 / 255, rows, x, np.clip(x + change, 0, 1), predicted)


def spiking(examples: Examples, steps: int = 4) -> Examples:
    """The same with spikes of two layers, the second of which fires more under the attack."""
    owners = np.repeat([0, 1], [3, 2])
    spikes = np.zeros((2, steps, 5), bool)
    spikes[:, 0, 0], spikes[1, :, 3:] = True, True
    rates = np.array([[0.1, 0.2], [0.1, 0.45]])
    layers = np.array(["layers.1", "layers.<3>"])
    return replace(examples, layers=layers, rates=rates, spikes=spikes, owners=owners)


def frames(count: int = 3, steps: int = 10, seed: int = 0) -> Examples:
    """Events along a line that moves, a few of which are flipped."""
    rng = np.random.default_rng(seed)
    x = np.zeros((count, steps, 2, 24, 24))
    for step in range(steps):
        x[:, step, 0, 4:20, 2 + 2 * step % 20] = 1
        x[:, step, 1, 4:20, 1 + 2 * step % 20] = 1
    x *= rng.random(x.shape) < 0.7
    adversarial = np.where(rng.random(x.shape) < 0.004, 1 - x, x)
    rows, predicted = np.arange(count), (np.arange(count) + 3) % 10
    return Examples("standard", 8 / 255, rows, x, adversarial, predicted)
