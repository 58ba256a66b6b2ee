"""The work of an evaluation in units, each of which one process computes by itself."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluate.attacks import attack_errors
from art_snn.app.evaluate.bounds import bounds_of
from art_snn.app.evaluate.findings import examinations
from art_snn.app.evaluate.refuted import check_candidates, check_clean, check_outcome
from art_snn.app.evaluate.store import Content, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.report.evaluation import Bounds
from art_snn.app.resume import as_json, structured
from art_snn.attacks import Outcome, Plan, SpikingAutoAttack
from art_snn.attacks.work import Work
from art_snn.checks import SEEDS
from art_snn.findings import Finding
from art_snn.metrics import certify
from art_snn.metrics.smoothing import SELECTION
from art_snn.seeding import seeded

FINDINGS = "findings"
"""The step that all examinations belong to."""
BOUNDING = 4
"""Predictions that take as long as the bounds of a sample, at most."""
ALPHA = 0.001
"""Probability that the certificate of a sample is wrong, at most."""


class Listener(Protocol):
    """What a plan tells while it runs."""

    def stage(self, words: str, tried: int, outcome: Outcome) -> None:
        """A stage has attacked so many samples, with that outcome so far."""


@dataclass(frozen=True)
class Unit:
    """Something that one process computes by itself: the content of a block, and arrays.

    :param step: what it belongs to, in words: an attack and a budget, or the findings.
    :param works: on a sample that nothing breaks, stage by stage.
    :param length: how long it takes compared to others; long ones are dealt out first.
    :param plan: name of the attacks, where it is some.
    :param early: whether others read its block, so that it has to be done before them.
    :param left: how many of the samples have to be computed, where earlier blocks say so."""

    name: str
    samples: int
    step: str
    works: Mapping[str, Work]
    compute: Callable[[Listener], tuple[Content, dict[str, np.ndarray]]]
    length: float = 1.0
    plan: str = ""
    early: bool = False
    left: Callable[[], int] | None = None

    @property
    def passes(self) -> int:
        """Forward and backward passes, at most."""
        return self.samples * sum(work.passes for work in self.works.values())


def examination_units(target: Target) -> list[Unit]:
    """The examinations that look for findings, in the order of reading."""
    count, units = min(target.settings.examined, len(target.x)), []
    for i, (about, (work, examine)) in enumerate(examinations(target).items()):
        compute = partial(_examined, about, examine)
        units.append(Unit(f"findings-{i}", count, FINDINGS, {about: work}, compute, inf))
    return units


def _examined(about: str, examine: Callable[[], list[Finding]], _: Listener) -> Any:
    return {"findings": as_json([replace(one, about=about) for one in examine()])}, {}


def block_name(work: str, rows: slice) -> str:
    """Name of a block, by what is computed and its first sample."""
    return f"{work}-{rows.start}"


def bounds_units(target: Target) -> Iterator[Unit]:
    """The bounds at each budget on each block, where they were asked for."""
    for place, eps in enumerate(target.settings.budgets if target.settings.bounds else ()):
        for rows in target.slices:
            name, count = block_name(f"bounds-{place}", rows), rows.stop - rows.start
            compute = partial(_bounded, target, eps, rows)
            step, works = f"bounds, eps {eps:.4g}", {"bounds": Work(BOUNDING)}
            yield Unit(name, count, step, works, compute, inf, early=True)


def _bounded(target: Target, eps: float, rows: slice, _: Listener) -> Any:
    x, y = target.x[rows], target.y[rows]
    bounds = bounds_of(target.settings, target.classifier, x, y, eps)
    check_clean(target, rows, np.array(predicted_classes(target, rows)), bounds)
    return {"bounds": as_json(bounds)}, {}


def read_bounds(target: Target, store: Store, rows: slice) -> dict[float, Bounds]:
    """What is proven of a block at each budget; nothing where bounds were not asked for."""
    budgets = target.settings.budgets if target.settings.bounds else ()
    names = [block_name(f"bounds-{place}", rows) for place, _ in enumerate(budgets)]
    several = (structured(store.read(name)["bounds"], Bounds) for name in names)
    return {bounds.eps: bounds for bounds in several}


def attacked_rows(target: Target, store: Store, eps: float, rows: slice) -> NDArray[np.bool_]:
    """Which samples of a block attacks at a budget have to try, bool (n,)."""
    bounds = read_bounds(target, store, rows).get(eps)
    if bounds is None or bounds.checked:
        return np.ones(len(target.x[rows]), dtype=bool)
    return ~bounds.certified


def attack_units(target: Target, store: Store) -> Iterator[Unit]:
    """Each plan at each budget on each block, without the samples that bounds certify."""
    plans = {plan.name: stage_works(target, plan) for _, plan in target.plans}
    for place, (eps, plan) in enumerate(target.plans):
        works, step = plans[plan.name], f"{plan.name}, eps {eps:.4g}"
        for rows in target.slices:
            compute = partial(_attacked, target, store, eps, plan, rows, clean=place == 0)
            name, count = block_name(f"attack-{place}", rows), rows.stop - rows.start
            left = partial(_count_attacked, target, store, eps, rows)
            length = len(plan.stages)
            yield Unit(name, count, step, works, compute, length, plan.name, left=left)


def _count_attacked(target: Target, store: Store, eps: float, rows: slice) -> int:
    return int(attacked_rows(target, store, eps, rows).sum())


def stage_works(target: Target, plan: Plan) -> dict[str, Work]:
    """The work of the stages of a plan, by their words."""
    tries = {str(one): Work(1) for one in target.candidates(plan, max(target.settings.budgets))}
    return tries | {str(stage): target.work_of(stage) for stage in target.suited(plan).stages}


def certificate_units(target: Target) -> Iterator[Unit]:
    """The certificates of each block, where they were asked for."""
    for rows in target.slices if target.settings.certify else ():
        name, compute = block_name("certificates", rows), partial(_certified, target, rows)
        works = {"draws": Work(SELECTION + (target.settings.draws or 0))}
        yield Unit(name, rows.stop - rows.start, "certificates", works, compute)


def _certified(target: Target, rows: slice, _: Listener) -> Any:
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
    target: Target,
    store: Store,
    eps: float,
    plan: Plan,
    rows: slice,
    listener: Listener,
    clean: bool,
) -> Any:
    """The outcome of a plan on a block; `clean` adds the predictions of the samples."""
    settings, left = target.settings, attacked_rows(target, store, eps, rows)
    candidates = [one.of(rows) for one in target.candidates(plan, eps)]
    bounds = read_bounds(target, store, rows)
    check_candidates(target, rows, eps, candidates, bounds)

    def report(words: str, tried: int, _: int) -> None:
        assert attack.outcome is not None
        listener.stage(words, tried, attack.outcome)

    attack = SpikingAutoAttack(
        target.classifier,
        norm=settings.measure,
        eps=eps,
        plan=plan,
        sources=target.sources if any(stage.transfer for stage in plan.stages) else (),
        batch_size=settings.batch_size,
        seed=_seed(target, rows),
        verbose=False,
        on_stage=report,
        candidates=[one.of(left) for one in candidates],
    )
    with nullcontext() if plan.name == settings.decides else attack_errors(plan.stages[0].attack):
        attack.generate(target.x[rows][left], target.y[rows][left])
    assert attack.outcome is not None
    outcome = attack.outcome.among(left, target.x[rows])
    check_outcome(target, rows, eps, outcome, bounds)
    content = {"outcome": as_json(outcome), "seconds": outcome.seconds}
    content |= {"clean": predicted_classes(target, rows)} if clean else {}
    return content, {"adversarials": outcome.adversarials}


def predicted_classes(target: Target, rows: slice) -> list[int]:
    """Classes of the samples of a block; -1 without a prediction."""
    with seeded(_seed(target, rows)):
        logits = target.classifier.predict(target.x[rows], batch_size=target.settings.batch_size)
    classes: list[int] = np.where(np.isnan(logits).any(1), -1, logits.argmax(1)).tolist()
    return classes
