"""The work of an evaluation in units, each of which one process computes by itself.

Bounds come first, then attacks, then an exact search, which decides what lies between the two."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import inf
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluate.blocks import (
    name_attack,
    name_bounds,
    name_certificates,
    name_decisions,
    read_bounds,
)
from art_snn.app.evaluate.decisions import decide_block
from art_snn.app.evaluate.findings import list_examinations, name_findings
from art_snn.app.evaluate.store import TOOK, Arrays, Content, Part, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.excerpt import derive_seed, predict_classes
from art_snn.app.evaluation.record import Bounds
from art_snn.app.results import as_json
from art_snn.attacks import Candidates, Outcome, Plan, SpikingAutoAttack, StageRecord, attack_errors
from art_snn.checks import require
from art_snn.findings import Finding
from art_snn.metrics import Certificate, certify
from art_snn.progress import duration

_Block = tuple[Content, Arrays]
_Note = Callable[[str], None]
"""It shows a few words next to the bar."""


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
    compute: Callable[[_Note], _Block]
    length: float = 1.0
    turn: int = 1


def list_units(target: Target, store: Store) -> list[Unit]:
    """All units of an evaluation: bounds, attacks and decisions of each block, and the others."""
    units = []
    for place, (about, examine) in enumerate(list_examinations(target).items()):
        compute: Callable[[_Note], _Block] = partial(_examine, about, examine)
        units.append(Unit(name_findings(place), "findings", compute, inf))
    for eps, rows in product(target.bounded, target.slices):
        compute = partial(_bound, target, eps, rows)
        units.append(Unit(name_bounds(eps, rows), f"bounds, eps {eps:.4g}", compute, inf, turn=0))
    for (eps, plan), rows in product(target.plans, target.slices):
        compute = partial(_attack, target, store, eps, plan, rows)
        step = f"{plan.name}, eps {eps:.4g}"
        units.append(Unit(name_attack(eps, plan.name, rows), step, compute, len(plan.stages)))
    for eps, rows in product(target.searched, target.slices):
        compute = partial(decide_block, target, store, eps, rows)
        step = f"decisions, eps {eps:.4g}"
        units.append(Unit(name_decisions(eps, rows), step, compute, inf, turn=2))
    for rows in target.certificate_slices:
        compute = partial(_certify, target, rows)
        units.append(Unit(name_certificates(rows), "certificates", compute))
    return units


def _examine(about: str, examine: Callable[[], list[Finding]], _: _Note) -> _Block:
    """The findings of one examination."""
    return {"findings": as_json([replace(one, about=about) for one in examine()])}, {}


def _bound(target: Target, eps: float, rows: slice, _: _Note) -> _Block:
    """Bounds of a block, which may certify no sample that is misclassified as it is."""
    bounds = target.bound(target.x[rows], target.y[rows], eps)
    wrong = np.array(_predict_block(target, rows)) != target.y[rows]
    _require_sound(bounds, rows, wrong, "misclassified without an attack")
    return {"bounds": as_json(bounds)}, {}


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
    target: Target, store: Store, eps: float, plan: Plan, rows: slice, note: _Note
) -> _Block:
    """The outcome of a plan on a block; that of the first has predictions of the samples as well.

    Samples that bounds certify are not attacked. A killed run goes on after its last stage."""
    proven = read_bounds(target, store, rows)
    attacked = np.ones(rows.stop - rows.start, dtype=bool)
    if proven:
        attacked = ~proven[eps].certified
    submitted: list[Candidates] = []
    if plan is target.deciding:
        submitted = [one.within(eps).select(rows) for one in target.submissions]
    candidates = [one.select(attacked) for one in submitted]
    part = Part(store, name_attack(eps, plan.name, rows))
    outcome = _run_plan(target, eps, plan, rows, attacked, candidates, part, note)
    larger = [bounds for bounds in proven.values() if bounds.eps >= eps]
    if larger:
        broken = {plan.name: outcome.stage != Outcome.STANDING}
        broken |= _try_adversarials(target, rows, submitted)
        _require_unbroken(larger, eps, rows, broken)

    content: Content = {"outcome": as_json(outcome), TOOK: part.took}
    if (eps, plan) == target.plans[0]:
        content["clean"] = _predict_block(target, rows)
    return content, {"adversarials": outcome.adversarials}


def _run_plan(
    target: Target,
    eps: float,
    plan: Plan,
    rows: slice,
    attacked: NDArray[np.bool_],
    candidates: Sequence[Candidates],
    part: Part,
    note: _Note,
) -> Outcome:
    """The outcome of a plan on a block, of which some samples [n] are attacked."""
    settings = target.settings

    def keep(_: StageRecord, __: int, standing: int) -> None:
        """Say how many samples stand, and write how far the attack is where it is time."""
        note(f"{standing} left")
        if standing:
            part.write(attack.standing)

    attack = SpikingAutoAttack(
        target.classifier,
        norm=target.measure,
        eps=eps,
        plan=plan,
        sources=target.sources if any(stage.transfer for stage in plan.stages) else (),
        batch_size=settings.batch_size,
        seed=derive_seed(settings.seed, rows.start),
        verbose=False,
        on_stage=keep,
        candidates=candidates,
        resume=part.arrays,
    )
    note(f"{attacked.sum()} left")
    x = target.x[rows]
    with nullcontext() if plan is target.deciding else attack_errors(plan.stages[0]):
        attack.generate(x[attacked], target.y[rows][attacked])
    assert attack.outcome is not None
    return attack.outcome.expand(attacked, x)


def _try_adversarials(
    target: Target, rows: slice, submitted: Sequence[Candidates]
) -> dict[str, NDArray[np.bool_]]:
    """The samples of a block that each set of adversarials breaks, bool (n,), by its name."""
    broken = {}
    for one in submitted:
        logits = target.classifier.predict(one.points, target.settings.batch_size)
        broken[f"adversarials {one.name}"] = one.present & (logits.argmax(1) != target.y[rows])
    return broken


def _require_unbroken(
    proven: Sequence[Bounds], eps: float, rows: slice, broken: Mapping[str, NDArray[np.bool_]]
) -> None:
    """Complain where a sample of a block is broken at a budget within which it is certified."""
    for bounds, (by, mask) in product(proven, broken.items()):
        _require_sound(bounds, rows, mask, f"broken at eps {eps:g} by {by}")


def _certify(target: Target, rows: slice, note: _Note) -> _Block:
    """The certificate of a block. Samples take equally long, so that it says how long the rest of
    all takes one process."""
    settings = target.settings
    parts = []
    began = monotonic()
    for row in range(rows.start, rows.stop):
        one = certify(
            target.classifier,
            target.x[[row]],
            target.y[[row]],
            seed=derive_seed(settings.seed, row),
            batch_size=settings.batch_size,
            draws=settings.draws,
        )
        parts.append(one)
        left = (monotonic() - began) / len(parts) * (len(target.x) - row - 1)
        note(f"about {duration(left)} left")
    return {"certificate": as_json(Certificate.concatenate(parts))}, {}


def _predict_block(target: Target, rows: slice) -> list[int]:
    """Classes of the samples of a block from its seed, without an attack."""
    settings = target.settings
    seed = derive_seed(settings.seed, rows.start)
    return predict_classes(target.classifier, target.x[rows], settings.batch_size, seed)
