"""What the blocks hold besides figures: adversarials, examples for the report, and times."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from art_snn.experiments.evaluate.blocks import Blocks
from art_snn.experiments.evaluate.subject import Subject
from art_snn.experiments.evaluate.units import of_block, starts
from art_snn.experiments.evaluation.examples import Examples
from art_snn.files import write_arrays, write_json
from art_snn.seeding import seeded

SHOWN = 8
"""Samples that the report shows."""


def write_blocks(subject: Subject, blocks: Blocks) -> None:
    """Write it into the folder, before the figures tell that the evaluation is done."""
    output, deciding = subject.settings.output, None
    times = []
    for name, eps, told, adversarials in _trials(subject, blocks):
        times.append({"name": name, "eps": eps, "stages": told})
        stage, array = adversarials
        if subject.settings.save_adversarials:
            arrays = {"x": subject.x, "y": subject.y, "adversarial": array, "stage": stage}
            write_arrays(output / f"{file_of(name, eps)}.npz", **arrays)
        if name == subject.settings.decides or deciding is None:
            deciding = name, eps, stage, array
    write_json(output / "times.json", {"seconds": times})
    if deciding is not None and (deciding[2] >= 0).any():
        _write_examples(subject, *deciding)


def _trials(subject: Subject, blocks: Blocks) -> Iterator[Any]:
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
    subject: Subject, name: str, eps: float, stage: np.ndarray, adversarials: np.ndarray
) -> None:
    """The first samples that were broken."""
    rows = np.flatnonzero(stage >= 0)[:SHOWN]
    found = adversarials[rows]
    with seeded(subject.settings.seed):
        predicted = subject.classifier.predict(found, batch_size=len(rows)).argmax(1)
    Examples(name, eps, rows, subject.x[rows], found, predicted).write(subject.settings.output)


def file_of(name: str, eps: float) -> str:
    """Name of the file of adversarials: adversarials-PGD-7-by-stbp-0.03137."""
    words = re.sub(r"[^A-Za-z0-9.=]+", "-", f"{name}-{eps:.4g}")
    return f"adversarials-{words.strip('-')}"
