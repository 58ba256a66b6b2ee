"""Samples between both ends of the robust accuracy, which an exact search decides one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from math import inf
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluate.store import Content, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import PAUSE, TOOK, Unit, block_name, block_seed, read_bounds
from art_snn.app.report.evaluation import DECIDED, Bounds, Trial
from art_snn.app.report.verdict import count_words, describe_budgets
from art_snn.app.results import structured
from art_snn.attacks import Outcome, StageRecord
from art_snn.bounds import Decision, decide_bounds
from art_snn.checks import require
from art_snn.files import write_arrays
from art_snn.findings import OTHER_RULES, Finding, Remedy
from art_snn.findings.finding import list_samples

Decisions = Mapping[float, Decision]
"""Those of all samples by budget; nothing where none were asked for."""

_COLUMNS = tuple(one.name for one in fields(Decision) if one.name != "eps")


def decision_units(target: Target, store: Store) -> list[Unit]:
    """The search at each budget on each block, after all attacks."""
    units = []
    for eps, rows in _parts(target):
        name, step = _block(target, eps, rows), f"decisions, eps {eps:.4g}"
        units.append(Unit(name, step, partial(_decide, target, store, name, eps, rows), inf, 2))
    return units


def _parts(target: Target) -> list[tuple[float, slice]]:
    budgets = target.budgets if target.settings.decide is not None else ()
    return [(eps, rows) for eps in budgets for rows in target.slices]


def _block(target: Target, eps: float, rows: slice) -> str:
    return block_name(f"decisions-{target.budgets.index(eps)}", rows)


def _decide(
    target: Target, store: Store, name: str, eps: float, rows: slice, note: Callable[[str], None]
) -> tuple[Content, dict[str, np.ndarray]]:
    """Decide what bounds do not certify and no attack broke; a killed run goes on after the last
    sample that was written, as time limits give other decisions each time."""
    settings, x, y = target.settings, target.x[rows], target.y[rows]
    assert settings.decide is not None
    left = np.flatnonzero(_between(target, store, eps, rows))
    arrays: dict[str, np.ndarray] = {n: np.zeros(len(x), bool) for n in ("asked", "safe", "broken")}
    arrays |= {"adversarial": x.copy(), "nodes": np.zeros(len(x), int), "seconds": np.zeros(len(x))}
    began, took = monotonic(), 0.0
    if part := store.latest_part(name):
        arrays, took = store.arrays(part), store.read(part)[TOOK]
    written = began
    for count, row in enumerate(left.tolist(), 1):
        if arrays["asked"][row]:
            continue
        how: dict[str, Any] = {"seconds": settings.decide, "batch_size": settings.batch_size}
        seed, one = block_seed(target, slice(rows.start + row, None)), slice(row, row + 1)
        decision = decide_bounds(target.classifier, x[one], y[one], eps, seed=seed, **how)
        for column in _COLUMNS:
            arrays[column][one] = getattr(decision, column)
        arrays["asked"][one] = True
        unknown = int((arrays["asked"] & ~arrays["safe"] & ~arrays["broken"]).sum())
        note(f"decided {count - unknown} of {len(left)}, {unknown} open")
        if monotonic() - written >= PAUSE:
            part, written = f"{name}.{count}", monotonic()
            store.put(part, {TOOK: took + written - began}, arrays)
            store.drop_parts(name, but=part)
    return {TOOK: took}, arrays


def _between(target: Target, store: Store, eps: float, rows: slice) -> NDArray[np.bool_]:
    """Samples of a block that are not certified, and that nothing within the budget broke."""
    proven = read_bounds(target, store, rows)
    larger = [one.certified for at, one in proven.items() if at >= eps]
    between: NDArray[np.bool_] = ~np.logical_or.reduce(larger)
    for place, (at, _) in enumerate(target.plans):
        if at <= eps:
            outcome = store.read(block_name(f"attack-{place}", rows))["outcome"]
            between &= structured(outcome, Outcome).stage == Outcome.STANDING
    return between


def read_decisions(target: Target, store: Store) -> Decisions:
    """The decisions at each budget, which must not contradict each other."""
    blocks: dict[float, list[dict[str, np.ndarray]]] = {}
    for eps, rows in _parts(target):
        blocks.setdefault(eps, []).append(store.arrays(_block(target, eps, rows)))
    decisions = {
        eps: Decision(eps, **{n: np.concatenate([part[n] for part in some]) for n in _COLUMNS})
        for eps, some in blocks.items()
    }
    for eps, one in decisions.items():
        smaller = [other.broken for at, other in decisions.items() if at <= eps]
        wrong = one.safe & np.logical_or.reduce(smaller)
        got = f"sample {wrong.argmax()}, safe at eps {eps:g} and broken at a smaller one"
        remedy = "This is a bug in the search: please report it with this command."
        require(not wrong.any(), "decide", "decisions that agree", got, remedy)
    return decisions


def add_decision(trial: Trial, decisions: Decisions, target: Target) -> Trial:
    """The trial of the deciding plan with the search as its last stage; others as they are."""
    decision, outcome = decisions.get(trial.eps), trial.outcome
    if decision is None or trial.name != target.settings.deciding_plan:
        return trial
    text = f"decide_bounds(seconds={target.settings.decide:g})"
    record = StageRecord(text, "exact search", text, status="decided")
    far = np.abs(decision.adversarial - target.x).reshape(len(target.x), -1).max(1)
    changes = {"stage": len(outcome.stages), "distance": far, "votes": outcome.draws}
    columns: dict[str, Any] = {
        name: np.where(decision.broken, new, getattr(outcome, name))
        for name, new in changes.items()
    }
    stages = (*outcome.stages, record)
    return replace(trial, outcome=replace(outcome, stages=stages, **columns))


def add_proofs(bounds: Bounds, decisions: Decisions) -> Bounds:
    """Bounds with the samples that were decided safe, whose margins are unknown."""
    if (decision := decisions.get(bounds.eps)) is None:
        return bounds
    return replace(bounds, margin=np.where(decision.safe, np.nan, bounds.margin))


def read_adversarials(
    store: Store, place: int, trial: Trial, blocks: Sequence[slice], decisions: Decisions
) -> np.ndarray:
    """What a trial made of the samples of blocks, the first ones ``(n, ...)``."""
    names = [block_name(f"attack-{place}", rows) for rows in blocks]
    arrays = np.concatenate([store.arrays(name)["adversarials"] for name in names])
    if (broken := trial.decided) is not None:
        broken = broken[: len(arrays)]
        arrays[broken] = decisions[trial.eps].adversarial[: len(arrays)][broken]
    return arrays


def write_decided(target: Target, decisions: Decisions) -> None:
    """Write what the search broke, each at the smallest budget, in a file for --adversarials."""
    path, points = target.settings.output / DECIDED, target.x.copy()
    broken = np.zeros(len(points), dtype=bool)
    for _, one in sorted(decisions.items(), reverse=True):
        points[one.broken], broken = one.adversarial[one.broken], broken | one.broken
    rows = np.flatnonzero(broken)
    if len(rows):
        write_arrays(path, x=points[rows], index=rows, name=np.array("exact search"))
    else:  # No earlier file stays.
        path.unlink(missing_ok=True)


def decision_findings(target: Target, trials: Sequence[Trial]) -> Iterator[Finding]:
    """The search broke samples that the plan had left."""
    for trial in trials:
        if (broken := trial.decided) is None or not (count := int(broken.sum())):
            continue
        left = count + int((trial.outcome.stage == Outcome.STANDING).sum())
        at = describe_budgets(str(target.settings.norm), trial.eps)
        yield Finding(
            "exact-search-broke-more",
            "the exact search broke more",
            {"left": left, "broken by the search": count, "of": len(broken)},
            "if it breaks a sample that the plan left (ours)",
            (OTHER_RULES, Remedy("The verdict counts them; more seconds may break open samples.")),
            about=trial.name,
            sentence=f"{trial.name} left {count_words(left, 'sample')} {at}, and the exact search "
            f"broke {count} of these. {list_samples(broken)}",
            eps=trial.eps,
        )
