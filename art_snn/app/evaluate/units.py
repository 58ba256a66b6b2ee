"""The work of an evaluation in units, each of which one process computes by itself.

Bounds come first, then attacks, then an exact search, which decides what lies between the two."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import product
from math import inf
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_snn.app.evaluate.findings import examinations
from art_snn.app.evaluate.store import PART, Content, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.report.evaluation import DECIDED, Bounds, Trial
from art_snn.app.report.verdict import count_words, describe_budgets
from art_snn.app.results import as_json, from_json
from art_snn.attacks import Outcome, Plan, SpikingAutoAttack, StageRecord, attack_errors
from art_snn.bounds import Decision, decide_bounds
from art_snn.checks import SEEDS, first_line, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.files import digest, write_arrays
from art_snn.findings import OTHER_RULES, Finding, Remedy
from art_snn.findings.finding import list_samples
from art_snn.metrics import Certificate, certify
from art_snn.progress import duration
from art_snn.seeding import seeded

PAUSE, _SHARE = 5.0, 0.01
"""Seconds at least between two writings of a standing, and the share of the time that they take."""
TOOK = "took"
"""Name of the seconds that a block took, in its content."""

_Block = tuple[Content, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Searched(Decision):
    """Decisions, and the errors in which searches ended.

    :param raised: in words, "" where there was none (N,)."""

    raised: NDArray[np.str_]


Decisions = Mapping[float, Searched]
"""Those of all samples by budget; nothing where none were asked for."""

_COLUMNS = tuple(one.name for one in fields(Decision) if one.name != "eps")
_FAILED = "the exact search of some samples"


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


def attack_name(eps: float, plan: str, rows: slice) -> str:
    """Name of the block of a plan at a budget; the name of the plan may not suit a file."""
    return block_name(f"attack-{eps}-{digest(plan)[:16]}", rows)


def read_outcome(store: Store, eps: float, plan: str, rows: slice) -> Outcome:
    """What a plan achieved on a block."""
    content = store.read(attack_name(eps, plan, rows))
    outcome: Outcome = from_json(content["outcome"], Outcome)
    return outcome


def all_units(target: Target, store: Store) -> list[Unit]:
    """All units of an evaluation: bounds, attacks and decisions of each block, and the others."""
    units = examination_units(target)
    for eps, rows in product(target.bounded, target.slices):
        name, step = block_name(f"bounds-{eps}", rows), f"bounds, eps {eps:.4g}"
        units.append(Unit(name, step, partial(_bound, target, eps, rows), inf, 0))
    for (eps, plan), rows in product(target.plans, target.slices):
        name, step = attack_name(eps, plan.name, rows), f"{plan.name}, eps {eps:.4g}"
        compute = partial(_attack, target, store, eps, plan, rows)
        units.append(Unit(name, step, compute, len(plan.stages)))
    for eps, rows in product(target.searched, target.slices):
        name, step = block_name(f"decisions-{eps}", rows), f"decisions, eps {eps:.4g}"
        units.append(Unit(name, step, partial(_decide, target, store, eps, rows), inf, 2))
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
    x, y = target.x[rows], target.y[rows]
    bounds = target.bound(x, y, eps)
    wrong = np.array(_predict_block(target, rows)) != y
    _require_sound(bounds, rows, wrong, "misclassified without an attack")
    return {"bounds": as_json(bounds)}, {}


def read_bounds(target: Target, store: Store, rows: slice) -> dict[float, Bounds]:
    """Bounds of a block at each budget; nothing where bounds were not asked for."""
    proven = {}
    for eps in target.bounded:
        content = store.read(block_name(f"bounds-{eps}", rows))
        proven[eps] = from_json(content["bounds"], Bounds)
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
    target: Target, store: Store, eps: float, plan: Plan, rows: slice, note: Callable[[str], None]
) -> _Block:
    """The outcome of a plan on a block; that of the first has predictions of the samples as well.

    Samples that bounds certify are not attacked. A killed run goes on after its last stage."""
    settings = target.settings
    x, y = target.x[rows], target.y[rows]
    proven = read_bounds(target, store, rows)
    larger = [bounds for bounds in proven.values() if bounds.eps >= eps]
    left = ~proven[eps].certified if proven else np.ones(len(x), dtype=bool)
    decides = plan.name == settings.deciding_plan
    candidates = [one.within(eps).select(rows) for one in target.submissions if decides]

    part = attack_name(eps, plan.name, rows) + PART
    started = store.whole(part)
    took = store.read(part)[TOOK] if started else 0.0
    began = monotonic()
    due = began + PAUSE

    def keep(_: StageRecord, __: int, standing: int) -> None:
        """Say how many samples stand, and write how far the attack is where it is time."""
        nonlocal due
        note(f"{standing} left")
        now = monotonic()
        if standing and now >= due:
            store.put(part, {TOOK: took + now - began}, attack.standing())
            due = monotonic() + max(PAUSE, (monotonic() - now) / _SHARE)

    attack = SpikingAutoAttack(
        target.classifier,
        norm=target.measure,
        eps=eps,
        plan=plan,
        sources=target.sources if any(stage.transfer for stage in plan.stages) else (),
        batch_size=settings.batch_size,
        seed=block_seed(target, rows),
        verbose=False,
        on_stage=keep,
        candidates=[one.select(left) for one in candidates],
        resume=store.arrays(part) if started else None,
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
    if (eps, plan) == target.plans[0]:
        content["clean"] = _predict_block(target, rows)
    return content, {"adversarials": outcome.adversarials}


def _certify(target: Target, rows: slice, note: Callable[[str], None]) -> _Block:
    """The certificate of a block. Samples take equally long, so that it says how long the rest of
    all takes one process."""
    settings = target.settings
    how: dict[str, Any] = {"batch_size": settings.batch_size, "draws": settings.draws}
    parts = []
    began = monotonic()
    for start in range(rows.start, rows.stop):
        row = slice(start, start + 1)
        sample = target.x[row], target.y[row]
        parts.append(certify(target.classifier, *sample, seed=block_seed(target, row), **how))
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


def _predict_block(target: Target, rows: slice) -> list[int]:
    """Classes of the samples of a block from its seed, without an attack."""
    seed = block_seed(target, rows)
    return predict_classes(target.classifier, target.x[rows], target.settings.batch_size, seed)


def _decide(
    target: Target, store: Store, eps: float, rows: slice, note: Callable[[str], None]
) -> _Block:
    """Decide what bounds do not certify and no attack broke; a killed run goes on after the last
    sample that was written, as time limits give other decisions each time."""
    settings = target.settings
    x, y = target.x[rows], target.y[rows]
    assert settings.decide is not None
    how: dict[str, Any] = {"seconds": settings.decide, "batch_size": settings.batch_size}
    left = np.flatnonzero(_find_undecided(target, store, eps, rows))
    kinds: dict[str, Any] = {"asked": bool, "safe": bool, "broken": bool}
    kinds |= {"nodes": int, "seconds": float, "raised": "U200"}
    arrays = {name: np.zeros(len(x), kind) for name, kind in kinds.items()}
    arrays["adversarial"] = x.copy()

    part = block_name(f"decisions-{eps}", rows) + PART
    began = monotonic()
    took = 0.0
    if store.whole(part):
        arrays = store.arrays(part)
        took = store.read(part)[TOOK]
    written = began
    for count, row in enumerate(left.tolist(), 1):
        if arrays["asked"][row]:
            continue
        one = slice(row, row + 1)
        seed = block_seed(target, slice(rows.start + row, None))
        try:
            decision = decide_bounds(target.classifier, x[one], y[one], eps, seed=seed, **how)
            for column in _COLUMNS:
                arrays[column][one] = getattr(decision, column)
        except Exception as error:  # The sample stays open; the record says why.
            arrays["raised"][one] = f"{type(error).__name__}: {first_line(error)}"
        arrays["asked"][one] = True
        unknown = np.count_nonzero(arrays["asked"] & ~arrays["safe"] & ~arrays["broken"])
        note(f"decided {count - unknown} of {len(left)}, {unknown} open")
        if monotonic() - written >= PAUSE:
            written = monotonic()
            store.put(part, {TOOK: took + written - began}, arrays)
    return {TOOK: took}, arrays


def _find_undecided(target: Target, store: Store, eps: float, rows: slice) -> NDArray[np.bool_]:
    """Samples of a block that are not certified, and that nothing within the budget broke."""
    proven = read_bounds(target, store, rows)
    between: NDArray[np.bool_] = np.ones(rows.stop - rows.start, dtype=bool)
    for at, one in proven.items():
        between &= (at < eps) | ~one.certified
    for at, plan in target.plans:
        if at <= eps:
            between &= read_outcome(store, at, plan.name, rows).stage == Outcome.STANDING
    return between


def read_decisions(target: Target, store: Store) -> Decisions:
    """The decisions at each budget, which must not contradict each other."""
    decisions = {}
    names = (*_COLUMNS, "raised")
    for eps in target.searched:
        blocks = [store.arrays(block_name(f"decisions-{eps}", rows)) for rows in target.slices]
        columns: Any = {name: np.concatenate([block[name] for block in blocks]) for name in names}
        decisions[eps] = Searched(eps, **columns)
    for eps, one in decisions.items():
        smaller = [other.broken for at, other in decisions.items() if at <= eps]
        wrong = one.safe & np.logical_or.reduce(smaller)
        got = f"sample {wrong.argmax()}, safe at eps {eps:g} and broken at a smaller one"
        remedy = "This is a bug in the search: please report it with this command."
        require(not wrong.any(), "decide", "decisions that agree", got, remedy)
    return decisions


def add_decision(trial: Trial, decisions: Decisions, target: Target) -> Trial:
    """The trial of the deciding plan with the search as its last stage; others as they are.

    Samples whose search ended in an error stand among what was skipped."""
    decision = decisions.get(trial.eps)
    outcome = trial.outcome
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
    columns["stages"] = *outcome.stages, record
    failed = decision.raised != ""
    if failed.any():
        reason = f"{decision.raised[failed][0]}. {list_samples(failed)}"
        skipped = replace(record, label=_FAILED, status="skipped", reason=reason)
        columns["skipped"] = *outcome.skipped, skipped
    return replace(trial, outcome=replace(outcome, **columns))


def read_adversarials(
    store: Store, trial: Trial, blocks: Sequence[slice], decisions: Decisions
) -> np.ndarray:
    """What a trial made of the samples of blocks, the first ones ``(n, ...)``."""
    names = [attack_name(trial.eps, trial.name, rows) for rows in blocks]
    arrays = np.concatenate([store.arrays(name)["adversarials"] for name in names])
    if trial.decided is not None:
        broken = trial.decided[: len(arrays)]
        arrays[broken] = decisions[trial.eps].adversarial[: len(arrays)][broken]
    return arrays


def write_decided(target: Target, decisions: Decisions) -> None:
    """Write what the search broke, each at the smallest budget, in a file for --adversarials."""
    points = target.x.copy()
    broken = np.zeros(len(points), dtype=bool)
    for _, one in sorted(decisions.items(), reverse=True):
        points[one.broken] = one.adversarial[one.broken]
        broken |= one.broken
    rows = np.flatnonzero(broken)
    if len(rows):
        arrays = {"x": points[rows], "index": rows, "name": np.array("exact search")}
        write_arrays(target.settings.output / DECIDED, **arrays)


def decision_findings(target: Target, trials: Sequence[Trial]) -> Iterator[Finding]:
    """The search broke samples that the plan had left."""
    for trial in trials:
        broken = trial.decided
        if broken is None or not broken.any():
            continue
        count = int(broken.sum())
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
