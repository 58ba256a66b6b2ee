"""Evaluations as tables and sentences."""

from dataclasses import replace

import numpy as np

from art_snn.app.evaluate import EvaluationResult
from art_snn.app.evaluation import rows
from art_snn.attacks import Outcome
from tests.evaluations import (
    CERTIFICATE,
    EXACT,
    RISES,
    STAGES,
    VANISHED,
    WEAK,
    evaluation,
    large,
    proven,
    small,
    trial,
)

EPS = 8 / 255
ROBUST = ("robust accuracy", "findings")


def test_the_table_of_attacks_has_a_row_per_attack_and_the_union():
    table = rows.attack_rows(small())
    names, _, _, success, robust, queries, p = zip(*table.rows, strict=True)
    assert names == ("standard", "PGD-7 by stbp", "union of all")
    assert table.titles[-1] == "against standard"
    # Each breaks one of the three that were right, of which neither breaks the other's.
    assert success == ("33.3 % [6.1, 79.2]", "33.3 % [6.1, 79.2]", "66.7 % [20.8, 93.9]")
    assert [share.startswith("at most 50.0 %") for share in robust] == [True, True, False]
    # Queries of the samples that were right: 2 * row + 2 passes of rows 1 to 3.
    assert queries == ("6", "6", "")
    assert p == ("", "as strong, p = 1", "")


def test_one_attack_alone_has_neither_a_union_nor_a_test():
    table = rows.attack_rows(evaluation(trial("a", EPS, (0, -1))))
    assert [row[0] for row in table.rows] == ["a"]
    assert table.titles[-1] == "queries per sample"
    assert len(table.rows[0]) == len(table.titles)


def test_numbers_with_an_open_finding_are_upper_bounds_everywhere():
    result = large(40)
    assert all(row[4].startswith("at most ") for row in rows.attack_rows(result).rows)
    assert [row[2][:8] for row in rows.verdict_rows(result).rows] == ["at most "] * 3


def test_a_finding_is_one_line_with_its_remedy_at_all_budgets_that_it_concerns():
    (line,) = rows.finding_lines(small(findings=(RISES,)))
    start = "Warning: Success still rises with steps (standard, at every budget). Measured: broken"
    assert line.startswith(start)
    assert line.endswith(RISES.remedy)
    words = [(1 / 255, "It broke 1 of 4."), (8 / 255, "It broke 2 of 4.")]
    several = [replace(VANISHED, sentence=text, eps=eps) for eps, text in words]
    weak = replace(WEAK, sentence="More steps break more.", severity="error")
    vanished, success = rows.finding_lines(small(findings=(weak, *several)))
    assert vanished.startswith(
        "Warning: Vanished gradients (stbp gradients, at eps 1/255 and 8/255)"
    )
    assert vanished.endswith(f"1/255: {words[0][1]} At eps 8/255: {words[1][1]} {VANISHED.remedy}")
    assert success.startswith("Does not change the verdict: Success still rises with steps (PGD-7")
    # Without a plan that decides it is about the verdict.
    (first, *_) = rows.finding_lines(small(plan="", findings=(weak,)))
    assert first.startswith("Error: Success still rises")


def test_a_terminal_of_80_columns_has_room_for_all_lines_but_the_command():
    names = {"name": "a" * 80, "findings": (VANISHED, RISES, WEAK)}
    text = EvaluationResult(large(40, **names)).render()
    assert max(map(len, text.partition("Reproduce:")[0].splitlines())) <= 80
    assert text.endswith(f"Reproduce:\n\n{large(2).provenance.command}\n")
    # What does not fit is in Markdown.
    assert "attack success" not in text
    assert "attack success" in EvaluationResult(large(40)).render("markdown")


def test_stages_are_counted_by_trial_and_budget():
    assert rows.stage_rows(small()).rows == [
        ("standard", STAGES[0], "8/255", "0"),
        ("standard", STAGES[1], "8/255", "1"),
        ("PGD-7 by stbp", "PGD", "8/255", "1"),
    ]


def test_attacks_that_differ_are_listed_apart_from_those_that_do_not():
    strong, weak = trial("a", EPS, [0] * 8), trial("b", EPS, [-1] * 8)
    differ, alike = rows.difference_rows(evaluation(strong, weak, trial("c", EPS, [-1] * 8)))
    # Eight against none: two of 2^8 outcomes are as extreme, p = 2 / 256.
    counts = ("8/255", "8", "0", "p = 0.0078")
    assert differ.rows == [("a", "b", *counts), ("a", "c", *counts)]
    assert alike.rows == [("b", "c", "8/255", "0", "0", "p = 1")]


