"""What a comparison tells: tables, Markdown, JSON, and results of earlier versions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from art_snn.app.compare import Comparison, Row
from art_snn.app.compare.figure import draw
from art_snn.app.resume import converter, read_result
from art_snn.metrics import Share
from tests.outcomes import outcome

TITLES = (
    "rule",
    "success among the correct",
    "against STBP",
    "x inference",
    "ms",
    "zero gradient",
    "cosine to STBP",
)
BLANK = ("",) * 5


def by_hand(**rows: Row) -> Comparison:
    times = {"stbp": 2.0, "rga": 0.75}
    seconds = {name: times.get(name, 1.0) for name, row in rows.items() if row.outcome is not None}
    title, attack = "a network on digits", "PGD, eps 0.1"
    return Comparison(title, "key", attack, {}, "a machine", 0.5, seconds, dict(rows))


EXAMPLE = by_hand(
    stbp=Row("STBP()", "temporal", None, outcome(1), Share(0, 10), 1.0),
    rga=Row("RGA()", "rate", None, outcome(7), Share(4, 10), 0.25),
    pdsg=Row("PDSG()", "temporal", None, outcome(0), Share(10, 10)),
    assg=Row("ASSG()", "temporal", None, outcome(1), Share(0, 10), -0.5),
    cba=Row("CBA()", objection="only IF"),
)
# Eight are correct; the p-values are 2 / 2^6 for six flips more and 1 for one fewer.
CELLS = [
    ("stbp", str(Share(1, 8)), "", "4.00", "2000", str(Share(0, 10)), "1.000"),
    ("rga", str(Share(7, 8)), "stronger, p = 0.031", "1.50", "750", str(Share(4, 10)), "0.250"),
    ("pdsg", str(Share(0, 8)), "weaker, p = 1", "2.00", "1000", str(Share(10, 10)), "nan"),
    ("assg", str(Share(1, 8)), "as strong, p = 1", "2.00", "1000", str(Share(0, 10)), "-0.500"),
    ("cba", "does not apply", *BLANK),
    ("union of all", str(Share(7, 8)), *BLANK),
]
CORRECT = "8 of 10 samples classified correctly before the attack"
NOTE = "cba does not apply: only IF."


def back(content: dict[str, Any]) -> Comparison:
    return converter.structure(content, Comparison)


def test_the_table_says_how_strong_how_dear_and_how_blind_every_rule_is():
    heading, table, note = EXAMPLE.render().rstrip().split("\n\n")
    assert heading.splitlines() == ["a network on digits", "PGD, eps 0.1", CORRECT, "a machine"]
    head, *lines = table.splitlines()
    assert head.split() == " ".join(TITLES).split()
    assert [line.split() for line in lines] == [" ".join(cells).split() for cells in CELLS]
    assert [len(line) for line in lines[:4]] == [len(head)] * 4
    assert note == NOTE


def test_a_table_without_stbp_has_no_p_and_one_of_a_single_rule_no_union_and_no_notes():
    text = by_hand(rga=Row("RGA()", "rate", None, outcome(7), Share(4, 10), 0.25)).render()
    *_, line = text.splitlines()
    assert line.split() == f"rga {Share(7, 8)} 1.50 750 {Share(4, 10)} 0.250".split()


def test_a_table_in_which_no_rule_applies_says_so():
    text = by_hand(cba=Row("CBA()", objection="only IF")).render()
    assert "\nno rule applies\n" in text
    assert text.rstrip().endswith(NOTE)


def test_a_comparison_survives_json():
    content = json.loads(json.dumps(EXAMPLE.as_dict()))
    found = back(content)
    assert found.as_dict() == content
    assert found.render() == EXAMPLE.render()
    assert (found.title, found.attack, found.key) == ("a network on digits", "PGD, eps 0.1", "key")


@pytest.mark.parametrize(
    "row",
    [
        Row("RGA()", "rate", None, outcome(3), Share(4, 10), 0.25),
        Row("RGA()", "rate", None, outcome(3), Share(10, 10)),
        Row("RGA()", "rate", None, outcome(3)),
        Row("Mine()", "", None, outcome(3)),
        Row("CBA()", objection="only IF"),
    ],
    ids=["whole", "no cosine", "outcome alone", "no kind", "objection"],
)
def test_a_row_survives_json(row):
    content = json.loads(json.dumps(by_hand(rule=row).as_dict()["rows"]["rule"]))
    found = converter.structure(content, Row)
    assert (found.rule, found.kind, found.objection) == (row.rule, row.kind, row.objection)
    assert found.vanished == row.vanished
    assert found.cosine == row.cosine
    assert (found.outcome is None) == (row.outcome is None)
    if row.outcome is not None:
        assert np.array_equal(found.outcome.correct, row.outcome.correct)
        assert np.array_equal(found.outcome.robust, row.outcome.robust)
        assert content["outcome"]["attack_success"]["count"] == 3


def test_figures_that_there_are_not_are_null_in_json():
    content = json.loads(json.dumps(EXAMPLE.as_dict(), allow_nan=False))
    assert content["rows"]["pdsg"]["cosine"] is None


def test_the_union_flips_whatever_one_of_the_rules_flips():
    shown = by_hand(
        a=Row("", outcome=outcome({2, 3})),
        b=Row("", outcome=outcome({3, 7})),
        cba=Row("CBA()", objection="only IF"),
    )
    assert np.flatnonzero(shown.union().flipped).tolist() == [2, 3, 7]


def test_what_is_written_is_told_and_drawn(tmp_path):
    EXAMPLE.write(tmp_path, draw(EXAMPLE))
    assert EXAMPLE.files == ["compare.json", "compare.md", "compare.png"]
    assert sorted(file.name for file in tmp_path.iterdir()) == EXAMPLE.files
    assert (tmp_path / "compare.md").read_text() == EXAMPLE.render("markdown")
    assert back(read_result(tmp_path / "compare.json")).render() == EXAMPLE.render()
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
