"""Results that parse and are damaged: refused by file and field, or read and told; no traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from art_snn.app.base import Result
from art_snn.app.compare import Comparison, Row
from art_snn.app.evaluate import EvaluationResult
from art_snn.app.report.evaluation import Evaluation
from art_snn.app.resume import as_json, earlier, write_result
from art_snn.app.scaling import Cell, Growth
from art_snn.app.scaling.settings import Images, Protocol, Settings
from art_snn.app.sweep import Line, Panel, Swept
from art_snn.app.sweep.result import Content, Entry, Value
from art_snn.checks import ArgumentError
from art_snn.metrics import Share
from tests.evaluations import VANISHED, small
from tests.outcomes import outcome


def comparison() -> Comparison:
    rows = {
        "stbp": Row("STBP()", "temporal", None, outcome(3), Share(1, 10), 1.0),
        "rga": Row("RGA()", "rate", None, outcome(4), Share(0, 10), 0.75),
        "cba": Row("CBA()", objection="it does not suit"),
    }
    times = {"stbp": 0.5, "rga": 0.25}
    return Comparison("a", "b" * 64, "PGD", {"seed": 0}, "a machine", 0.125, times, rows)


def content() -> Content:
    found = outcome(3)
    value = Value(found.attack_success, found.robust)
    attack = {"name": "pgd", "eps": 0.125, "eps_step": None, "iterations": 2}
    told = ("a", "b" * 64, "RGA()", "beta", "2.0", attack, 10, 5, 0)
    entry = Entry(*told, found.clean_accuracy, found.correct, {"1.0": value, "2.0": value})
    return Content({"rga.beta at decay 1": entry})


def growth() -> Growth:
    settings = Settings(models=("vgg5",), steps=(2, 4), samples=2, width=0.1)
    images = Images("random images", np.zeros((2, 3, 8, 8)), np.eye(2))
    rows = {"inference": 0.5, "rga": 0.75, "stbp": 1.5}
    peak = dict.fromkeys(rows, 2**20)
    cells = (Cell("vgg5", 2, rows, peak), Cell("vgg5", 4, {}, {}, {"rga": "killed"}))
    return Growth(Protocol.of(settings, images), "a machine", cells)


def told(found: Any) -> str:
    if isinstance(found, Evaluation):
        return EvaluationResult(found).render()
    if not isinstance(found, Content):
        assert isinstance(found, Result)
        return found.render()
    lines = {}
    for name, entry in found.lines.items():
        outcomes = {float(value): entry.outcome(float(value)) for value in ("1.0", "2.0")}
        lines[name] = Line(entry.title, 2.0, outcomes)
    return Swept([Panel("RGA()", "beta", "PGD", lines)], found).render()


WHOLE = {"comparison": comparison(), "sweep": content(), "protocol": growth()}
WHOLE["evaluation"] = small(findings=(VANISHED,))
PLACES = {name: as_json(whole) for name, whole in WHOLE.items()}
OTHERS: list[Any] = [None, 0, -1, 1.5, True, 10**30, float("inf"), "x", "", [], {}, [[]], {"x": 0}]
# Compared with what was asked before anything else is read from them.
KNOWN = ("protocol", "key", "settings", "attack")


def places(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of the content, by its names from the outside."""
    for name, value in found.items() if isinstance(found, dict) else enumerate(found):
        if name in KNOWN:
            continue
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from places(value, (*path, name))


def changed(found: Any, path: tuple[Any, ...], value: Any) -> Any:
    found = copy.deepcopy(found)
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    if value is changed:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return found


@pytest.mark.parametrize("what", WHOLE)
def test_whatever_a_field_holds_instead_the_results_are_refused_by_name_or_told(what, tmp_path):
    file, kind = tmp_path / f"{what}.json", type(WHOLE[what])
    complaints = []
    for path in places(PLACES[what]):
        for value in (*OTHERS, changed):
            write_result(file, changed(PLACES[what], path, value))
            try:
                found = earlier(file, what, kind, lambda _: True)
                name = next(iter(found.lines), "") if isinstance(found, Content) else ""
                if not name or {"1.0", "2.0"} <= set(found.lines[name].values):
                    assert told(found)
            except ArgumentError as error:
                complaints.append(str(error))
    assert len(complaints) > 5 * len(list(places(PLACES[what])))
    assert all(f"{what}.json, which cannot be read (" in complaint for complaint in complaints)
    assert max(map(len, complaints)) < 500 + len(str(file))


@pytest.mark.parametrize("what", WHOLE)
def test_whole_results_are_read_as_they_were_written(what, tmp_path):
    file = tmp_path / "a.json"
    write_result(file, PLACES[what])
    found = earlier(file, what, type(WHOLE[what]), lambda _: True)
    assert as_json(found) == PLACES[what]
    assert told(found) == told(WHOLE[what])