def test_the_fate_of_a_sample_is_decided_by_the_first_attack_that_broke_it():
    first = trial("a", 1 / 255, (Outcome.UNANSWERED, -2, -1, -1, 1), ("x", "y"))
    larger = trial("a", 2 / 255, (-3, -2, 0, -1, 0), ("x", "y"))
    weak = trial("b", 2 / 255, (-3, -2, 0, 0, 0))
    result = evaluation(first, larger, weak)
    clean = ["no prediction", "misclassified as 2"]
    assert rows.fates(result, 0.0) == [*clean, "right", "right", "right"]
    assert rows.fates(result, 1 / 255) == [*clean, "survives", "survives", "broken by a, y"]
    last = ["broken by a, x", "broken by b", "broken by a, y at 1/255"]
    assert rows.fates(result, 2 / 255) == [*clean, *last]
    table = rows.sample_rows(result, 2)
    assert table.titles == ["sample", "label", "predicted", "at 1/255", "at 2/255"]
    assert table.rows == [("0", "0", "none", *2 * clean[:1]), ("1", "1", "2", *2 * clean[1:])]


def test_of_a_random_network_the_wrong_draws_are_counted():
    one = trial("a", EPS, (-2, -1), draws=11, votes=np.array([7, 0]))
    # One more draw, which the column of predictions shows, is right by chance.
    result = evaluation(one, clean=(0, 1))
    assert rows.fates(result, 0.0) == ["misclassified in 7 of 11 draws", "right"]


def test_what_attacks_could_not_do_is_remarked():
    repeats = dict.fromkeys("de", "the same stage already runs, b. Why.")
    changes = {"native": {"b": "Why.", "c": "Why."}, "skipped": repeats | {"f": "other"}}
    assert rows.remarks(evaluation(trial("a", EPS, (-3, -1), draws=11, **changes))) == [
        "a ran 2 stages with the network's own gradient. The first is b: Why.",
        "a skipped 2 stages that would repeat another. The first is d: the same stage already "
        "runs, b. Why.",
        "a skipped f: other.",
        "Samples without a prediction, which count as not correct: 1.",
        "The network is random: most of 11 predictions decide what is broken.",
    ]
    assert rows.remarks(small()) == []


def test_bounds_have_a_column_of_verdicts_and_a_row_below_the_union():
    result = small(bounds=EXACT)
    table = rows.verdict_rows(result)
    assert table.titles == ["eps", "clean accuracy", "certified accuracy", *ROBUST]
    assert table.rows[0][2] == table.rows[0][3] == "25.0 % [4.6, 69.9]"
    union, certified = rows.attack_rows(result).rows[-2:]
    assert (union[0], certified[0]) == ("union of all", "certified")
    assert certified[4] == "at least 25.0 % [4.6, 69.9]"
    assert rows.fates(result, EPS)[3] == "certified"
    spared, exact = rows.remarks(result)
    assert spared.endswith(
        "Those were not attacked, and stand in the table of attacks without queries."
    )
    assert exact == "The robust accuracy at eps 8/255 is exact: certified and attacked agree."
    (checked,) = rows.remarks(small(bounds=(proven(-1, -1, -1, -1, checked=True),)))
    assert checked.endswith("Those were attacked all the same, and none was broken.")


def test_certificates_are_shown_against_the_radius():
    result = small(certificate=CERTIFICATE)
    shares = [(row[0], row[1].split(" ")[0]) for row in rows.certified_rows(result).rows]
    assert shares == [("0", "50.0"), ("0.02", "25.0"), ("0.04", "25.0"), ("0.06", "25.0")]
    words = rows.certified_words(result)
    assert "No class for 25.0 %" in words
    assert "radius is 0.025 on average" in words
    assert words in rows.sections(result)
    assert (rows.certified_words(small()), rows.certified_rows(small()).rows) == ("", [])
    nothing = replace(CERTIFICATE, predicted=np.full(4, -1), radius=np.zeros(4))
    assert len(rows.certified_rows(small(certificate=nothing)).rows) == 1
