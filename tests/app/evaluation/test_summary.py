"""What programs read of an evaluation: its summary, and the schema that its file keeps to."""

import copy
import json
from dataclasses import fields, replace

import pytest

from art_snn.app.report.evaluation import (
    Bounds,
    Evaluation,
    Provenance,
    Trial,
    read_evaluation,
    summary,
)
from art_snn.app.resume import as_json, structured
from art_snn.attacks import Outcome
from art_snn.files import write_json
from art_snn.findings import Finding
from art_snn.metrics import Certificate
from tests.evaluations import (
    CERTIFICATE,
    EXACT,
    RISES,
    SCHEMA,
    VANISHED,
    complaints,
    evaluation,
    large,
    small,
    trial,
    write,
)

EPS = 8 / 255


def written(result, folder):
    write(result, folder)
    return json.loads((folder / "evaluation.json").read_text("utf-8"))


def test_a_summary_has_the_verdict_of_each_budget_in_numbers():
    trials = trial("a", 0.1, (0, -1, -1, -2)), trial("a", 0.2, (-1, 0, -1, -2))
    first, second = summary(evaluation(*trials, findings=(VANISHED, replace(RISES, eps=0.2))))
    assert (first["eps"], first["norm"], first["clean"], first["robust"]) == (0.1, "inf", 0.75, 0.5)
    assert (first["upper_bound"], first["findings"]) == (True, [VANISHED.name])
    # The Wilson interval of two in four.
    assert (first["low"], first["high"]) == (pytest.approx(0.15003899), pytest.approx(0.84996101))
    assert (second["robust"], second["findings"]) == (0.25, [VANISHED.name, RISES.name])


@pytest.mark.parametrize(
    "change",
    [
        {"robust": 0.5},
        {"upper_bound": True},
        {"upper_bound": 0},
        {"findings": ["vanished gradients"]},
        {"eps": "8/255"},
        {"more": 1},
    ],
)
def test_a_summary_that_does_not_follow_from_the_samples_is_refused(change, tmp_path):
    content = written(small(), tmp_path)
    content["summary"][0] |= change
    content.pop("sha256")
    write_json(tmp_path / "evaluation.json", content)
    with pytest.raises(ValueError, match="expected a summary that follows from the samples, got"):
        read_evaluation(tmp_path)


def test_a_summary_is_missed_and_may_differ_in_the_last_bits():
    content = as_json(small())
    content["summary"][0]["low"] *= 1 + 1e-15
    # Those that were written before there were bounds.
    del content["summary"][0]["certified"], content["summary"][0]["exact"], content["bounds"]
    assert structured(copy.deepcopy(content), Evaluation).name == "plain"
    del content["summary"]
    with pytest.raises(ValueError, match="a summary that follows from the samples, got null"):
        structured(content, Evaluation)


@pytest.mark.parametrize(
    "result",
    [
        large(20),
        small(certificate=CERTIFICATE),
        evaluation(trial("a", 4, (-3, 0)), norm="0"),
        small(bounds=EXACT),
    ],
    ids=["plan", "certificate", "counts", "bounds"],
)
def test_files_keep_to_the_published_schema(result, tmp_path):
    assert complaints(written(result, tmp_path)) == []


def each_object(part, place=()):
    """The place of every object in a content."""
    if isinstance(part, dict):
        yield place
    inside = part.items() if isinstance(part, dict) else enumerate(part)
    for name, inner in inside:
        if isinstance(inner, dict | list):
            yield from each_object(inner, (*place, name))


def test_the_schema_refuses_fields_that_are_missing_or_unknown(tmp_path):
    result = small(findings=(RISES,), certificate=CERTIFICATE, bounds=EXACT)
    content = written(result, tmp_path)
    free = {"evidence", "versions", "rules", "skipped", "native"}
    places = [place for place in each_object(content) if not free & {*place}]
    assert len(places) == 10
    for place in places:
        for name in [None, *_at(content, place)]:
            changed = copy.deepcopy(content)
            inner = _at(changed, place)
            if name is None:
                inner["unknown"] = 1
            else:
                del inner[name]
            assert complaints(changed), (place, name)


def _at(content, place):
    for name in place:
        content = content[name]
    return content


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("trial", Trial),
        ("outcome", Outcome),
        ("finding", Finding),
        ("provenance", Provenance),
        ("certificate", Certificate),
        ("bounds", Bounds),
    ],
)
def test_the_schema_has_the_fields_of_the_classes(name, kind):
    form = SCHEMA["$defs"][name]
    left_out = {"adversarials", "seconds"} if kind is Outcome else set()
    names = {field.name for field in fields(kind)} - left_out
    assert {*form["required"]} == {*form["properties"]} == names


def test_each_field_of_the_schema_is_described():
    bare = [
        n for n, form in SCHEMA["properties"].items() if not form.keys() & {"description", "$ref"}
    ]
    assert bare == []
