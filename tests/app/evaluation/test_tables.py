"""Evaluations as tables and sentences: one, and several side by side."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.evaluation import tables
from art_snn.app.evaluation.page import render_page
from art_snn.app.evaluation.record import Evaluation, ReportItem
from art_snn.app.tables import Notes, render
from art_snn.attacks import Outcome
from art_snn.certified_regions import EventChanges, L1Ball
from tests import evaluations as hand

EPS = 8 / 255


def lines_of(result):
    """The notes of an evaluation, its findings first."""
    return next(part for part in tables.evaluation_parts(result) if isinstance(part, Notes))


def test_the_table_of_attacks_has_a_row_per_attack_and_the_union():
    table = tables.evaluation_tables(hand.small())["attacks"]
    names, _, robust, success, _, queries, p = zip(*table.rows, strict=True)
    assert names == ("standard", "PGD-7 by stbp", "union of all")
    assert table.titles[-1] == "against standard"
    # Each breaks one of the three that were right, of which neither breaks the other's.
    assert success == ("33.3 % [6.1, 79.2]", "33.3 % [6.1, 79.2]", "66.7 % [20.8, 93.9]")
    assert [share.startswith("at most 50.0 %") for share in robust] == [True, True, False]
    # Queries of the samples that were right: 2 * row + 2 passes of rows 1 to 3.
    assert queries == ("6", "6", "")
    assert p == ("", "no difference, p = 1", "")


def test_a_finding_is_one_line_with_its_remedy_at_all_budgets_that_it_concerns():
    (line,) = lines_of(hand.small(findings=(hand.RISES,)))
    start = "Warning: Success still rises with steps (standard, at every budget). Measured: broken"
    assert line.startswith(start)
    assert line.endswith(hand.RISES.remedy)
    weak = replace(hand.WEAK, sentence="More steps break more.", severity="error")
    several = [replace(hand.VANISHED, sentence=f"At {eps}.", eps=eps) for eps in (1 / 255, 8 / 255)]
    vanished, success = lines_of(hand.small(findings=(weak, *several)))
    start = "Warning: Vanished gradients (stbp gradients, at eps 1/255 and 8/255). At eps 1/255: "
    assert vanished.startswith(start)
    assert success.startswith("Does not change the verdict: Success still rises with steps (PGD-7")
    # Without a plan that decides it is about the verdict.
    (first, *_) = lines_of(hand.small(plan="", findings=(weak,)))
    assert first.startswith("Error: Success still rises")


def test_a_terminal_of_80_columns_has_room_for_all_lines_but_the_command():
    names = {"name": "a" * 80, "findings": (hand.VANISHED, hand.RISES, hand.WEAK)}
    text = EvaluationResult(hand.large(40, **names)).render()
    assert max(map(len, text.partition("Reproduce:")[0].splitlines())) <= 80
    assert text.endswith(f"Reproduce:\n\n{hand.large(2).provenance.command}\n")
    # What does not fit is in Markdown.
    assert "attack success" not in text
    assert "attack success" in EvaluationResult(hand.large(40)).render("markdown")


def test_stages_are_counted_by_trial_and_budget():
    assert tables.evaluation_tables(hand.small())["stages"].rows == [
        ("standard", hand.STAGES[0].description, "8/255", "0"),
        ("standard", hand.STAGES[1].description, "8/255", "1"),
        ("PGD-7 by stbp", "PGD()", "8/255", "1"),
    ]


def sample_results(result):
    """The results of each sample, from the smallest budget to the largest."""
    return [row[3:] for row in tables.evaluation_tables(result)["samples"].rows]


def test_the_attack_that_broke_a_sample_is_that_at_the_same_budget_or_a_smaller_one():
    first = hand.trial("a", 1 / 255, (Outcome.UNANSWERED, -2, -1, -1, 1), ("x", "y"))
    larger = hand.trial("a", 2 / 255, (-3, -2, 0, -1, -1), ("x", "y"))
    result = hand.evaluation(first, larger, hand.trial("b", 2 / 255, (-3, -2, 0, 0, -1)))
    assert sample_results(result) == [
        ("no prediction", "no prediction"),
        ("misclassified as 2", "misclassified as 2"),
        ("survives", "broken by a, x"),
        ("survives", "broken by b"),
        ("broken by a, y", "broken by a, y at 1/255"),
    ]
    table = tables.evaluation_tables(result)["samples"]
    assert table.titles == ["sample", "label", "predicted", "at 1/255", "at 2/255"]
    assert [row[:3] for row in table.rows[:2]] == [("0", "0", "none"), ("1", "1", "2")]


def test_of_a_random_network_the_wrong_draws_are_counted():
    one = hand.trial("a", EPS, (-2, -1), draws=11, votes=np.array([7, 0]))
    # One more draw, which the column of predictions shows, is right by chance.
    wrong, right = sample_results(hand.evaluation(one, clean=(0, 1)))
    assert (wrong, right) == (("misclassified in 7 of 11 draws",), ("survives",))


def test_what_attacks_could_not_do_is_remarked():
    why = "the same stage already runs, b. Why."
    native = [hand.record("native", "native", "Why.", name) for name in "bc"]
    skipped = [
        *(hand.record(name, "repeated", why) for name in "de"),
        hand.record("f", "skipped", "other"),
    ]
    one = hand.trial("a", EPS, (-3, -1), native, draws=11, skipped=tuple(skipped))
    assert tables.remarks(hand.evaluation(one)) == [
        "a ran 2 stages with the network's own gradient. The first is b, whose rule does not suit "
        "all neurons.",
        "a skipped f: other.",
        "The network is random: most of 11 predictions decide what is broken.",
    ]
    assert tables.remarks(hand.small()) == []


def test_bounds_have_a_column_of_verdicts_and_a_row_below_the_union():
    result = hand.small(bounds=hand.EXACT)
    table = tables.evaluation_tables(result)["verdicts"]
    shares = [f"{kind} accuracy" for kind in ("robust", "certified", "clean")]
    assert table.titles == ["eps", *shares, "findings"]
    assert table.rows[0][1:3] == ("exactly 25.0 % [4.6, 69.9]", "25.0 % [4.6, 69.9]")
    union, certified = tables.evaluation_tables(result)["attacks"].rows[-2:]
    assert (union[0], certified[0]) == ("union of all", "certified")
    assert certified[2] == "at least 25.0 % [4.6, 69.9]"
    assert sample_results(result)[3] == ("certified",)
    (spared,) = tables.remarks(result)
    assert spared.endswith("were not attacked: in the table they have no queries.")


def test_certificates_are_shown_against_the_radius():
    result = hand.small(certificate=hand.CERTIFICATE)
    rows = tables.evaluation_tables(result)["certificate"].rows
    shares = [(row[0], row[1].split(" ")[0]) for row in rows]
    assert shares == [("0", "50.0"), ("0.02", "25.0"), ("0.04", "25.0"), ("0.06", "25.0")]
    (words,) = tables.remarks(result)
    assert "No class for 25.0 %" in words
    assert "on average the l1 radius is 0.025." in words
    assert words in lines_of(result)
    assert "certificate" not in tables.evaluation_tables(hand.small())
    nothing = replace(hand.CERTIFICATE, predicted=np.full(4, -1), region=L1Ball(np.zeros(4)))
    assert len(tables.evaluation_tables(hand.small(certificate=nothing))["certificate"].rows) == 1


def test_certificates_of_events_are_shown_against_their_number():
    region = EventChanges(0.1, np.array([0.99, 0.9, 0.0, 0.8]))
    result = hand.small(certificate=replace(hand.CERTIFICATE, region=region))
    table = tables.evaluation_tables(result)["certificate"]
    assert table.titles == ("events", "flipped or added", "removed", "moved")
    shares = {row[0]: [cell.split(" ")[0] for cell in row[1:]] for row in table.rows}
    assert shares["4"] == ["50.0", "50.0", "25.0"]
    assert [*shares] == ["0", "1", "2", "4", "8", "16", "32"]
    (words,) = tables.remarks(result)
    assert "on average the number of flips is 2.5." in words


def test_operations_stand_next_to_those_of_a_dense_network():
    layers = {"input": (4, 100, 0, 100), "layers.1": (50, 1000, 25, 500), "layers.3": (5, 0, 5, 0)}
    one = replace(hand.small(), operations=layers)
    rows = [row[2:] for row in tables.evaluation_tables(one)["operations"].rows]
    assert rows[:2] == [("0.000", "100", "100", "1.000"), ("0.500", "500", "1,000", "0.500")]
    # 4.6 pJ for each of the first, 0.9 for each of the others; 4.6 for all of the dense network.
    assert rows[3:] == [("", "600", "1,100", "0.545"), ("", "1", "5", "0.180")]
    assert render_page([ReportItem("", one)]).count("Horowitz 2014") == 1
    assert "Synaptic operations" not in render_page([ReportItem("", hand.small())])
    with pytest.raises(ValueError, match="four numbers of a layer"):
        replace(one, operations={"input": (1, 2, 3)})


def test_settings_and_digests_say_when_where_and_how_it_was_measured():
    settings = dict(
        tables.evaluation_tables(hand.small(date="2026-11-01T00:30:00+02:00"))["settings"].rows
    )
    expected = {"date": "31 October 2026, 22:30 UTC", "time taken": "1 min 23 s", "seed": "0"}
    expected |= {"device": "AMD EPYC", "time steps (T)": "8", "encoder": "direct"}
    expected["rule stbp"] = "STBP(surrogate=Triangle(width=1.0))"
    assert expected.items() <= settings.items()
    digests = dict(tables.evaluation_tables(hand.small())["digests"].rows)
    expected = {"torch": "2.9.0", "fingerprint": "0123456789abcdef", "commit": "2795f59"}
    assert expected.items() <= digests.items()
    bare = hand.small(provenance=hand.provenance(commit="", steps=None))
    assert "commit" not in dict(tables.evaluation_tables(bare)["digests"].rows)
    assert "time steps (T)" not in dict(tables.evaluation_tables(bare)["settings"].rows)


def of(stage: Any, samples: str, labels: Any = None, **changes: Any) -> Evaluation:
    labels = tuple([0] * len(samples) if labels is None else labels)
    changes = {"samples": tuple(samples), "labels": labels} | changes
    return hand.evaluation(hand.trial("a", EPS, stage), **changes)


def items(*evaluations: Evaluation) -> list[ReportItem]:
    return [ReportItem(f"{place}.json", one) for place, one in enumerate(evaluations)]


@pytest.mark.parametrize(
    ("one", "other", "labels", "shared"),
    [
        ("abc", "cxba", None, 3),
        # Those that occur several times are paired one by one.
        ("aaba", "aca", None, 2),
        # The same sample with another label is another one.
        ("aa", "aa", ((0, 1), (1, 1)), 1),
    ],
)
def test_samples_are_paired_by_digest_and_label_whatever_their_order(one, other, labels, shared):
    first, second = labels or (None, None)
    pair = of((-1,) * len(one), one, first), of((-1,) * len(other), other, second)
    *_, words, counts = tables.compare_parts(items(*pair))
    assert f"share {shared} sample" in words
    assert counts.rows[0][1] == str(shared)


def test_what_differs_is_counted_and_tested():
    # Of six common samples one is wrong at first in the second; the first breaks a, the second
    # c to f, of which none stands in the first alone but these.
    one = of((0, -1, -1, -1, -1, -1), "abcdef", name="plain")
    other = of((-1, -2, 0, 0, 0, 0, -1), "abcdefg", name="hardened")
    *_, words, counts = tables.compare_parts(items(one, other))
    assert words == "plain and hardened share 6 samples."
    assert counts.titles[2:4] == ["in plain alone", "in hardened alone"]
    # In both survives none, in the first alone b to f, in the second alone a: p = 14 / 64.
    at = "at eps 8/255"
    assert counts.rows[0] == ("without an attack", "5", "1", "0", "no difference, p = 1")
    assert counts.rows[1] == (at, "0", "5", "1", "no difference, p = 0.22")


def test_results_without_a_common_sample_or_budget_say_so():
    both = items(of((-1,), "a"), of((-1,), "b"))
    assert "no sample in common" in tables.compare_parts(both)[-1]
    for changes in ({"norm": "2"}, {"trials": (hand.trial("a", 0.5, (-1,)),)}):
        pair = items(of((-1,), "a"), of((-1,), "a", **changes))
        *_, words, counts = tables.compare_parts(pair)
        assert [row[0] for row in counts.rows] == ["without an attack"]
        assert words == "plain (1) and plain (2) share 1 sample and no budget."


def test_all_pairs_are_compared_by_their_names_and_by_numbers_where_these_are_the_same():
    names = [of((-1,), "a", name=name) for name in ("plain", "hardened", "plain")]
    labels = [label for label, _ in tables.label_items(items(*names))]
    assert labels == ["plain (1)", "hardened", "plain (3)"]
    sentences = tables.compare_parts(items(*names))[3::2]
    starts = [words.partition(" share")[0] for words in sentences]
    assert starts == ["plain (1) and hardened", "plain (1) and plain (3)", "hardened and plain (3)"]


def test_verdicts_are_listed_with_their_findings():
    unexamined = hand.small(provenance=hand.provenance(examined=0))
    three = items(hand.small(), hand.small(findings=(hand.VANISHED,)), unexamined)
    parts = tables.compare_parts(three)
    share = "25.0 % [4.6, 69.9]"
    ends = [(share, "0"), (f"at most {share}", "1"), (f"at most {share}", "not examined")]
    assert [(row[2], row[-1]) for row in parts[2].rows] == ends
    text = render(parts, "markdown")
    assert "3 evaluations side by side" in text
    assert "- plain (2): vgg5 on digits (1.json)" in text
