"""Results that parse and are damaged: refused by file and field, or read and told; no traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.report.evaluation import Evaluation
from art_snn.app.results import as_json, earlier, write_result
from art_snn.checks import ArgumentError
from tests.evaluations import VANISHED, small

WHOLE: dict[str, Any] = {"evaluation": small(findings=(VANISHED,))}
CONTENTS = {name: as_json(whole) for name, whole in WHOLE.items()}
OTHERS: list[Any] = [None, 0, -1, 1.5, True, 10**30, float("inf"), "x", "", [], {}, [[]], {"x": 0}]
# Compared with what was asked before anything else is read from them.
KNOWN = ("key", "settings")


def told(found: Evaluation) -> str:
    return EvaluationResult(found).render()


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
