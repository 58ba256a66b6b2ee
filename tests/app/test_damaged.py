"""Results that parse and are damaged: refused by file and field, or read and told; no traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from art_snn.app.compare import Comparison, Row
from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.report.evaluation import Evaluation
from art_snn.app.results import as_json, earlier, write_result
from art_snn.checks import ArgumentError
from art_snn.metrics import Share
from tests.evaluations import VANISHED, small
from tests.outcomes import outcome

ROWS = {
    "stbp": Row("STBP()", "temporal", None, outcome(3), Share(1, 10), 1.0),
    "rga": Row("RGA()", "rate", None, outcome(4), Share(0, 10), 0.75),
    "cba": Row("CBA()", objection="it does not suit"),
}
SECONDS = {"stbp": 0.5, "rga": 0.25}
WHOLE: dict[str, Any] = {
    "comparison": Comparison("a", "b" * 64, "PGD", {"seed": 0}, "machine", 0.125, SECONDS, ROWS),
    "evaluation": small(findings=(VANISHED,)),
}
CONTENTS = {name: as_json(whole) for name, whole in WHOLE.items()}
OTHERS: list[Any] = [None, 0, -1, 1.5, True, 10**30, float("inf"), "x", "", [], {}, [[]], {"x": 0}]
# Compared with what was asked before anything else is read from them.
KNOWN = ("key", "settings")


def told(found: Any) -> str:
    result = EvaluationResult(found) if isinstance(found, Evaluation) else found
    text: str = result.render()
    return text


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of the content, by its names from the outside."""
    for name, value in content.items() if isinstance(content, dict) else enumerate(content):
        if name in KNOWN:
            continue
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from places(value, (*path, name))


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The content with another value in a field; without the field for `changed`."""
    content = copy.deepcopy(content)
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    if value is changed:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


@pytest.mark.parametrize("what", WHOLE)
def test_whatever_a_field_holds_instead_the_results_are_refused_by_name_or_told(what, tmp_path):
    file, kind = tmp_path / f"{what}.json", type(WHOLE[what])
    complaints = []
    for path in places(CONTENTS[what]):
        for value in (*OTHERS, changed):
            write_result(file, changed(CONTENTS[what], path, value))
            try:
                assert told(earlier(file, what, kind, lambda _: True))
            except ArgumentError as error:
                complaints.append(str(error))
    assert len(complaints) > 5 * len(list(places(CONTENTS[what])))
    assert all(f"{what}.json, which cannot be read (" in complaint for complaint in complaints)
    assert max(map(len, complaints)) < 500 + len(str(file))


@pytest.mark.parametrize("what", WHOLE)
def test_whole_results_are_read_as_they_were_written(what, tmp_path):
    file = tmp_path / "a.json"
    write_result(file, CONTENTS[what])
    found = earlier(file, what, type(WHOLE[what]), lambda _: True)
    assert as_json(found) == CONTENTS[what]
    assert told(found) == told(WHOLE[what])
