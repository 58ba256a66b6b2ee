"""The work of an evaluation in units, each of which one process computes by itself."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from art_snn.attacks import Plan, SpikingAutoAttack
from art_snn.checks import SEEDS
from art_snn.experiments.evaluate.attacks import attack_errors
from art_snn.experiments.evaluate.findings import examinations
from art_snn.experiments.evaluate.store import Content
from art_snn.experiments.evaluate.target import Target
from art_snn.experiments.resume import as_json
from art_snn.findings import Finding
from art_snn.metrics import certify
from art_snn.seeding import seeded
from art_snn.team import Team

ALPHA = 0.001
"""Probability that the certificate of a sample is wrong, at most."""


@dataclass
class Progress:
    """A bar over the samples of all units, and a line for each finished stage."""

    bar: "tqdm[Any]"
    team: Team
    shown: int = 0

    @classmethod
    def over(cls, samples: int, done: int, team: Team) -> "Progress":
        """Nothing is shown by the other processes, nor without a terminal."""
        quiet = not (team.leads and sys.stderr.isatty())
        bar = tqdm(total=samples, initial=done, desc="Evaluation", unit="sample", disable=quiet)
        return cls(bar, team)

    def stage(self, words: str, reached: int, left: int) -> None:
        """A stage has attacked a block."""
        if self.bar.disable:
            return
        rate, pace = self.shown / max(self.bar.format_dict["elapsed"], 1e-9), ""
        if rate:
            left_s = self.bar.format_interval((self.bar.total - self.bar.n) / rate)
            pace = f", {rate:.2g} samples/s, {left_s} left"
        self.bar.write(f"  {left:4d} survive; {words} attacked {reached}{pace}", file=sys.stderr)

    def end(self, samples: int) -> None:
        """A unit is done."""
        total = self.team.counted("samples", samples) + (self.shown if self.team.size == 1 else 0)
        self.bar.update(total - self.shown)
        self.shown = total


@dataclass(frozen=True)
class Unit:
    """Something that one process computes by itself: the content of a block, and arrays.

    :param length: how long it takes compared to others; long ones are dealt out first."""

    name: str
    samples: int
    words: str
    compute: Callable[[Progress], tuple[Content, dict[str, np.ndarray]]]
    length: float = 1.0


def examination_units(target: Target) -> list[Unit]:
    """The examinations that look for findings, in the order of reading."""
    count = min(target.settings.examined, len(target.x))
    return [
        Unit(f"findings-{i}", count, f"Findings: {about}", partial(_examined, about, examine), inf)
        for i, (about, examine) in enumerate(examinations(target).items())
    ]


def _examined(about: str, examine: Callable[[], list[Finding]], _: Progress) -> Any:
    return {"findings": as_json([replace(one, about=about) for one in examine()])}, {}


def block_name(work: str, rows: slice) -> str:
    """Name of a block, by what is computed and its first sample."""
    return f"{work}-{rows.start}"


def attack_units(target: Target) -> Iterator[Unit]:
    """Each plan at each budget on each block."""
    for place, (eps, plan) in enumerate(target.plans):
        for rows in target.slices:
            words = f"{plan.name}, eps {eps:.4g}, samples {rows.start} to {rows.stop - 1}"
            compute = partial(_attacked, target, eps, plan, rows, clean=place == 0)
            name, length = block_name(f"attack-{place}", rows), len(plan.stages)
            yield Unit(name, rows.stop - rows.start, words, compute, length)


def certificate_units(target: Target) -> Iterator[Unit]:
    """The certificates of each block, where they were asked for."""
    for rows in target.slices if target.settings.certify else ():
        words = f"Certificates, samples {rows.start} to {rows.stop - 1}"
        name, compute = block_name("certificates", rows), partial(_certified, target, rows)
        yield Unit(name, rows.stop - rows.start, words, compute)


def _certified(target: Target, rows: slice, _: Progress) -> Any:
    settings = target.settings
    assert settings.draws is not None
    how: dict[str, Any] = {"batch_size": settings.batch_size, "seed": _seed(target, rows)}
    how |= {"draws": settings.draws, "alpha": ALPHA}
    certificate = certify(target.classifier, target.x[rows], target.y[rows], **how)
    return {"certificate": as_json(certificate)}, {}


def _seed(target: Target, rows: slice) -> int:
    """The seed of a block, which does not depend on the others."""
    start: int = rows.start
    return (target.settings.seed + start) % (SEEDS + 1)


def _attacked(
    target: Target, eps: float, plan: Plan, rows: slice, progress: Progress, clean: bool
) -> Any:
    """The outcome of a plan on a block; `clean` adds the predictions of the samples."""
    settings = target.settings
    attack = SpikingAutoAttack(
        target.classifier,
        norm=settings.measure,
        eps=eps,
        plan=plan,
        sources=target.sources if any(stage.transfer for stage in plan.stages) else (),
        batch_size=settings.batch_size,
        seed=_seed(target, rows),
        verbose=False,
        on_stage=progress.stage,
    )
    with nullcontext() if plan.name == settings.decides else attack_errors(plan.stages[0].attack):
        attack.generate(target.x[rows], target.y[rows])
    outcome = attack.outcome
    assert outcome is not None
    content = {"outcome": as_json(outcome), "seconds": outcome.seconds}
    content |= {"clean": _predicted(target, rows)} if clean else {}
    return content, {"adversarials": outcome.adversarials}


def _predicted(target: Target, rows: slice) -> list[int]:
    """Classes of the samples of a block; -1 without a prediction."""
    with seeded(_seed(target, rows)):
        logits = target.classifier.predict(target.x[rows], batch_size=target.settings.batch_size)
    classes: list[int] = np.where(np.isnan(logits).any(1), -1, logits.argmax(1)).tolist()
    return classes
