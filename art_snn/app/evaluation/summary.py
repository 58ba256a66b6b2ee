"""What the file of an evaluation says in short, for programs; it follows from the samples."""

import math
from typing import Any

from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.evaluation.verdict import Verdict, verdicts
from art_snn.app.resume import converter, expect

HEAD = ("name", "title", "date", "summary")
"""Fields that come first in a file: those that most readers look for."""
UNBOUNDED = {"certified": None, "exact": False}
"""What summaries do not say that were written before there were bounds."""


def summary(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The verdicts in short, a dict per budget: eps, norm, clean, robust, low, high, upper_bound,
    certified, exact, findings; shares are numbers in [0, 1], certified is None without bounds, and
    findings are names."""
    return [_short(verdict) for verdict in verdicts(evaluation)]


def _short(verdict: Verdict) -> dict[str, Any]:
    low, high = verdict.outcome.robust_accuracy.interval
    return {
        "eps": verdict.eps,
        "norm": verdict.norm,
        "clean": verdict.outcome.clean_accuracy.value,
        "robust": verdict.robust,
        "low": low,
        "high": high,
        "upper_bound": verdict.open,
        "certified": None if verdict.certified is None else verdict.certified.value,
        "exact": verdict.exact,
        "findings": list(dict.fromkeys(finding.id for finding in verdict.findings)),
    }


def _write(evaluation: Evaluation) -> dict[str, Any]:
    content = _fields(evaluation) | {"summary": summary(evaluation)}
    return {name: content[name] for name in dict.fromkeys((*HEAD, *content))}


def _read(content: dict[str, Any], kind: Any) -> Evaluation:
    evaluation: Evaluation = _evaluation(content, kind)
    expected, short = "a summary that follows from the samples", content.get("summary")
    rows = short if isinstance(short, list) else [short]
    rows = [UNBOUNDED | row if isinstance(row, dict) else row for row in rows]
    expect(_same(rows, summary(evaluation)), expected, short)
    return evaluation


def _same(value: Any, expected: Any) -> bool:
    """Whether a value of JSON is the expected one; the last bits of numbers may differ."""
    if isinstance(expected, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(expected, list):
        pairs = isinstance(value, list) and len(value) == len(expected)
        return pairs and all(map(_same, value, expected))
    if isinstance(expected, dict):
        fields = isinstance(value, dict) and value.keys() == expected.keys()
        return fields and all(_same(value[name], expected[name]) for name in expected)
    return type(value) is type(expected) and bool(value == expected)


_fields = make_dict_unstructure_fn(Evaluation, converter)
_evaluation = make_dict_structure_fn(Evaluation, converter)
converter.register_unstructure_hook(Evaluation, _write)
converter.register_structure_hook(Evaluation, _read)
