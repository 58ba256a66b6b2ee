"""Evaluations as data: refused where they do not fit together, the same after JSON."""

import math
from dataclasses import replace

import numpy as np
import pytest

from art_snn.app.evaluate import EvaluationResult
from art_snn.app.evaluation import Evaluation, Trial
from art_snn.app.resume import as_json, read_result, structured
from art_snn.attacks import Outcome
from art_snn.metrics import Certificate
from tests.evaluations import (
    CERTIFICATE,
    EXACT,
    VANISHED,
    evaluation,
    images,
    large,
    proven,
    provenance,
    save,
    small,
    trial,
    write,
)

EPS = 8 / 255


@pytest.mark.parametrize("whole", [large(20), small(certificate=CERTIFICATE), small(bounds=EXACT)])
def test_an_evaluation_is_the_same_after_json(whole, tmp_path):
    save(whole, tmp_path)
    read = read_result(tmp_path / "evaluation.json", Evaluation)
    assert as_json(read) == as_json(whole)
    assert read.trials[0].outcome.stage.dtype == np.int64
    assert read.trials[0].outcome.distance.dtype == np.float64
    assert EvaluationResult(read).render() == EvaluationResult(whole).render()


def test_evidence_that_is_no_finite_number_is_read_back(tmp_path):
    odd = replace(VANISHED, evidence={"change": math.inf, "mean": math.nan})
    save(small(findings=(odd,)), tmp_path)
    read = read_result(tmp_path / "evaluation.json", Evaluation)
    assert read.findings[0].evidence["change"] == math.inf
    assert math.isnan(read.findings[0].evidence["mean"])
    assert "change\u00a0inf, mean\u00a0nan" in EvaluationResult(read).render()


def test_it_writes_the_files_that_it_names_and_the_page_shows_the_examples(tmp_path):
    images(2).write(tmp_path)
    write(large(20), tmp_path)
    names = ["evaluation.json", "evaluation.md", "evaluation.png", "report.html"]
    assert EvaluationResult(large(20)).files == names
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names, "examples.npz"])
    assert (tmp_path / "report.html").read_text("utf-8").count("data:image/png") == 6


SHORT = replace(CERTIFICATE, radius=np.zeros(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(labels=(0,)), r"as many samples each, got \[1, 4\]"),
        (lambda: small(certificate=SHORT), r"as many samples each, got \[3, 4\]"),
        (lambda: small(bounds=(proven(1),)), r"as many samples each, got \[1, 4\]"),
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
        (lambda: evaluation(trial("a", EPS, ())), "one sample or more"),
        (lambda: provenance(examined=-1), "at least 0, got -1"),
        (lambda: trial("a", EPS, (0, -1), votes=np.zeros(1)), r"as many samples each, got \[1, 2"),
        (lambda: trial("a", EPS, (1, -1)), r"stages from -3 to 0, got \[1\]"),
        (lambda: trial("a", EPS, (-4, -1)), r"stages from -3 to 0, got \[-4\]"),
        (lambda: trial("a", 0.0, (0, -1)), r"budget above 0, got 0\.0"),
        (lambda: trial("a", EPS, (0, -1), backwards=np.array([-1, 3])), "at least 0, got -1"),
    ],
)
def test_what_does_not_fit_together_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^expected .*{message}"):
        make()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("stage", [0.5, -1], r"stage\[0\]: expected a whole number"),
        ("votes", "01", r"votes: expected a list of numbers"),
        ("distance", [0.0, None], r"distance\[1\]: expected a number"),
        ("native", [], "native: expected another kind"),
    ],
)
def test_a_damaged_outcome_is_refused_by_its_field(field, value, reason):
    content = as_json(evaluation(trial("a", EPS, (0, -1))))
    content["trials"][0]["outcome"][field] = value
    with pytest.raises(ValueError, match=rf"trials\[0\]\.outcome\.{reason}"):
        structured(content, Evaluation)


def test_blocks_are_joined_by_the_words_of_their_stages():
    first = trial("a", EPS, (0, 1), ("one", "two"), skipped={"three": "no"}).outcome
    skipped = {"one": "why", "three": "no"}
    second = trial("a", EPS, (0, -2), ("two",), skipped=skipped).outcome
    joined = Outcome.joined([first, second])
    assert joined.stages == ("one", "two")
    assert joined.stage.tolist() == [0, 1, 1, -2]
    assert joined.skipped == {"three": "no"}
    assert joined.forwards.tolist() == [2, 3, 2, 3]


def test_stages_that_ran_natively_in_one_block_are_not_skipped():
    native = {"one by rga": "no"}
    gradients = ("one by rga",)
    ran = trial("a", EPS, (0,), ("one by native",), native=native, gradients=gradients).outcome
    not_run = trial("a", EPS, (-1,), (), skipped=native, gradients=gradients).outcome
    joined = Outcome.joined([ran, not_run])
    assert (joined.native, joined.gradients, joined.skipped) == (native, gradients, {})
    assert as_json(structured(as_json(Trial("a", EPS, joined)), Trial).outcome) == as_json(joined)


def test_certificates_of_blocks_are_joined():
    joined = Certificate.joined([CERTIFICATE, CERTIFICATE])
    assert joined.predicted.tolist() == 2 * CERTIFICATE.predicted.tolist()
    assert joined.radius.tolist() == 2 * CERTIFICATE.radius.tolist()
    assert (joined.draws, joined.alpha) == (CERTIFICATE.draws, CERTIFICATE.alpha)
