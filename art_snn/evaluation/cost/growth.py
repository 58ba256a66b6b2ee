"""How the cost of an attack grows with the time steps, model by model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from art_snn.checks import invalid
from art_snn.data import Dataset
from art_snn.evaluation import record
from art_snn.evaluation.cost.load import Load
from art_snn.evaluation.cost.machine import describe_machine
from art_snn.evaluation.cost.measuring import peak_of, seconds_of
from art_snn.evaluation.cost.process import ProcessFailed, in_fresh_process
from art_snn.evaluation.cost.table_s2 import TableS2


@dataclass(frozen=True)
class Cell:
    """One model at one number of time steps. A row that failed has a reason and no figure.

    :param model: its name.
    :param steps: time steps T.
    :param seconds: row -> median seconds over all images.
    :param peak: row -> peak bytes of one batch above the loaded model.
    :param failed: row -> why there is no figure.
    """

    model: str
    steps: int
    seconds: dict[str, float] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A straight line through figures against T, by least squares.

    :param constant: figure at T = 0.
    :param per_step: what one more time step adds.
    """

    constant: float
    per_step: float

    @classmethod
    def through(cls, figures: Mapping[int, float]) -> Line | None:
        """The line through T -> figure; None where there are fewer than two."""
        if len(figures) < 2:
            return None
        steps = np.array(list(figures), dtype=float)
        values = np.array(list(figures.values()), dtype=float)
        centred = steps - steps.mean()
        slope = float(centred @ values / (centred @ centred))
        return cls(float(values.mean() - slope * steps.mean()), slope)


@dataclass(frozen=True)
class Growth:
    """The measured cells.

    :param protocol: what was measured.
    :param machine: processor or card, threads, versions.
    :param cells: in the order of the protocol.
    """

    protocol: TableS2
    machine: str
    cells: tuple[Cell, ...]

    def seconds(self, model: str, row: str) -> dict[int, float]:
        """T -> median seconds, where there are any, by ascending T."""
        return self._ascending((c.steps, c.seconds.get(row)) for c in self._of(model))

    def peak(self, model: str, row: str) -> dict[int, float]:
        """T -> peak bytes, where there are any, by ascending T."""
        return self._ascending((c.steps, c.peak.get(row)) for c in self._of(model))

    def _of(self, model: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.model == model]

    @staticmethod
    def _ascending(pairs: Iterable[tuple[int, float | None]]) -> dict[int, float]:
        return dict(sorted((steps, value) for steps, value in pairs if value is not None))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return _plain(asdict(self))


def grow(protocol: TableS2, file: Path | None = None, dataset: Dataset | None = None) -> Growth:
    """Measure every model at every number of time steps.

    Each peak is taken in a process of its own; then the rows that survived are timed in another
    one, all in turn. A process that fails or is killed costs its rows their figures and nothing
    else. With a file, every finished cell is written to it, and a later call measures only those
    that it does not hold or that failed.

    :param protocol: what is measured.
    :param file: JSON file of the results.
    :param dataset: its test images are attacked; None takes random ones.
    :raises ValueError: when the file holds results of another protocol or machine, or there are
        fewer images than asked for.
    """
    protocol = protocol if dataset is None else protocol.over(dataset)
    x, y = protocol.images(dataset)
    threads = protocol.threads or torch.get_num_threads()
    machine = describe_machine(protocol.device, threads)
    found = _earlier(file, protocol, machine)
    pairs = [(model, steps) for model in protocol.models for steps in protocol.steps]
    exact = replace(protocol, threads=threads)
    for model, steps in tqdm(pairs, desc="Models and time steps"):
        pair = model, steps
        if pair not in found or found[pair].failed:
            found[pair] = _measured(Load(exact, model, steps, x, y))
            record.write(file, _growth(protocol, machine, pairs, found).as_dict())
    return _growth(protocol, machine, pairs, found)


def _growth(
    protocol: TableS2,
    machine: str,
    pairs: list[tuple[str, int]],
    found: dict[tuple[str, int], Cell],
) -> Growth:
    return Growth(protocol, machine, tuple(found[pair] for pair in pairs if pair in found))


def _measured(load: Load) -> Cell:
    """The cell of a load, whatever fails in it."""
    cell = Cell(load.model, load.steps)
    rows = load.protocol.rows
    one_batch = load.of(load.protocol.batch)
    for row in tqdm(rows, desc=f"Memory, {load.model}, T = {load.steps}", leave=False):
        try:
            cell.peak[row] = int(in_fresh_process(peak_of, one_batch, row))
        except ProcessFailed as failure:
            cell.failed[row] = failure.reason
    try:
        cell.seconds.update(
            in_fresh_process(seconds_of, load, list(cell.peak), load.protocol.repeats)
        )
    except ProcessFailed as failure:
        cell.failed.update(dict.fromkeys(cell.peak, failure.reason))
    return cell


def _earlier(file: Path | None, protocol: TableS2, machine: str) -> dict[tuple[str, int], Cell]:
    """Cells that the file holds, by model and steps."""
    content = record.load(file)
    if content == {}:
        return {}
    wanted = {"protocol": _plain(asdict(protocol)), "machine": machine}
    for part, value in wanted.items():
        if content is None or content.get(part) != value:
            raise invalid(
                "output",
                expected=f"a folder without results, or with results of the same {part}",
                got=f"{file}, which holds others",
                remedy="Choose another folder, or delete that file.",
            )
    assert content is not None
    cells = [Cell(**cell) for cell in content["cells"]]
    return {(cell.model, cell.steps): cell for cell in cells}


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: lists for tuples."""
    return json.loads(json.dumps(content))  # type: ignore[no-any-return]
