"""Evaluations as data: refused where they do not fit together, the same after JSON."""

import json
import math
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest

from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.evaluation import record
from art_snn.app.evaluation.record import Evaluation, Examples, ReportItem
from art_snn.app.results import as_json, read_result
from art_snn.attacks import Outcome
from art_snn.certified_regions import L1Ball
from art_snn.checks import ArgumentError
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
    images,
    large,
    proven,
    provenance,
    save,
    small,
    spiking,
    trial,
    write,
)

EPS, FILE = 8 / 255, "examples.npz"
PASSES = np.array([2, 0])
KINDS = {
    "plan": large(20),
    "certificate": small(certificate=CERTIFICATE),
    "counts": evaluation(trial("a", 4, (-3, 0)), norm="0"),
    "bounds": small(bounds=EXACT),
    "evidence": small(findings=(replace(VANISHED, evidence={"a": math.inf, "b": math.nan}),)),
}


@pytest.mark.parametrize("whole", KINDS.values(), ids=KINDS)
def test_an_evaluation_is_the_same_after_json_and_keeps_to_the_published_schema(whole, tmp_path):
    save(whole, tmp_path)
    read = read_result(tmp_path / "evaluation.json", Evaluation)
    assert as_json(read) == as_json(whole)
    assert read.trials[0].outcome.stage.dtype == np.int64
    assert read.trials[0].outcome.distance.dtype == np.float64
    assert EvaluationResult(read).render() == EvaluationResult(whole).render()
    content = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    assert complaints(content) == []
    assert list(content)[:5] == ["schema", "summary", "name", "title", "date"]


def test_it_writes_the_files_that_it_names_and_the_page_shows_the_examples(tmp_path):
    images(2).write(tmp_path)
    write(large(20), tmp_path)
    names = ["evaluation.json", "evaluation.md", "evaluation.png", "report.html"]
    assert EvaluationResult(large(20)).files == [*names, FILE, "first.npz"]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names, FILE])
    assert (tmp_path / "report.html").read_text("utf-8").count("data:image/png") == 6


# Spikes of other layers or neurons.
ODD = [{"rates": np.zeros((2, 3))}, {"rates": np.full((2, 2), np.nan)}]
ODD += [{"spikes": np.zeros((2, 4, 5))}, {"owners": np.zeros(4, int)}]
ODD += [{"owners": np.array([0, 0, 0, 1, 2])}]
SHORT = replace(CERTIFICATE, region=L1Ball(np.zeros(3)))
FAR = replace(CERTIFICATE, region=L1Ball(np.array([0, 0, 0, 1e308])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(labels=(0,)), r"as many samples each, one or more, got \[1, 4\]"),
        (lambda: small(certificate=FAR), r"regions of a size from 0 to 1e\+12, got \[1e\+308\]"),
        (lambda: small(certificate=SHORT), r"one or more, got \[3, 4\]"),
        (lambda: small(bounds=(proven(1),)), r"one or more, got \[1, 4\]"),
        (lambda: small(bounds=(proven(0, 0, 0, 1, eps=9),)), r"bounds at \[0.031.*, got \[9\]"),
        (lambda: small(bounds=(proven(0, 1, 0, 1),)), "certified samples that nothing breaks"),
        (lambda: small(bounds=(proven(1, 0, 0, 1),)), "certified samples that nothing breaks"),
        (lambda: small(trials=()), "one trial or more"),
        (lambda: small(name=""), 'a name in one line, of 1 to 80 characters, got ""'),
        (lambda: small(name="a\nb"), "a name in one line"),
        (lambda: small(name=81 * "a"), "a name in one line"),
        (lambda: small(norm="1"), 'norm among inf, 2, 0, shift, got "1"'),
        (lambda: small(plan="fast"), 'name of a trial, or nothing, got "fast"'),
        (lambda: small(trials=2 * small().trials[:1]), "one trial of a name at a budget"),
        (lambda: evaluation(trial("a", EPS, ())), r"one or more, got \[0\]"),
        (lambda: provenance(examined=-1), "at least 0, got -1"),
        (lambda: replace(images(2), x=np.zeros((2, 3))), "adversarials alike in shape"),
        (lambda: replace(images(2), rows=np.arange(3)), r"one or more, got \[2, 3\]"),
        (lambda: replace(images(1), rows=np.zeros(1)), 'as whole numbers, got \\["f", "i"\\]'),
        (lambda: trial("a", EPS, (0, -1), votes=np.zeros(1)), r"one or more, got \[1, 2"),
        (lambda: trial("a", EPS, (1, -1)), r"stages from -3 to 0, got \[1\]"),
        (lambda: trial("a", EPS, (-4, -1)), r"stages from -3 to 0, got \[-4\]"),
        (lambda: trial("a", 0.0, (0, -1)), r"budget above 0, .*, got 0\.0"),
        (lambda: trial("a", 1e308, (0, -1)), r"budget above 0, up to 1e\+12, got 1e\+308"),
        (lambda: trial("a", EPS, (0, -1), votes=np.array([-3, 0])), r"votes from 0 to 1, .*\[-3\]"),
        (lambda: trial("a", EPS, (0, -1), votes=np.array([1, 2])), r"votes from 0 to 1, .*\[2\]"),
        (lambda: trial("a", EPS, (0, -1), draws=0), "votes from 0 to 0, one or more"),
        (lambda: trial("a", EPS, (0, -1), distance=np.array([0.04, 0])), r"from 0 to 0\.03.*0\.04"),
        (lambda: trial("a", EPS, (0, -1), distance=np.array([-1.0, 0])), "distances from 0"),
        (lambda: trial("a", EPS, (0, -1), distance=np.array([np.nan, 0])), "distances from 0"),
        (lambda: small(labels=(0, 1, 2, -1)), r"labels of at least 0, got \[-1\]"),
        (lambda: small(clean=(0, 1, 2, -2)), r"clean of at least -1, got \[-2\]"),
        (lambda: small(findings=(replace(RISES, eps=1e308),)), "findings at a budget above 0"),
        (lambda: small(date="today"), 'a date in ISO 8601, got "today"'),
        (lambda: small(date="0001-01-01T00:00:00+14:00"), "a date in ISO 8601"),
        (lambda: evaluation(trial("a", EPS, (0, -1), forwards=PASSES)), r"certified, got \[1\]"),
        (lambda: trial("a", EPS, (0, -1), backwards=np.array([-1, 3])), r"at least 0, got \[-1\]"),
        *((partial(replace, spiking(images(3)), **odd), "rates and spikes of the") for odd in ODD),
    ],
)
def test_what_does_not_fit_together_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^expected .*{message}"):
        make()


