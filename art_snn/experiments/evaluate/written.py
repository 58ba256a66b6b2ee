"""What the blocks hold besides figures: adversarials, examples for the report, and times."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from art_snn.experiments.evaluate.blocks import Blocks
from art_snn.experiments.evaluate.subject import Target
from art_snn.experiments.evaluate.units import of_block, starts
from art_snn.experiments.evaluation import Evaluation
from art_snn.experiments.evaluation.examples import NAME, Examples
from art_snn.files import damage, write_arrays, write_json
from art_snn.seeding import seeded

SHOWN = 8
"""Samples that the report shows."""


def write_blocks(subject: Target, blocks: Blocks) -> None:
    """Write it into the folder, before the figures tell that the evaluation is done."""
    output, shown = subject.settings.output, _shown(subject)
    times = []
    for place, (name, eps, told, adversarials) in enumerate(_trials(subject, blocks)):
        times.append({"name": name, "eps": eps, "stages": told})
        stage, array = adversarials
        if subject.settings.save_adversarials:
            arrays = {"x": subject.x, "y": subject.y, "adversarial": array, "stage": stage}
            write_arrays(output / file_of(name, eps), **arrays)
        if place == shown:
            _write_examples(subject, name, eps, stage, array)
    write_json(output / "times.json", {"seconds": times})


def lacking(subject: Target, found: Evaluation) -> bool:
    """Whether a file of an evaluation that is done is missing, or was damaged since."""
    names = [file_of(trial.name, trial.eps) for trial in found.trials]
    wanted = names if subject.settings.save_adversarials else []
    if max(found.trials[_shown(subject)].stage) >= 0:
        wanted = [*wanted, NAME]
    paths = [subject.settings.output / name for name in wanted]
    return not all(path.is_file() and damage(path) is None for path in paths)


def _shown(subject: Target) -> int:
    """Place of what decides, or was listed first, at the largest budget, among all plans."""
    plans = subject.plans
    name = subject.settings.decides or plans[0][1].name
    places = (place for place, (_, plan) in enumerate(plans) if plan.name == name)
    return max(places, key=lambda place: plans[place][0])


def _trials(subject: Target, blocks: Blocks) -> Iterator[Any]:
    """Of every plan: name, budget, seconds of the stages, and the stages with the adversarials."""
    for place, (eps, plan) in enumerate(subject.plans):
        names = [of_block(place, start) for start in starts(subject)]
        seconds: dict[str, float] = {}
        stage = []
        for found in map(blocks.read, names):
            for words, took in zip(found["trial"]["stages"], found["seconds"], strict=True):
                seconds[words] = seconds.get(words, 0) + took
            stage += found["trial"]["stage"]
        array = np.concatenate([blocks.array(name, "adversarials") for name in names])
        yield plan.name, eps, seconds, (np.array(stage), array)


def _write_examples(
    subject: Target, name: str, eps: float, stage: np.ndarray, adversarials: np.ndarray
) -> None:
    """The first samples that were broken; where none was, no earlier ones stay."""
    rows = np.flatnonzero(stage >= 0)[:SHOWN]
    if not len(rows):
        (subject.settings.output / NAME).unlink(missing_ok=True)
        return
    found = adversarials[rows]
    with seeded(subject.settings.seed):
        predicted = subject.classifier.predict(found, batch_size=len(rows)).argmax(1)
    Examples(name, eps, rows, subject.x[rows], found, predicted).write(subject.settings.output)


def file_of(name: str, eps: float) -> str:
    """Name of the file of adversarials: adversarials-PGD-7-by-stbp-0.05.npz.

    All digits of the budget: no two budgets share a file."""
    words = re.sub(r"[^A-Za-z0-9.=]+", "-", name).strip("-")
    return f"adversarials-{words}-{float(eps)!r}.npz".replace(".0.npz", ".npz")
