"""Paragraphs and tables in the forms in which they are told."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, strategies as st

from art_snn.app.tables import Command, Notes, Table, render, render_narrow

TITLES = ("rule", "ms", "remark")
ROWS = [("stbp", "12", "usual"), ("a|b", "7", "x | y"), ("<rga> & co", "1e3", "")]


def table(titles, rows, form="text"):
    return render([Table(titles, rows)], form).rstrip("\n")


def cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table, its rule left out."""
    head, _, *rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines())
    return [[re.sub(r"\\([|<])", r"\1", cell.strip()) for cell in row] for row in (head, *rows)]


def test_text_has_a_line_per_row_with_words_to_the_left_and_figures_to_the_right():
    assert table(TITLES, ROWS[:2]).splitlines() == [
        "rule      ms  remark",
        "stbp      12  usual",
        "a|b        7  x | y",
    ]


def test_the_sides_of_columns_are_told_in_markdown():
    rule = table(TITLES, ROWS, "markdown").splitlines()[1]
    sides = [(cell[0], cell[-1]) for cell in rule.strip("|").split("|")]
    assert sides == [(":", "-"), ("-", ":"), (":", "-")]


def test_html_escapes_what_would_be_markup():
    text = table(TITLES, ROWS, "html")
    assert "&lt;rga&gt; &amp; co" in text
    assert "<rga>" not in text
    assert "a|b" in text
    found = [html.unescape(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", text)]
    assert found == [cell for row in (TITLES, *ROWS) for cell in row]


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_figures_are_told_as_they_came(form):
    text = table(("a", "b"), [("1.50", "0.250"), ("1e3", "007"), ("nan", "-1")], form)
    found = re.findall(r"1\.50|0\.250|1e3|007|nan|(?<![-:])-1", text)
    assert found == ["1.50", "0.250", "1e3", "007", "nan", "-1"]


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_no_line_ends_in_spaces(form):
    text = render([("a", "b"), Table(TITLES, ROWS), Notes(["note"]), "words"], form)
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_a_table_without_rows_has_its_titles(form):
    text = table(TITLES, [], form)
    assert all(title in text for title in TITLES)


def test_words_are_set_to_the_left_in_as_many_columns_as_are_said_to_be_words():
    known = Table(("rule", "other", "ms"), [("a", "b", "1")], words=2)
    assert known.sides == ["left", "left", "right"]
    assert Table(TITLES, ROWS).sides == ["left", "right", "left"]


@given(st.lists(st.tuples(*[st.text("ab|<&1.", min_size=1, max_size=4)] * 3), min_size=1))
def test_markdown_keeps_every_cell(rows):
    assert cells(table(TITLES, rows, "markdown"))[1:] == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", "a title\nsettings\n\na paragraph\n\nfirst note.\nsecond < note.\n"),
        ("markdown", "a title. settings.\n\na paragraph\n\n- first note.\n- second < note.\n"),
        (
            "html",
            "<p>a title</p>\n<p>settings</p>\n\n<p>a paragraph</p>\n\n"
            "<p>first note.</p>\n<p>second &lt; note.</p>\n",
        ),
    ],
)
def test_headings_paragraphs_and_notes_stand_below_one_another(form, expected):
    parts = [("a title", "settings"), "a paragraph", Notes(["first note.", "second < note."])]
    assert render(parts, form) == expected


def test_markdown_takes_nothing_of_a_text_for_a_command():
    parts = ["<b>*a*</b> 1 < 2", Table(("a",), [("`b`",)]), Command("art-snn `a` <b>")]
    assert render(parts, "markdown") == (
        "\\<b>\\*a\\*\\</b> 1 < 2\n\n| a     |\n|:------|\n| \\`b\\` |\n\n"
        "```bash\nart-snn `a` <b>\n```\n"
    )


def test_a_terminal_has_lines_of_80_characters_and_whole_commands():
    command = Command("art-snn " + 20 * "--option value ")
    words, wide = 30 * "word-s ", Table(("a", "b", "c"), [("1", 80 * "b", "3")], wide=(1,))
    text = render_narrow([words, Notes([words]), wide, command])
    first, notes, table, last = text.split("\n\n")
    assert [len(line) <= 80 for line in first.splitlines()] == [True] * 3
    assert [line[:2] for line in notes.splitlines()] == ["wo", "  ", "  "]
    assert " ".join(first.split()) == " ".join(notes.split()) == words.strip()
    assert table.splitlines() == ["a      c", "1      3"]
    assert last == f"{command}\n"
