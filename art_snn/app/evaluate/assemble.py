"""An evaluation from its blocks, with the files next to it: adversarials, examples, times."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from art_snn.app.evaluate.applied import without_applied
from art_snn.app.evaluate.findings import find_searches, trial_findings
from art_snn.app.evaluate.first import FIRST, First
from art_snn.app.evaluate.provenance import collect_provenance
from art_snn.app.evaluate.refuted import FAILURE
from art_snn.app.evaluate.store import Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import block_name, examination_units, read_bounds
from art_snn.app.evaluation import Bounds, Evaluation, Examples, Trial
from art_snn.app.evaluation.items import EXAMPLES
from art_snn.app.resume import structured
from art_snn.attacks import Outcome
from art_snn.files import corruption, digest, write_arrays, write_json
from art_snn.findings import Finding
from art_snn.metrics import Certificate
from art_snn.seeding import seeded

TIMES = "times.json"
SHOWN = 8
"""Samples that the report shows."""


def assemble(target: Target, title: str, store: Store, seconds: float) -> Evaluation:
    """Join all blocks to the evaluation, and write the files next to it before evaluation.json.

    :param seconds: that all blocks took together."""
    settings, clean, trials, times = target.settings, [], [], []
    for place, (eps, plan) in enumerate(target.plans):
        names = [block_name(f"attack-{place}", rows) for rows in target.slices]
        blocks = [store.read(name) for name in names]
        outcome = Outcome.joined([structured(block["outcome"], Outcome) for block in blocks])
        trials.append(Trial(plan.name, eps, outcome))
        times.append({"name": plan.name, "eps": eps, "stages": _seconds(blocks)})
        clean += [predicted for block in blocks for predicted in block.get("clean", ())]
        if settings.save_adversarials or place == _shown(target):
            array = np.concatenate([store.array(name, "adversarials") for name in names])
            _write_adversarials(target, trials[-1], array, place == _shown(target))
    First.of(target, trials, store).write(settings.output)
    write_json(settings.output / TIMES, {"seconds": times})
    (settings.output / FAILURE).unlink(missing_ok=True)  # Of earlier bounds.
    contents = [store.read(unit.name)["findings"] for unit in examination_units(target)]
    findings = [structured(finding, Finding) for findings in contents for finding in findings]
    names = [block_name("certificates", rows) for rows in target.slices if settings.certify]
    parts = [structured(store.read(name)["certificate"], Certificate) for name in names]
    searches = find_searches(plan for _, plan in target.plans)
    return Evaluation(
        name=settings.label,
        title=title,
        key=target.key,
        norm=str(settings.norm),
        plan=settings.decides,
        samples=tuple(digest("", sample)[:16] for sample in target.x),
        labels=tuple(target.y.tolist()),
        clean=tuple(clean),
        trials=tuple(trials),
        findings=without_applied(target, [*findings, *trial_findings(trials, searches)]),
        provenance=collect_provenance(target, seconds),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        certificate=Certificate.joined(parts) if parts else None,
        bounds=tuple(_bounds(target, store)),
    )


def _bounds(target: Target, store: Store) -> Iterator[Bounds]:
    """What is proven of all samples at each budget."""
    parts = [read_bounds(target, store, rows) for rows in target.slices]
    for eps, first in parts[0].items():
        yield replace(first, margin=np.concatenate([part[eps].margin for part in parts]))


def _seconds(blocks: list[dict[str, Any]]) -> dict[str, float]:
    """The time that each stage took in all blocks."""
    seconds: dict[str, float] = {}
    for block in blocks:
        for words, took in zip(block["outcome"]["stages"], block["seconds"], strict=True):
            seconds[words] = seconds.get(words, 0) + took
    return seconds


def _write_adversarials(
    target: Target, trial: Trial, adversarials: np.ndarray, shown: bool
) -> None:
    """Write all adversarials where they are wanted, and the first ones that the report shows."""
    output, stage = target.settings.output, trial.outcome.stage
    if target.settings.save_adversarials:
        arrays = {"x": target.x, "y": target.y, "adversarial": adversarials, "stage": stage}
        write_arrays(output / file_of(trial), **arrays)
    rows = np.flatnonzero(stage >= 0)[:SHOWN]
    if shown and len(rows):
        broken = adversarials[rows]
        with seeded(target.settings.seed):
            predicted = target.classifier.predict(broken, batch_size=len(rows)).argmax(1)
        Examples(trial.name, trial.eps, rows, target.x[rows], broken, predicted).write(output)
    elif shown:
        # Where nothing was broken, no earlier examples stay.
        (output / EXAMPLES).unlink(missing_ok=True)


def files_missing(target: Target, evaluation: Evaluation) -> bool:
    """Whether a file of an evaluation that is done is missing, or was damaged since."""
    paths = [target.settings.output / name for name in _arrays_of(target, evaluation)]
    return not all(path.is_file() and corruption(path) is None for path in paths)


def files_of(target: Target, evaluation: Evaluation) -> list[str]:
    """The files next to evaluation.json, its report and its table: arrays, times, weights."""
    weights = ["network.safetensors"] if target.settings.network.trained_here else []
    names = [*_arrays_of(target, evaluation), TIMES, *weights]
    return [name for name in names if (target.settings.output / name).exists()]


def _arrays_of(target: Target, evaluation: Evaluation) -> list[str]:
    """The examples, where the report shows some, and adversarials, where they are kept, next to the
    first samples, which earlier versions wrote no more than the name of the data."""
    broken = max(evaluation.trials[_shown(target)].outcome.stage) >= 0
    kept = evaluation.trials if target.settings.save_adversarials else ()
    first = [FIRST] * bool(evaluation.provenance.dataset)
    return [EXAMPLES] * bool(broken) + first + [file_of(trial) for trial in kept]


def _shown(target: Target) -> int:
    """Place of what the report shows: the deciding plan, or the first, at its largest budget."""
    plans = target.plans
    name = target.settings.decides or plans[0][1].name
    places = (place for place, (_, plan) in enumerate(plans) if plan.name == name)
    return max(places, key=lambda place: plans[place][0])


def file_of(trial: Trial) -> str:
    """Name of the file of adversarials, with all digits of the budget."""
    words = re.sub(r"[^A-Za-z0-9.=]+", "-", trial.name).strip("-")
    return f"adversarials-{words}-{float(trial.eps)!r}.npz".replace(".0.npz", ".npz")
