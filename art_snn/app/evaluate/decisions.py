"""The exact search, which decides the samples that are neither certified nor broken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy import ndarray

from art_snn.app.evaluate.blocks import Arrays, Block, PartialBlock
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.record import DECIDED, Bounds, Mask, Trial, derive_seed
from art_snn.attacks import Outcome, StageRecord
from art_snn.bounds import decide_bounds
from art_snn.checks import first_line, require
from art_snn.files import write_arrays
from art_snn.findings.finding import list_samples

Decisions = Mapping[float, Arrays]
"""By budget, nothing where none were asked for: which samples were searched ("asked"),
are "safe" or "broken", bool (N,), the "adversarial" of each ``(N, ...)``, and the error
in which its search ended, in words ("raised")."""


def decide_block(block: Block, eps: float, part: PartialBlock) -> tuple[None, Arrays]:
    """Decide what bounds do not certify and no attack broke.

    A killed run goes on after the last sample that was written, as time limits give other
    decisions each time."""
    settings = block.target.settings
    assert settings.decide is not None
    samples = len(block.y)
    new: Arrays = {name: np.zeros(samples, bool) for name in ("asked", "safe", "broken")}
    new |= {"adversarial": block.x.copy(), "raised": np.zeros(samples, "U200")}
    arrays = part.arrays or new

    left = np.flatnonzero(_find_undecided(block, eps))
    for count, row in enumerate(left.tolist(), 1):
        if arrays["asked"][row]:
            continue

        try:
            decision = decide_bounds(
                block.target.classifier,
                block.x[[row]],
                block.y[[row]],
                eps,
                seconds=settings.decide,
                batch_size=settings.batch_size,
                seed=derive_seed(block.seed, row),
            )
            for column in ("safe", "broken", "adversarial"):
                arrays[column][row] = getattr(decision, column)[0]
        except Exception as error:  # The sample stays open; the record says why.
            arrays["raised"][row] = (
                f"{type(error).__name__}: {first_line(error).rstrip('.')}"
            )
        arrays["asked"][row] = True

        unknown = np.count_nonzero(arrays["asked"] & ~arrays["safe"] & ~arrays["broken"])
        part.note(f"decided {count - unknown} of {len(left)}, {unknown} open")
        part.write(lambda: arrays)
    return None, arrays


def _find_undecided(block: Block, eps: float) -> Mask:
    """Samples that are not certified, and that nothing within the budget broke."""
    proven = block.read_bounds()
    certified = [bounds.certified for at, bounds in proven.items() if at >= eps]
    plans = [(at, plan.name) for at, plan in block.target.plans if at <= eps]
    broken = [block.read_outcome(*one).stage != Outcome.STANDING for one in plans]
    return ~np.logical_or.reduce(certified + broken)  # type: ignore[no-any-return]  # numpy gives Any.


def join_decisions(blocks: Sequence[Block]) -> Decisions:
    """The decisions at each budget, which must not contradict each other."""
    decisions: dict[float, Arrays] = {}
    for eps in blocks[0].target.searched:
        parts = [block.store.arrays(block.name(f"decisions-{eps}")) for block in blocks]
        decisions[eps] = {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }

    for eps, one in decisions.items():
        smaller = [other["broken"] for at, other in decisions.items() if at <= eps]
        wrong = one["safe"] & np.logical_or.reduce(smaller)
        require(
            not wrong.any(),
            "decide",
            "decisions that agree",
            f"sample {wrong.argmax()}, safe at eps {eps:g} and broken at a smaller one",
            "This is a bug in the search: please report it with this command.",
        )
    return decisions


def add_decision(trial: Trial, decisions: Decisions, target: Target) -> Trial:
    """The trial of the deciding plan with the search as its last stage; others as they are.

    Samples whose search ended in an error stand among what was skipped."""
    decision = decisions.get(trial.eps)
    if decision is None or trial.name != target.settings.deciding_plan:
        return trial

    outcome = trial.outcome
    text = f"decide_bounds(seconds={target.settings.decide:g})"
    record = StageRecord(text, "exact search", text, status="decided")

    broken = decision["broken"]
    changes = np.abs(decision["adversarial"] - target.x)
    distance = changes.reshape(len(changes), -1).max(1)

    skipped = outcome.skipped
    raised = decision["raised"]
    failed = raised != ""
    if failed.any():
        skipped += (
            replace(
                record,
                label="the exact search of some samples",
                status="skipped",
                reason=f"{raised[failed][0]}. {list_samples(failed)}",
            ),
        )

    searched = replace(
        outcome,
        stages=(*outcome.stages, record),
        skipped=skipped,
        stage=np.where(broken, len(outcome.stages), outcome.stage),
        distance=np.where(broken, distance, outcome.distance),
        votes=np.where(broken, outcome.draws, outcome.votes),
    )
    return replace(trial, outcome=searched)


def join_bounds(blocks: Sequence[Block], decisions: Decisions) -> tuple[Bounds, ...]:
    """Bounds of all samples at each budget; what the search proved has no known margin."""
    proven = [block.read_bounds() for block in blocks]
    joined = []
    for eps, bounds in proven[0].items():
        margin = np.concatenate([part[eps].margin for part in proven])
        if eps in decisions:
            margin[decisions[eps]["safe"]] = np.nan
        joined.append(replace(bounds, margin=margin))
    return tuple(joined)


def join_adversarials(
    blocks: Sequence[Block], trial: Trial, decisions: Decisions
) -> ndarray:
    """What a trial, with its search, made of the samples of the first blocks ``(n, ...)``."""
    parts = [
        block.store.arrays(block.name_attack(trial.eps, trial.name)) for block in blocks
    ]
    points = np.concatenate([part["adversarials"] for part in parts])
    broken = np.flatnonzero(trial.decided[: len(points)])
    if len(broken):
        points[broken] = decisions[trial.eps]["adversarial"][broken]
    return points


def write_decided(target: Target, decisions: Decisions) -> None:
    """Write what the search broke, each at the smallest budget, in a file for --adversarials."""
    points = target.x.copy()
    broken = np.zeros(len(points), dtype=bool)
    for _, one in sorted(decisions.items(), reverse=True):
        hits = one["broken"]
        points[hits] = one["adversarial"][hits]
        broken |= hits

    rows = np.flatnonzero(broken)
    if len(rows):
        write_arrays(
            target.settings.output / DECIDED,
            x=points[rows],
            index=rows,
            name=np.array("exact search"),
        )
