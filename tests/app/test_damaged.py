"""Results that parse and are damaged: refused by file and field, or read and told; no traceback."""

import copy
from collections.abc import Iterator
from typing import Any

from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.evaluation.record import Evaluation
from art_snn.app.results import as_json, load_previous, write_result
from art_snn.checks import ArgumentError
from tests.evaluations import VANISHED, small

WHOLE = small(findings=(VANISHED,))
CONTENT = as_json(WHOLE)
OTHERS: list[Any] = [None, 0, -1, 1.5, True, 10**30, float("inf"), "x", "", [], {}, [[]], {"x": 0}]
# Compared with what was asked before anything else is read from them.
KNOWN = ("key", "settings")


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


def test_whatever_a_field_holds_instead_the_results_are_refused_by_name_or_told(tmp_path):
    file, complaints = tmp_path / "evaluation.json", []
    for path in places(CONTENT):
        for value in (*OTHERS, changed):
            write_result(file, changed(CONTENT, path, value))
            try:
                found = load_previous(file, "evaluation", Evaluation, lambda _: True)
                assert EvaluationResult(found).render()
            except ArgumentError as error:
                complaints.append(str(error))
    assert len(complaints) > 5 * len(list(places(CONTENT)))
    assert all("evaluation.json, which cannot be read (" in complaint for complaint in complaints)
    assert max(map(len, complaints)) < 500 + len(str(file))