def test_the_name_of_a_file_becomes_the_name_of_an_evaluation():
    names = [record.name_from(text) for text in ("my\nnet", " a  b ", "", 99 * "a")]
    assert names == ["my net", "a b", "evaluation", 80 * "a"]


EARLIER = {"bounds": {"checked"}, "provenance": {"attack_dtype"}}
"""Fields that earlier records have."""
LATER = {"finding": {"broken"}, "provenance": {"value_range", "milliseconds"}}
"""Fields that they lack."""


def test_the_schema_has_the_fields_of_the_classes_and_describes_each():
    kinds = {"outcome": Outcome, "finding": Finding, "certificate": Certificate}
    kinds |= {"trial": record.Trial, "provenance": record.Provenance, "bounds": record.Bounds}
    for name, kind in kinds.items():
        form = SCHEMA["$defs"][name]
        left_out = {"adversarials"} if kind is Outcome else set()
        names = {field.name for field in fields(kind)} - left_out
        assert {*form["properties"]} - EARLIER.get(name, set()) == names
        assert {*form["required"]} == names - LATER.get(name, set())
        assert form["additionalProperties"] is False
    assert all(one.keys() & {"description", "$ref"} for one in SCHEMA["properties"].values())


def test_examples_are_read_as_they_were_written_and_there_may_be_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected samples next to their adversarials"):
        Examples.read(tmp_path)
    assert "no examples" in ReportItem.of("", small(), tmp_path).objection
    for written in (images(3), spiking(images(3))):
        written.write(tmp_path)
        read = Examples.read(tmp_path)
        assert vars(read).keys() == vars(written).keys()
        same = [np.array_equal(getattr(read, name), value) for name, value in vars(written).items()]
        assert all(same)


DAMAGED = {
    "flipped": lambda whole: whole[:999] + bytes([whole[999] ^ 1]) + whole[1000:],
    "empty": lambda whole: b"",
    "text": lambda whole: b"no archive",
    "short": lambda whole: whole[:-9],
}
OTHER_ARRAYS = {
    "x": {"x": np.zeros(3)},
    "eps": {"trial": "a", "eps": "b"},
    "nan": vars(images(3)) | {"x": np.full((3, 1, 8, 8), np.nan)},
}


@pytest.mark.parametrize("kind", [*DAMAGED, *OTHER_ARRAYS])
def test_damaged_examples_are_refused_by_name_and_the_page_goes_without(kind, tmp_path):
    np.savez(tmp_path / FILE, **OTHER_ARRAYS.get(kind, vars(images(3))))
    if kind in DAMAGED:
        (tmp_path / FILE).write_bytes(DAMAGED[kind]((tmp_path / FILE).read_bytes()))
    with pytest.raises(ArgumentError, match=r"^examples: .*examples\.npz, which"):
        Examples.read(tmp_path)
    item = ReportItem.of("", large(20), tmp_path)
    assert item.examples is None
    assert item.objection.startswith("Left out: expected samples next to")


def test_examples_of_another_evaluation_are_left_out(tmp_path):
    images(6).write(tmp_path)
    # It has four samples, and the sixth example is of another one.
    assert "of another evaluation" in ReportItem.of("", small(), tmp_path).objection
    images(3).write(tmp_path)
    assert ReportItem.of("", small(), tmp_path).examples is not None
