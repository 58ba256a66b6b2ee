"""The work of an evaluation in units, each of which one process computes by itself."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import inf
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluate.findings import examinations
from art_snn.app.evaluate.store import Content, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.report.evaluation import Bounds
from art_snn.app.results import as_json, structured
from art_snn.attacks import Outcome, Plan, SpikingAutoAttack, StageRecord, attack_errors
from art_snn.checks import SEEDS, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.findings import Finding
from art_snn.metrics import Certificate, certify
from art_snn.progress import duration
from art_snn.seeding import seeded

PAUSE, _SHARE = 5.0, 0.01
"""Seconds at least between two writings of a standing, and the share of the time that they take."""
TOOK = "took"
"""Name of the seconds that a block took, in its content."""

_Block = tuple[Content, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Unit:
    """Something that one process computes by itself: the content of a block, and arrays.

    :param step: what it belongs to, in words: an attack and a budget, or the findings.
    :param compute: it is handed a function that shows a few words next to the bar.
    :param length: how long it takes compared to others; long ones are handed out first.
    :param turn: those of an earlier one come before it, since it reads their blocks: bounds are 0,
        attacks 1, decisions 2."""

    name: str
    step: str
    compute: Callable[[Callable[[str], None]], _Block]
    length: float = 1.0
    turn: int = 1


def block_name(work: str, rows: slice) -> str:
    """Name of a block, by what is computed and its first sample."""
    return f"{work}-{rows.start}"


def all_units(target: Target, store: Store) -> list[Unit]:
    """All units of an evaluation, in the order of their steps."""
    units = []
    for place, eps in enumerate(target.budgets if target.bounded else ()):
        for rows in target.slices:
            name, step = block_name(f"bounds-{place}", rows), f"bounds, eps {eps:.4g}"
            units.append(Unit(name, step, partial(_bound, target, eps, rows), inf, 0))
    units += examination_units(target)
    for place, (eps, plan) in enumerate(target.plans):
        for rows in target.slices:
            name, step = block_name(f"attack-{place}", rows), f"{plan.name}, eps {eps:.4g}"
            compute = partial(_attack, target, store, name, eps, plan, rows, clean=place == 0)
            units.append(Unit(name, step, compute, len(plan.stages)))
    for rows in target.certificate_slices:
        compute = partial(_certify, target, rows)
        units.append(Unit(block_name("certificates", rows), "certificates", compute))
    return units


def examination_units(target: Target) -> list[Unit]:
    """The examinations that look for findings, in the order of reading."""

    def compute(about: str, examine: Callable[[], list[Finding]], _: Any) -> _Block:
        return {"findings": as_json([replace(one, about=about) for one in examine()])}, {}

    return [
        Unit(f"findings-{place}", "findings", partial(compute, *examination), inf)
        for place, examination in enumerate(examinations(target).items())
    ]


def _bound(target: Target, eps: float, rows: slice, _: Any) -> _Block:
    x, y, seed = target.x[rows], target.y[rows], block_seed(target, rows)
    bounds = target.bound(x, y, eps)
    wrong = np.array(predict_classes(target.classifier, x, target.settings.batch_size, seed)) != y
    _require_sound(bounds, rows, wrong, "misclassified without an attack")
    return {"bounds": as_json(bounds)}, {}


def read_bounds(target: Target, store: Store, rows: slice) -> dict[float, Bounds]:
    """Bounds of a block at each budget; nothing where bounds were not asked for."""
    proven = {}
    for place, eps in enumerate(target.budgets if target.bounded else ()):
        content = store.read(block_name(f"bounds-{place}", rows))["bounds"]
        proven[eps] = structured(content, Bounds)
    return proven


def _require_sound(bounds: Bounds, rows: slice, wrong: NDArray[np.bool_], how: str) -> None:
    """Complain where a sample of a block [n] is certified and wrong: a bug in the bounds."""
    refuted = bounds.certified & wrong
    place = int(refuted.argmax())
    got = f"sample {rows.start + place}, certified at eps {bounds.eps:g} with a margin of "
    got += f"{bounds.margin[place]:.3g}, and {how}"
    remedy = "This is a bug in the bounds: please report it with this command. Without --bounds, "
    remedy += "and in another folder, all samples are attacked."
    require(not refuted.any(), "bounds", "certificates that hold", got, remedy)


def _attack(
    target: Target,
    store: Store,
    name: str,
    eps: float,
    plan: Plan,
    rows: slice,
    note: Callable[[str], None],
    clean: bool,
) -> _Block:
    """The outcome of a plan on a block; `clean` adds the predictions of the samples.

    Samples that bounds certify are not attacked. A killed run goes on after its last stage."""
    settings, x, y, seed = target.settings, target.x[rows], target.y[rows], block_seed(target, rows)
    proven = read_bounds(target, store, rows)
    larger = [bounds for bounds in proven.values() if bounds.eps >= eps]
    left = np.ones(len(x), dtype=bool) if eps not in proven else ~proven[eps].certified
    decides = plan.name == settings.deciding_plan
    candidates = [one.within(eps).select(rows) for one in target.submissions if decides]
    began, part = monotonic(), store.latest_part(name)
    took, due = store.read(part)[TOOK] if part else 0.0, began + PAUSE

    def keep(_: StageRecord, __: int, standing: int) -> None:
        """Say how many samples stand, and write how far the attack is where it is time."""
        nonlocal due
        note(f"{standing} left")
        if standing and (now := monotonic()) >= due:
            part = f"{name}.{attack.forwards.sum()}"
            store.put(part, {TOOK: took + now - began}, attack.standing())
            store.drop_parts(name, but=part)
            due = monotonic() + max(PAUSE, (monotonic() - now) / _SHARE)

    attack = SpikingAutoAttack(
        target.classifier,
        norm=target.measure,
        eps=eps,
        plan=plan,
        sources=target.sources if any(stage.transfer for stage in plan.stages) else (),
        batch_size=settings.batch_size,
        seed=seed,
        verbose=False,
        on_stage=keep,
        candidates=[one.select(left) for one in candidates],
        resume=store.arrays(part) if part else None,
    )
    note(f"{left.sum()} left")
    with nullcontext() if decides else attack_errors(plan.stages[0]):
        attack.generate(x[left], y[left])
    assert attack.outcome is not None
    outcome = attack.outcome.expand(left, x)
    wrong = {plan.name: outcome.stage != Outcome.STANDING}
    for one in candidates if larger else ():
        logits = target.classifier.predict(one.points, settings.batch_size)
        wrong[f"adversarials {one.name}"] = one.present & (logits.argmax(1) != y)
    for bounds, (by, broken) in product(larger, wrong.items()):
        _require_sound(bounds, rows, broken, f"broken at eps {eps:g} by {by}")
    content: Content = {"outcome": as_json(outcome), TOOK: took}
    if clean:
        content["clean"] = predict_classes(target.classifier, x, settings.batch_size, seed)
    return content, {"adversarials": outcome.adversarials}


def _certify(target: Target, rows: slice, note: Callable[[str], None]) -> _Block:
    """The certificate of a block. Samples take equally long, so that it says how long the rest of
    all takes one process."""
    size, draws, parts, began = target.settings.batch_size, target.settings.draws, [], monotonic()
    for start in range(rows.start, rows.stop):
        row = slice(start, start + 1)
        how: dict[str, Any] = {"seed": block_seed(target, row), "batch_size": size, "draws": draws}
        parts.append(certify(target.classifier, target.x[row], target.y[row], **how))
        left = (monotonic() - began) / len(parts) * (len(target.x) - row.stop)
        note(f"about {duration(left)} left")
    return {"certificate": as_json(Certificate.concatenate(parts))}, {}


def block_seed(target: Target, rows: slice) -> int:
    """The seed of a block, which does not depend on the others."""
    start: int = rows.start
    return (target.settings.seed + start) % (SEEDS + 1)


def predict_classes(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, batch_size: int, seed: int
) -> list[int]:
    """Classes of the samples x ``(n, ...)`` of a block from its seed; -1 without a prediction."""
    with seeded(seed):
        logits = classifier.predict(x, batch_size=batch_size)
    classes: list[int] = np.where(np.isnan(logits).any(1), -1, logits.argmax(1)).tolist()
    return classes
