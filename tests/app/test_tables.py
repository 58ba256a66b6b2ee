"""Paragraphs and tables in the forms in which they are told."""

import html
import re

import pytest
from hypothesis import given, strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from art_snn.app.tables import Command, Notes, Table, render, write_title

TITLES = ("rule", "ms", "remark")
ROWS = [("stbp", "12", "usual"), ("a|b", "7", "x | y"), ("<rga> & co", "1e3", "")]
FORMS = ["text", "markdown"]


def table(titles, rows, form="text"):
    return render([Table(titles, rows)], form).rstrip("\n")


def test_text_has_a_line_per_row_with_words_to_the_left_and_figures_to_the_right():
    assert table(TITLES, ROWS[:2]).splitlines() == [
        "rule      ms  remark",
        "stbp      12  usual",
        "a|b        7  x | y",
    ]
    known = Table(("rule", "other", "ms"), [("a", "b", "1")], words=2)
    assert known.sides == ["left", "left", "right"]
    rule = table(TITLES, ROWS, "markdown").splitlines()[1]
    sides = [(cell[0], cell[-1]) for cell in rule.strip("|").split("|")]
    assert sides == [(":", "-"), ("-", ":"), (":", "-")]


@pytest.mark.parametrize("form", FORMS)
def test_figures_are_told_as_they_came_and_no_line_ends_in_spaces(form):
    rows = [("1.50", "0.250"), ("1e3", "007"), ("nan", "-1")]
    text = render([("a", "b"), Table(("a", "b"), rows), Notes(["note"]), "words"], form)
    found = re.findall(r"1\.50|0\.250|1e3|007|nan|(?<![-:])-1", text)
    assert found == ["1.50", "0.250", "1e3", "007", "nan", "-1"]
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert text.endswith("\n")
    assert all(title in table(TITLES, [], form) for title in TITLES)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("text", "a title\nsettings\n\na paragraph\n\nfirst note.\nsecond < note.\n"),
        ("markdown", "a title. settings.\n\na paragraph\n\n- first note.\n- second < note.\n"),
    ],
)
def test_headings_paragraphs_and_notes_stand_below_one_another(form, expected):
    parts = [("a title", "settings"), "a paragraph", Notes(["first note.", "second < note."])]
    assert render(parts, form) == expected


def cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table as a reader of Markdown sees them."""
    reader = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    rows = re.findall(r"<tr>(.*?)</tr>", html.unescape(reader.render(text)), re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


@given(st.lists(st.tuples(*[st.text("ab|<&1.\\`*_[]()!;#$ ", min_size=1)] * 2), min_size=1))
def test_a_reader_of_markdown_sees_every_cell_as_it_came(rows):
    rows = [[f"x{cell}x" for cell in row] for row in rows]
    # HTML has no place for several spaces; that of Markdown keeps them.
    assert cells(table(("a", "b"), rows, "markdown"))[1:] == rows


def test_markup_is_escaped_and_what_would_end_a_line_is_a_space():
    odd = "a\\b|c <b>*x*</b> [y](z) &amp; `k`\nnext\r\x07\u2028end"
    expected = r"a\\b\|c \<b>\*x\*\</b> \[y](z) \&amp; \`k\` next end"
    assert render([odd], "markdown") == f"{expected}\n"
    for plain in ("36.0 % [31.3, 41.0]", "1 < 2 & 3", "max_iter", "p < 0.001", "-1.5", "a: b"):
        assert render([plain], "markdown") == f"{plain}\n"
    assert render([Command("art-snn `a` <b>")], "markdown") == "```bash\nart-snn `a` <b>\n```\n"


def test_a_terminal_has_lines_of_80_characters_and_whole_commands():
    command = Command("art-snn " + 20 * "--option value ")
    words, wide = 30 * "word-s ", Table(("a", "b", "c"), [("1", 80 * "b", "3")], wide=(1,))
    text = render([words, Notes([words]), wide, command])
    first, notes, shown, last = text.split("\n\n")
    assert [len(line) <= 80 for line in first.splitlines()] == [True] * 3
    assert [line[:2] for line in notes.splitlines()] == ["wo", "  ", "  "]
    assert " ".join(first.split()) == " ".join(notes.split()) == words.strip()
    assert shown.splitlines() == ["a      c", "1      3"]
    assert last == f"{command}\n"


HOSTILE = (
    *(r"\<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "<!-- a", "<?php"),
    *("&lt;b&gt;", "[a](http://e.org)", "[1, 2](http://e.org)", "![1, 2](http://e.org)"),
    *("[1, 2]: http://e.org", "[1, 2][1, 2]", "[1, 2]{a}`b`", "<http://e.org>", "http://e.org"),
    *("www.e.org", "WWW.E.org", "# a", "a\n# b", "a\n===", "---", "***", "+++", "+ a", "- a"),
    *("> a", "1. a", "12) a", "    a", "```", "```{note}", ":::{note}", "~~~", "% a", ": a"),
    *("(a)=", "{math}`a`", "$a$", "$$a$$", "~~a~~", "__a__", ".__a__.", "*a*", "`a`", "\\"),
    *("a\\", "|", "a | b", "{{ a }}", "[^1]", "a\tb", "\x1b[31ma", "\x9b31ma", "\x00"),
    *("\u202ea", "a\u200bb", "\ud800", "a\r\x0bb\x85c\u2028d"),
)
"""What a name, a title or a remark of a file may be."""
PLAIN = {"paragraph", "bullet_list", "list_item", "text"}
PLAIN |= {"table", "thead", "tbody", "tr", "th", "td"}


def engines():
    """Markdown as the documentation reads it, and with links made of bare addresses."""
    mdit = pytest.importorskip("myst_parser.parsers.mdit")
    config = pytest.importorskip("myst_parser.config.main").MdParserConfig
    renderer = pytest.importorskip("markdown_it.renderer").RendererHTML
    docs = {"dollarmath", "colon_fence", "deflist"}
    every = docs | {"attrs_inline", "attrs_block", "strikethrough", "substitution", "tasklist"}
    return [mdit.create_md_parser(config(enable_extensions=e), renderer) for e in (docs, every)]


def kinds(tokens):
    for token in tokens:
        yield re.sub("_(open|close)$", "", token.type)
        yield from kinds(token.children or ())


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_becomes_markup_a_control_character_or_another_line(text):
    parts = [text, Notes([text, text]), Table((text, "a"), [(text, text)]), (text, text)]
    for engine in engines():
        markdown = render([*parts, Command(text), "end"], "markdown")
        found = list(kinds(engine.parse(markdown)))
        assert {*found} - PLAIN == {"inline", "fence"}
        assert (found.count("fence"), found.count("tr")) == (1, 4)
        assert found.count("list_item") == 4
        rows = cells(render(parts[2:3], "markdown"))
        shown = " ".join(re.sub(r"[^ -~]", " ", text).split())
        read = [[" ".join(cell.split()) for cell in row] for row in rows]
        assert read == [[shown, "a"], [shown, shown]]
    for form in FORMS:
        assert render([*parts, Command(text)], form).replace("\n", "").isprintable()


@pytest.mark.parametrize("width", [5, 7, 9])
@pytest.mark.parametrize("word", ["RGA(beta=2.0, gamma=0.2), ", "somewhere/", "costs $5_{ "])
@pytest.mark.parametrize("fontsize", ["medium", "small"])
def test_no_title_leaves_the_picture_or_is_a_formula(width, word, fontsize):
    figure = Figure(figsize=(width, 3))
    write_title(figure, "short", 40 * word, fontsize=fontsize)
    figure.canvas.draw()
    (title,) = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text())
    assert not title.get_parse_math()
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert title.get_text().splitlines()[0] == "short"
    assert "".join(title.get_text().split()) == "short" + 40 * word.replace(" ", "")
