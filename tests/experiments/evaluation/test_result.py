"""Evaluations as data: refused where they do not fit, told as tables, the same after JSON."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from art_snn.attacks import Outcome
from art_snn.experiments.evaluation import Certified, Evaluation, Trial, rows
from art_snn.experiments.resume import as_json, structured
from art_snn.experiments.tables import Table
from art_snn.files import read_json
from tests.evaluations import (
    CERTIFIED,
    RISES,
    STAGES,
    VANISHED,
    evaluation,
    images,
    large,
    provenance,
    small,
    trial,
)

EPS = 8 / 255


def test_an_evaluation_is_the_same_after_json(tmp_path):
    found = large(20)
    found.write(tmp_path)
    assert structured(read_json(tmp_path / "evaluation.json"), Evaluation) == found


def test_evidence_that_is_no_finite_number_is_read_back(tmp_path):
    odd = replace(VANISHED, evidence={"change": math.inf, "mean": math.nan})
    small(reservations=(odd,)).write(tmp_path)
    found = structured(read_json(tmp_path / "evaluation.json"), Evaluation)
    evidence = found.reservations[0].evidence
    assert evidence["change"] == math.inf
    assert math.isnan(evidence["mean"])
    assert "change inf, mean nan" in found.render()


def test_it_writes_the_files_that_it_names_and_the_page_shows_the_examples_beside_it(tmp_path):
    found = large(20)
    images(2).write(tmp_path)
    found.write(tmp_path)
    names = ["evaluation.json", "evaluation.md", "evaluation.png", "report.html"]
    assert found.files == names
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names, "examples.npz"])
    assert (tmp_path / "report.html").read_text("utf-8").count("data:image/png") == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": (0,)}, r"^expected columns of as many samples each, got \[1, 4\]$"),
        ({"trials": ()}, r"^expected one trial or more, got \[\]$"),
        ({"norm": "1"}, r'^expected a norm among inf, 2, 0, shift, got "1"$'),
        ({"plan": "fast"}, r'^expected the name of a trial, or nothing, got "fast"$'),
        ({"trials": 2 * small().trials[:1]}, r"^expected one trial of a name at a budget, got"),
    ],
    ids=["labels", "trials", "norm", "plan", "twice"],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_an_evaluation_of_no_sample_is_refused():
    with pytest.raises(ValueError, match=r"^expected one sample or more, got \[\]$"):
        evaluation(trial("a", EPS, ()))


def test_a_negative_number_of_examined_samples_is_refused():
    with pytest.raises(ValueError, match=r"^expected samples of at least 0, got -1$"):
        provenance(examined=-1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"votes": (0,)}, r"^expected columns of as many samples each, got \[1, 2\]$"),
        ({"stage": (1, -1)}, r"^expected stages from -3 to 0, got \[1\]$"),
        ({"stage": (-4, -1)}, r"^expected stages from -3 to 0, got \[-4\]$"),
        ({"eps": 0.0}, r"^expected a budget above 0, got 0\.0$"),
        ({"backwards": (-1, 3)}, r"^expected passes of at least 0, got -1$"),
    ],
    ids=["columns", "above", "below", "eps", "passes"],
)
def test_a_trial_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(trial("a", EPS, (0, -1)), **changes)


def test_blocks_are_joined_by_the_words_of_their_stages():
    first = trial("a", EPS, (0, 1), ("one", "two"), skipped={"three": "no"})
    second = trial("a", EPS, (0, -2), ("two",), skipped={"one": "why", "three": "no"})
    joined = Trial.joined([first, second])
    assert joined.stages == ("one", "two")
    assert joined.stage == (0, 1, 1, -2)
    assert joined.skipped == {"three": "no"}
    assert joined.forwards == (2, 3, 2, 3)


def test_stages_that_ran_natively_in_one_block_are_not_skipped():
    known = {"native": {"one by rga": "no"}, "gradients": ("one by rga",)}
    first = trial("a", EPS, (0,), ("one by native",), **known)
    second = trial("a", EPS, (-1,), (), skipped=known["native"], gradients=("one by rga",))
    joined = Trial.joined([first, second])
    assert (joined.native, joined.gradients) == (known["native"], known["gradients"])
    assert joined.skipped == {}
    assert Trial.of("a", EPS, joined.outcome) == joined
    # Earlier results tell neither.
    found = as_json(first)
    del found["native"], found["gradients"]
    assert structured(found, Trial) == replace(first, native={}, gradients=())


def test_a_trial_is_what_the_outcome_of_its_attack_was():
    known = trial("a", EPS, (0, -1, -2), skipped={"x": "y"})
    again = Trial.of("a", EPS, known.outcome)
    assert again == known
    assert known.robustness.attack_success.count == 1
    assert known.robustness.clean_accuracy.count == 2


def test_the_table_of_attacks_has_a_row_per_attack_and_the_union():
    table = rows.attack_rows(small())
    assert [row[0] for row in table.rows] == ["standard", "PGD-7 by stbp", "union of all"]
    assert table.titles[-1] == "p against standard"
    # Each breaks one of the three that were right, of which neither breaks the other's.
    assert [row[3] for row in table.rows] == [
        "33.3 % [6.1, 79.2]",
        "33.3 % [6.1, 79.2]",
        "66.7 % [20.8, 93.9]",
    ]
    assert [row[4].startswith("at most 50.0 %") for row in table.rows] == [True, True, False]
    # Queries of the samples that were right: 2 * row + 2 passes of rows 1 to 3.
    assert [row[5] for row in table.rows] == ["6", "6", ""]
    assert [row[6] for row in table.rows] == ["", "= 1", ""]


def test_one_attack_alone_has_neither_a_union_nor_a_test():
    table = rows.attack_rows(evaluation(trial("a", EPS, (0, -1))))
    assert [row[0] for row in table.rows] == ["a"]
    assert table.titles[-1] == "queries per sample"
    assert len(table.rows[0]) == len(table.titles)


def test_no_number_with_an_open_finding_is_told_without_saying_so():
    told = rows.attack_rows(large(40)).rows
    assert all(row[4].startswith("at most ") for row in told)
    parts = [part for part in large(40).parts() if isinstance(part, str)]
    verdicts = [part for part in parts if part.startswith("Robust")]
    assert len(verdicts) == 3
    assert all(part.startswith("Robust accuracy at most ") for part in verdicts)


def test_findings_are_told_with_evidence_limit_and_remedy():
    told = small(reservations=(RISES,)).render("markdown")
    assert "- On standard: success still rises with steps: broken 612, with twice the" in told
    assert "(a finding above one point at p < .05; ours, after" in told
    assert "Give the attack more steps." in told


def test_stages_are_counted_by_trial_and_budget():
    expected = [
        ("standard", STAGES[0], "8/255", "0"),
        ("standard", STAGES[1], "8/255", "1"),
        ("PGD-7 by stbp", "PGD", "8/255", "1"),
    ]
    assert rows.stages(small()).rows == expected


def test_pairs_that_differ_are_told_apart_from_those_that_do_not():
    strong, weak = trial("a", EPS, [0] * 8), trial("b", EPS, [-1] * 8)
    differ, alike = rows.tests(evaluation(strong, weak, trial("c", EPS, [-1] * 8)))
    # Eight against none: two of 2^8 outcomes are as extreme, p = 2 / 256.
    assert differ.rows == [
        ("a", "b", "8/255", "8", "0", "0.0078"),
        ("a", "c", "8/255", "8", "0", "0.0078"),
    ]
    assert alike.rows == [("b", "c", "8/255", "0", "0", "1")]


def test_what_became_of_a_sample_is_told_by_the_first_that_broke_it():
    small_one = trial("a", 1 / 255, (Outcome.UNANSWERED, -2, -1, -1, 1), ("x", "y"))
    larger = trial("a", 2 / 255, (-3, -2, 0, -1, 0), ("x", "y"))
    weak = trial("b", 2 / 255, (-3, -2, 0, 0, 0))
    found = evaluation(small_one, larger, weak)
    clean = ["no prediction", "misclassified as 2"]
    assert rows.fates(found, 0.0) == [*clean, "right", "right", "right"]
    assert rows.fates(found, 1 / 255) == [*clean, "stands", "stands", "broken by a, y"]
    last = ["broken by a, x", "broken by b", "broken by a, y at 1/255"]
    assert rows.fates(found, 2 / 255) == [*clean, *last]
    table = rows.samples(found, 2)
    assert table.titles == ["sample", "label", "predicted", "at 1/255", "at 2/255"]
    assert table.rows == [("0", "0", "none", *2 * clean[:1]), ("1", "1", "2", *2 * clean[1:])]


def test_of_a_random_network_it_is_told_how_many_draws_were_wrong():
    one = trial("a", EPS, (-2, -1), draws=11, votes=(7, 0))
    # One more draw, which the column of predictions shows, is right by chance.
    found = evaluation(one, clean=(0, 1))
    assert rows.fates(found, 0.0) == ["misclassified in 7 of 11 draws", "right"]


def test_what_attacks_could_not_do_is_remarked():
    one = trial("a", EPS, (-3, -1), skipped={"CBA": "it needs ReLUs"}, draws=11)
    assert rows.remarks(evaluation(one)) == [
        "a left out CBA: it needs ReLUs.",
        "Samples without a prediction, which count as not correct: 1.",
        "The network is random: most of 11 predictions tell whether a sample is broken.",
    ]
    assert rows.remarks(small()) == []


def test_stages_that_ran_natively_and_repeats_are_remarked_in_a_sentence_each():
    repeats = dict.fromkeys("de", "the same stage already runs, b. Why.")
    changes = {"native": {"b": "Why.", "c": "Why."}, "skipped": repeats | {"f": "other"}}
    assert rows.remarks(evaluation(trial("a", EPS, (0, -1), **changes))) == [
        "a ran 2 stages under the network's own gradient. The first is b: Why.",
        "a left out 2 stages that would repeat another. The first is d: the same stage already "
        "runs, b. Why.",
        "a left out f: other.",
    ]


def test_provenance_is_told_whole_but_a_commit_only_where_there_is_one():
    def names(table: Table) -> list[str]:
        return [row[0] for row in table.rows]

    with_commit, without = (
        rows.provenance_rows(small(provenance=provenance(commit=c))) for c in ("2795f59", "")
    )
    assert set(names(with_commit)) - set(names(without)) == {"commit"}
    told = dict(with_commit.rows)
    assert told["seed"] == "0"
    assert told["torch"] == "2.9.0"
    assert told["rule stbp"] == "STBP(surrogate=Triangle(width=1.0))"
    assert told["fingerprint"] == "0123456789abcdef"


def test_certificates_are_told_against_the_radius_and_come_back_from_json():
    found = small(certified=CERTIFIED)
    table = rows.certified(found)
    assert [(row[0], row[1].split(" ")[0]) for row in table.rows] == [
        *(("0", "50.0"), ("0.02", "25.0"), ("0.04", "25.0"), ("0.06", "25.0"))
    ]
    words = rows.certified_words(found)
    assert "no class for 25.0 %" in words
    assert "an l1 radius of 0.025 on average" in words
    assert words in found.render()
    assert structured(found.as_dict(), Evaluation) == found
    assert rows.certified_words(small()) == ""
    assert rows.certified(small()).rows == []


def test_where_no_sample_has_a_radius_there_is_one_row():
    nothing = replace(CERTIFIED, predicted=(-1,) * 4, radius=(0.0,) * 4)
    assert len(rows.certified(small(certified=nothing)).rows) == 1


def test_certificates_of_other_samples_are_refused():
    with pytest.raises(ValueError, match="expected a certificate of every sample, got 3"):
        small(certified=replace(CERTIFIED, predicted=(0,) * 3, radius=(0.0,) * 3))
    with pytest.raises(ValueError, match="expected a class and a radius for every sample"):
        replace(CERTIFIED, radius=(0.0,))


def test_certificates_of_blocks_are_joined():
    joined = Certified.joined([CERTIFIED, CERTIFIED])
    assert joined.predicted == 2 * CERTIFIED.predicted
    assert joined.radius == 2 * CERTIFIED.radius
