"""The work of an evaluation in units, each of which one process computes by itself.

Bounds come first, then attacks, then an exact search, which decides what lies between the two."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import inf
from time import monotonic

import numpy as np

from art_snn.app.evaluate.blocks import TOOK, Arrays, Block, Content, Part, Store
from art_snn.app.evaluate.decisions import decide_block
from art_snn.app.evaluate.findings import list_examinations
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.record import Bounds, Mask, derive_seed
from art_snn.app.results import as_json
from art_snn.attacks import (
    Candidates,
    Outcome,
    Plan,
    SpikingAutoAttack,
    StageRecord,
    attack_errors,
)
from art_snn.checks import require
from art_snn.findings import Finding
from art_snn.metrics import Certificate, certify
from art_snn.progress import duration

_Computed = tuple[Content, Arrays]
_Note = Callable[[str], None]
"""It shows a few words next to the bar."""


@dataclass(frozen=True)
class Unit:
    """Something that one process computes by itself: the content of a block, and arrays.

    :param step: what it belongs to, in words: an attack and a budget, or the findings.
    :param compute: it is handed a function that shows a few words next to the bar.
    :param length: how long it takes compared to others; long ones are handed out first.
    :param turn: those of an earlier one come before it, since it reads their blocks:
        bounds are 0, attacks 1, decisions 2."""

    name: str
    step: str
    compute: Callable[[_Note], _Computed]
    length: float = 1.0
    turn: int = 1


def list_units(target: Target, store: Store) -> list[Unit]:
    """All units of an evaluation: bounds, attacks and decisions of each block, and the others."""
    units = []

    blocks = [Block(target, store, rows) for rows in target.slices]
    for place, (about, examine) in enumerate(list_examinations(target).items()):
        name = f"findings-{place}"
        units.append(Unit(name, "findings", partial(_examine, about, examine), inf))

    for eps, block in product(target.bounded, blocks):
        name = block.name(f"bounds-{eps}")
        step = f"bounds, eps {eps:.4g}"
        units.append(Unit(name, step, partial(_bound, block, eps), turn=0))

    for (eps, plan), block in product(target.plans, blocks):
        name = block.name_attack(eps, plan.name)
        step = f"{plan.name}, eps {eps:.4g}"
        units.append(
            Unit(name, step, partial(_attack, block, eps, plan), len(plan.stages))
        )

    for eps, block in product(target.searched, blocks):
        name = block.name(f"decisions-{eps}")
        step = f"decisions, eps {eps:.4g}"
        units.append(Unit(name, step, partial(decide_block, block, eps), turn=2))

    for rows in target.certificate_slices:
        block = Block(target, store, rows)
        units.append(
            Unit(block.name("certificate"), "certificates", partial(_certify, block))
        )
    return units


def _examine(about: str, examine: Callable[[], list[Finding]], _: _Note) -> _Computed:
    """The findings of one examination."""
    findings = [replace(one, about=about) for one in examine()]
    return {"findings": as_json(findings)}, {}


def _bound(block: Block, eps: float, _: _Note) -> _Computed:
    """Bounds of a block, which may certify no sample that is misclassified as it is."""
    bounds = block.target.bound(block.x, block.y, eps)
    wrong = np.array(block.predict()) != block.y
    _require_sound(bounds, block, wrong, "misclassified without an attack")
    return {"bounds": as_json(bounds)}, {}


def _require_sound(bounds: Bounds, block: Block, wrong: Mask, how: str) -> None:
    """Complain where a sample of a block [n] is certified and wrong: a bug in the bounds."""
    refuted = bounds.certified & wrong
    place = refuted.argmax()
    require(
        not refuted.any(),
        "bounds",
        "certificates that hold",
        f"sample {block.rows.start + place}, certified at eps {bounds.eps:g} with a margin of "
        f"{bounds.margin[place]:.3g}, and {how}",
        "This is a bug in the bounds: please report it with this command. Without --bounds, "
        "and in another folder, all samples are attacked.",
    )


def _attack(block: Block, eps: float, plan: Plan, note: _Note) -> _Computed:
    """The outcome of a plan on a block; that of the first has predictions of the samples as well.

    Samples that bounds certify are not attacked. A killed run goes on after its last stage."""
    target = block.target
    proven = block.read_bounds()
    attacked = ~proven[eps].certified if proven else np.ones(len(block.y), dtype=bool)
    submissions = target.submissions if plan is target.deciding else []
    submitted = [one.within(eps).select(block.rows) for one in submissions]

    part = Part(block.store, block.name_attack(eps, plan.name))

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
        batch_size=target.settings.batch_size,
        seed=block.seed,
        verbose=False,
        on_stage=keep,
        candidates=[one.select(attacked) for one in submitted],
        resume=part.arrays,
    )
    note(f"{attacked.sum()} left")
    with nullcontext() if plan is target.deciding else attack_errors(plan.stages[0]):
        attack.generate(block.x[attacked], block.y[attacked])
    assert attack.outcome is not None
    outcome = attack.outcome.expand(attacked, block.x)

    _check_bounds(block, eps, plan, outcome, submitted)
    content: Content = {"outcome": as_json(outcome), TOOK: part.took}
    if (eps, plan) == target.plans[0]:
        content["clean"] = block.predict()
    return content, {"adversarials": outcome.adversarials}


def _check_bounds(
    block: Block,
    eps: float,
    plan: Plan,
    outcome: Outcome,
    submitted: Sequence[Candidates],
) -> None:
    """Complain where a plan, or a submission, broke what is certified within that budget."""
    larger = [bounds for bounds in block.read_bounds().values() if bounds.eps >= eps]
    if not larger:
        return

    target = block.target
    broken = {plan.name: outcome.stage != Outcome.STANDING}
    for one in submitted:
        logits = target.classifier.predict(one.points, target.settings.batch_size)
        broken[f"adversarials {one.name}"] = one.present & (logits.argmax(1) != block.y)
    for bounds, (by, mask) in product(larger, broken.items()):
        _require_sound(bounds, block, mask, f"broken at eps {eps:g} by {by}")


def _certify(block: Block, note: _Note) -> _Computed:
    """The certificate of a block.

    Samples take equally long, so that it says how long the rest of all takes one process."""
    settings = block.target.settings
    parts = []
    began = monotonic()
    for row in range(len(block.y)):
        parts.append(
            certify(
                block.target.classifier,
                block.x[[row]],
                block.y[[row]],
                seed=derive_seed(block.seed, row),
                batch_size=settings.batch_size,
                draws=settings.draws,
            )
        )
        seconds = (monotonic() - began) / len(parts)
        left = len(block.target.x) - block.rows.start - len(parts)
        note(f"about {duration(seconds * left)} left")
    return {"certificate": as_json(Certificate.concatenate(parts))}, {}
