"""An evaluation: handed out in units, written block by block, put together at the end.

Bounds come first, then attacks, then an exact search, which decides what lies between the two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import inf
from shutil import rmtree
from time import monotonic

import numpy as np

from art_snn.app.evaluate.blocks import PART, Arrays, Block, PartialBlock, Store
from art_snn.app.evaluate.decisions import decide_block
from art_snn.app.evaluate.findings import list_examinations
from art_snn.app.evaluate.result import EvaluationResult, assemble, load_finished
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.record import Bounds, Mask, derive_seed
from art_snn.app.results import run_folder
from art_snn.attacks import (
    Candidates,
    Outcome,
    Plan,
    SpikingAutoAttack,
    StageRecord,
    attack_errors,
)
from art_snn.checks import require
from art_snn.distributed import ProcessGroup
from art_snn.findings import Finding
from art_snn.metrics import Certificate, certify
from art_snn.progress import Progress, duration

_Computed = tuple[object, Arrays]


@dataclass(frozen=True)
class Unit:
    """Something that one process computes by itself: the result of a block, and arrays.

    :param step: what it belongs to, in words: an attack and a budget, or the findings.
    :param compute: it is handed what says and writes how far the block is.
    :param length: how long it takes compared to others; long ones are handed out first.
    :param turn: those of an earlier one come before it, since it reads their blocks:
        bounds are 0, attacks 1, decisions 2."""

    name: str
    step: str
    compute: Callable[[PartialBlock], _Computed]
    length: float = 1.0
    turn: int = 1


def run(settings: Evaluate) -> EvaluationResult | None:
    """Load the network, attack it, look for findings, and write the results.

    Started by torchrun, processes hand the units out among themselves, and the leading
    one writes; the others return None. A run that was interrupted, or killed, goes on
    after the last stage that was written, with the same result, bit for bit. A finished
    one is not repeated, unless a file of it is damaged or gone."""
    with run_folder(settings, together=True) as group:
        target = Target.resolve(settings, group)
        key = group.leader_first(lambda: target.key)
        same = {*group.gather(key)} == {key}
        group.on_leader(
            lambda: require(
                same,
                "model",
                "the same in every process",
                "several",
                "Start them all from one state of the code.",
            )
        )

        store = Store(settings.output / "blocks", key)
        evaluation = group.on_leader(lambda: load_finished(target))
        if evaluation is None:
            group.on_leader(target.check)
            units = list_units(target, store)
            _compute(units, store, group)
            evaluation = group.on_leader(
                lambda: assemble(
                    target, store, sum(store.took(unit.name) for unit in units)
                )
            )

        result = EvaluationResult(evaluation, settings.fail_under or 0.0, settings.strict)
        group.on_leader(lambda: result.write(settings.output))
        rmtree(store.folder, ignore_errors=True)
        return result if group.leads else None


def _compute(units: Sequence[Unit], store: Store, group: ProcessGroup) -> None:
    """Compute the units that are not done; each free process takes the next one.

    Those whose blocks others read come first, in rounds of their own."""
    units = sorted(units, key=lambda unit: (unit.turn, -unit.length))
    # One process looks for all, and complains.
    done = group.on_leader(lambda: store.done([unit.name for unit in units]))
    missing = [unit for unit in units if unit.name not in done]
    with Progress(
        "Evaluation", len(units), done=len(done), even=False, summary=False
    ) as progress:
        for turn in range(3):
            some = [unit for unit in missing if unit.turn == turn]
            for unit in group.next_items(some, f"turn {turn}"):
                if unit.step != progress.description:
                    progress.note("")
                progress.describe(unit.step)
                # Those before it are done, or computed by other processes.
                place = len(done) + missing.index(unit)
                progress.update(place - progress.done)
                part = PartialBlock(store, unit.name, progress.note)
                result, arrays = unit.compute(part)
                took = part.took
                store.put(unit.name, result, arrays, took)
                store.file(unit.name + PART).unlink(missing_ok=True)
                progress.write(
                    f"[{place + 1}/{len(units)}] {unit.step}: {duration(took)}"
                )
            group.gather(None)  # All have written theirs.
        progress.update(len(units) - progress.done)


def list_units(target: Target, store: Store) -> list[Unit]:
    """All units of an evaluation: bounds, attacks and decisions of each block, and the others."""
    blocks = [Block(target, store, rows) for rows in target.slices]
    units = [
        Unit(f"findings-{place}", "findings", partial(_examine, about, examine), inf)
        for place, (about, examine) in enumerate(list_examinations(target).items())
    ]
    units += [
        Unit(
            block.name(f"bounds-{eps}"),
            f"bounds, eps {eps:.4g}",
            partial(_bound, block, eps),
            turn=0,
        )
        for eps, block in product(target.bounded, blocks)
    ]
    units += [
        Unit(
            block.name_attack(eps, plan.name),
            f"{plan.name}, eps {eps:.4g}",
            partial(_attack, block, eps, plan),
            len(plan.stages),
        )
        for (eps, plan), block in product(target.plans, blocks)
    ]
    units += [
        Unit(
            block.name(f"decisions-{eps}"),
            f"decisions, eps {eps:.4g}",
            partial(decide_block, block, eps),
            turn=2,
        )
        for eps, block in product(target.searched, blocks)
    ]
    small = [Block(target, store, rows) for rows in target.certificate_slices]
    units += [
        Unit(block.name("certificate"), "certificates", partial(_certify, block))
        for block in small
    ]
    return units


def _examine(
    about: str, examine: Callable[[], list[Finding]], _: PartialBlock
) -> _Computed:
    """The findings of one examination."""
    return [replace(one, about=about) for one in examine()], {}


def _bound(block: Block, eps: float, _: PartialBlock) -> _Computed:
    """Bounds of a block, which may certify no sample that is misclassified as it is."""
    bounds = block.target.bound(block.x, block.y, eps)
    wrong = np.array(block.predict()) != block.y
    _require_sound(bounds, block, wrong, "misclassified without an attack")
    return bounds, {}


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


def _attack(block: Block, eps: float, plan: Plan, part: PartialBlock) -> _Computed:
    """The outcome of a plan on a block; that of the first has predictions of the samples as well.

    Samples that bounds certify are not attacked. A killed run goes on after its last stage."""
    target = block.target
    proven = block.read_bounds()
    attacked = ~proven[eps].certified if proven else np.ones(len(block.y), dtype=bool)
    submissions = target.submissions if plan is target.deciding else []
    submitted = [one.within(eps).select(block.rows) for one in submissions]

    def keep(_: StageRecord, __: int, standing: int) -> None:
        """Say how many samples stand, and write how far the attack is where it is time."""
        part.note(f"{standing} left")
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
    part.note(f"{attacked.sum()} left")
    with attack_errors(plan.stages[0]):  # A plan begins with an attack of ours.
        attack.generate(block.x[attacked], block.y[attacked])
    assert attack.outcome is not None
    outcome = attack.outcome.expand(attacked, block.x)

    _check_bounds(block, eps, plan, outcome, submitted)
    arrays = {"adversarials": outcome.adversarials}
    if (eps, plan) == target.plans[0]:
        arrays["clean"] = np.array(block.predict())
    return outcome, arrays


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


def _certify(block: Block, part: PartialBlock) -> _Computed:
    """The certificate of a block.

    Samples take equally long, so that it says how long the rest of all takes one process."""
    settings = block.target.settings
    certificates = []
    began = monotonic()
    for row in range(len(block.y)):
        certificates.append(
            certify(
                block.target.classifier,
                block.x[[row]],
                block.y[[row]],
                seed=derive_seed(block.seed, row),
                batch_size=settings.batch_size,
                draws=settings.draws,
            )
        )
        seconds = (monotonic() - began) / len(certificates)
        left = len(block.target.x) - block.rows.start - len(certificates)
        part.note(f"about {duration(seconds * left)} left")
    return Certificate.concatenate(certificates), {}
