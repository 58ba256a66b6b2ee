"""The exact search, which decides the samples that are neither certified nor broken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluate.blocks import TOOK, Arrays, Block, Content, Part
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.excerpt import derive_seed
from art_snn.app.evaluation.record import DECIDED, Bounds, Trial
from art_snn.attacks import Outcome, StageRecord
from art_snn.bounds import Decision, decide_bounds
from art_snn.checks import first_line, require
from art_snn.files import write_arrays
from art_snn.findings.finding import list_samples


@dataclass(frozen=True)
class Searched(Decision):
    """Decisions, and the errors in which searches ended.

    :param raised: in words, "" where there was none (N,)."""

    raised: NDArray[np.str_]


Decisions = Mapping[float, Searched]
"""Those of all samples by budget; nothing where none were asked for."""

_COLUMNS = tuple(one.name for one in fields(Decision) if one.name != "eps")
_FAILED = "the exact search of some samples"


def decide_block(block: Block, eps: float, note: Callable[[str], None]) -> tuple[Content, Arrays]:
    """Decide what bounds do not certify and no attack broke.

    A killed run goes on after the last sample that was written, as time limits give other decisions
    each time."""
    part = Part(block.store, block.name(f"decisions-{eps}"))
    arrays = part.arrays or _start_arrays(block.x)

    left = np.flatnonzero(_find_undecided(block, eps))
    for count, row in enumerate(left.tolist(), 1):
        if arrays["asked"][row]:
            continue

        _decide_sample(block, eps, row, arrays)
        unknown = np.count_nonzero(arrays["asked"] & ~arrays["safe"] & ~arrays["broken"])
        note(f"decided {count - unknown} of {len(left)}, {unknown} open")
        part.write(lambda: arrays)
    return {TOOK: part.took}, arrays


def _start_arrays(x: np.ndarray) -> Arrays:
    """The arrays of a block of samples x ``(n, ...)``, none of which was searched yet."""
    kinds: dict[str, Any] = {
        "asked": bool,
        "safe": bool,
        "broken": bool,
        "nodes": int,
        "seconds": float,
        "raised": "U200",
    }
    arrays: Arrays = {name: np.zeros(len(x), kind) for name, kind in kinds.items()}
    arrays["adversarial"] = x.copy()
    return arrays


def _find_undecided(block: Block, eps: float) -> NDArray[np.bool_]:
    """Samples that are not certified, and that nothing within the budget broke."""
    undecided: NDArray[np.bool_] = np.ones(len(block.y), dtype=bool)
    for at, bounds in block.read_bounds().items():
        if at >= eps:
            undecided &= ~bounds.certified
    for at, plan in block.target.plans:
        if at <= eps:
            undecided &= block.read_outcome(at, plan.name).stage == Outcome.STANDING
    return undecided


def _decide_sample(block: Block, eps: float, row: int, arrays: Arrays) -> None:
    """Search around one sample of a block, and note the decision in its row of the arrays."""
    settings = block.target.settings
    assert settings.decide is not None
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
        for column in _COLUMNS:
            arrays[column][row] = getattr(decision, column)[0]
    except Exception as error:  # The sample stays open; the record says why.
        arrays["raised"][row] = f"{type(error).__name__}: {first_line(error)}"
    arrays["asked"][row] = True


def join_decisions(blocks: Sequence[Block]) -> Decisions:
    """The decisions at each budget, which must not contradict each other."""
    decisions = {}
    for eps in blocks[0].target.searched:
        parts = [block.store.arrays(block.name(f"decisions-{eps}")) for block in blocks]
        columns: dict[str, Any] = {
            name: np.concatenate([part[name] for part in parts]) for name in (*_COLUMNS, "raised")
        }
        decisions[eps] = Searched(eps, **columns)

    for eps, one in decisions.items():
        smaller = [other.broken for at, other in decisions.items() if at <= eps]
        wrong = one.safe & np.logical_or.reduce(smaller)
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
    changes = decision.adversarial - target.x
    distance = np.abs(changes).reshape(len(changes), -1).max(1)
    values = {"stage": len(outcome.stages), "distance": distance, "votes": outcome.draws}
    columns = {
        name: np.where(decision.broken, value, getattr(outcome, name))
        for name, value in values.items()
    }

    skipped = outcome.skipped
    failed = decision.raised != ""
    if failed.any():
        reason = f"{decision.raised[failed][0]}. {list_samples(failed)}"
        skipped += (replace(record, label=_FAILED, status="skipped", reason=reason),)
    stages = (*outcome.stages, record)
    return replace(trial, outcome=replace(outcome, stages=stages, skipped=skipped, **columns))


def join_bounds(blocks: Sequence[Block], decisions: Decisions) -> tuple[Bounds, ...]:
    """Bounds of all samples at each budget; what the search proved has no known margin."""
    proven = [block.read_bounds() for block in blocks]
    joined = []
    for eps, bounds in proven[0].items():
        margin = np.concatenate([part[eps].margin for part in proven])
        if eps in decisions:
            margin[decisions[eps].safe] = np.nan
        joined.append(replace(bounds, margin=margin))
    return tuple(joined)


def join_adversarials(blocks: Sequence[Block], trial: Trial, decisions: Decisions) -> np.ndarray:
    """What a trial, with its search, made of the samples of the first blocks ``(n, ...)``."""
    names = [block.name_attack(trial.eps, trial.name) for block in blocks]
    store = blocks[0].store
    points = np.concatenate([store.arrays(name)["adversarials"] for name in names])
    if trial.decided is not None:
        broken = trial.decided[: len(points)]
        points[broken] = decisions[trial.eps].adversarial[: len(points)][broken]
    return points


def write_decided(target: Target, decisions: Decisions) -> None:
    """Write what the search broke, each at the smallest budget, in a file for --adversarials."""
    points = target.x.copy()
    broken = np.zeros(len(points), dtype=bool)
    for _, one in sorted(decisions.items(), reverse=True):
        points[one.broken] = one.adversarial[one.broken]
        broken |= one.broken
    rows = np.flatnonzero(broken)
    if len(rows):
        write_arrays(
            target.settings.output / DECIDED,
            x=points[rows],
            index=rows,
            name=np.array("exact search"),
        )
