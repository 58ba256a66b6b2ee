"""The table of records: what evaluations say together, upper bounds, and who found what."""

import html
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from art_snn.app.evaluation.record import Evaluation, ReportItem
from art_snn.app.report import board as module
from art_snn.app.report.board import Board, make_board
from art_snn.app.tables import render
from art_snn.files import write_json
from tests.command import call, complain, succeed
from tests.evaluations import RISES, STAGES, VANISHED, evaluation, proven, provenance, save, trial
from tests.pages import tree

NONE = "\u2013"
EPS = 8 / 255
ANN = "adversarials Ann"


@pytest.fixture(autouse=True, scope="module")
def _few_are_ranked() -> Iterator[None]:
    """Networks of a few samples are ranked, as those of a hundred are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_RANKED", 1)
        yield


def network(stage: Any, name: str = "plain", weights: str = "", **changes: Any) -> Evaluation:
    """One network of the weights of its name, under a plan with that outcome and under PGD-7, which
    breaks nothing.

    :param changes: of the evaluation; those of its provenance by their names there."""
    noted = {"dataset", "parameters", "training", "examined", "steps", "data", "versions"}
    noted &= changes.keys()
    source = {key: changes.pop(key) for key in noted}
    plan, eps = changes.pop("plan", "standard"), changes.pop("eps", EPS)
    stages = changes.pop("stages", STAGES[:2])
    weak = trial("PGD-7 by stbp", eps, [-2 if number == -2 else -1 for number in stage])
    made = provenance(weights=weights or f"{name}0000000", **source)
    usual: dict[str, Any] = {"name": name, "plan": plan, "provenance": made, "key": name}
    return evaluation(trial(plan, eps, stage, stages), weak, **(usual | changes))


def certified(made: Evaluation, *margins: float) -> Evaluation:
    """The same with bounds at its budget."""
    return replace(made, bounds=(proven(*margins, eps=made.budgets[0]),))


def board(*made: Evaluation) -> Board:
    """The table of evaluations in the files a, b, c and so on."""
    return make_board(ReportItem(chr(97 + n), one) for n, one in enumerate(made))[0]


def markdown_cells(text):
    lines = [line for line in text.splitlines() if line.startswith("|") and ":-" not in line]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in row] for row in cells]


def markdown_notes(text):
    return [re.sub(r"\\(.)", r"\1", line) for line in re.findall(r"^- (.*)", text, re.M)]


def column(table: Board, title: str) -> list[str]:
    """The cells of a column in Markdown, from the top, without the backslashes."""
    titles, *rows = markdown_cells(render(table[:1], "markdown"))
    return [row[titles.index(title)] for row in rows]


def notes(table: Board) -> list[str]:
    """The notes below the table."""
    return markdown_notes(render(table[1:2], "markdown"))


def test_networks_stand_in_one_table_by_data_and_budget_the_most_robust_first():
    table = board(
        network((0, 1, -1, -1), "half"),
        network((-1, -1, -1, -1), "whole"),
        network((-2, -1, -1, -1), "wrong"),
        network((0, -1, -1, -1), "other", dataset="mnist"),
        network((0, -1, -1, -1), "far", eps=0.1),
        network((0, -1, -1, -1), "euclid", norm="2"),
        network((0, -1, -1, -1), "flips", norm="0", eps=1),
        network((0, -1, -1, -1), "shift", norm="shift", eps=2),
    )
    names = ["whole", "wrong", "half", "far", "euclid", "flips", "shift", "other"]
    assert column(table, "network") == names
    assert column(table, "data") == ["digits"] * 7 + ["mnist"]
    others = ["eps 0.1", "eps 0.03137 (Euclidean)", "1 value", "2 steps", "eps 8/255"]
    assert column(table, "budget") == ["eps 8/255"] * 3 + others
    assert column(table, "robust")[1:3] == ["75.0 % [30.1, 95.4]", "50.0 % [15.0, 85.0]"]
    # The picture shows the same.
    points = [(name.split(",")[0], one.count, other.count) for name, one, other in table[2][:3]]
    assert points == [("whole", 4, 4), ("wrong", 3, 3), ("half", 4, 2)]


def test_evaluations_of_few_samples_stand_below_and_are_not_ranked(monkeypatch):
    monkeypatch.setattr(module, "_RANKED", 4)
    few = network((-1, -1, -1), "few", plan="fast")
    table = board(few, network((0, 0, -1, -1), "many"), network((-1, -1, -1), "one", eps=1))
    assert column(table, "network") == ["many", "few (n = 3)", "one (n = 3)"]
    assert [name for name, *_ in table[2]][:2] == ["many, eps 8/255", "few (n = 3), eps 8/255"]
    assert notes(table) == [
        "Attacked with the plan fast, which may leave more than standard: few (n = 3).",
        "Not ranked, since 3 samples say too little: few (n = 3) and one (n = 3).",
    ]


ERROR = replace(VANISHED, severity="error", about="network")
EXAMINED = network((0, -1, -1), findings=(replace(RISES, broken=(0, 1)),))
SEVERAL = [network((0, 0, -1), "strong", "same"), network((-1, -1, -2), "wrong", "same")]
TWINS = [network((0, -1), weights="aaaaaaaa"), network((-1, -1), weights="bbbbbbbb")]
PROVEN = [certified(network((0, 0, 0, -1), findings=(ERROR,)), -1, -1, -1, 1)]
ALIKE = [
    network((-2, -1, -1, 0), "a"),
    network((0, -1, -1, 0), "b"),
    certified(network((0, -1, -1, 0), "c"), -1, 1, -1, -1),
]
ENDS = [
    network((0, -1, -1, -1), "attacked"),
    certified(network((0, 0, -1, -1), "gap", findings=(RISES,)), -1, -1, -1, 1),
    certified(network((0, 0, 0, -1), "exact"), -1, -1, -1, 1),
    network((0, 0, 0, 0), "none"),
]
JOINED = [
    network((0, -1, -1, -1, -2), "plain"),
    network((-1, 1, 0, -1, -2), "again", "plain0000000", stages=(ANN, "AutoPGD")),
]
OTHERS = [
    network((0, -1, -1, -1, -1)),
    replace(network((0, 0, -1, -1)), samples=("x", "y", "z", "w")),
]
READ = [
    network((-1, -1, -1), "first", training="", examined=0, steps=None),
    network((0, -1, -1), "quick", plan="fast", versions={"art_snn": "0.0.9"}),
    replace(network((0, 0, -1), "far", findings=(RISES,)), samples=("x", "y", "z")),
]
FAST = "Attacked with the plan fast, which may leave more than standard: "
TOGETHER = "count together"


def renamed(made: Evaluation, name: str) -> Evaluation:
    """The same with another single attack."""
    return replace(made, trials=(made.trials[0], replace(made.trials[1], name=name)))


def at(made: Evaluation, *budgets: float) -> Evaluation:
    """The same at several budgets, all of them broken and certified alike."""
    trials = tuple(replace(one, eps=eps) for eps in budgets for one in made.trials)
    bounds = tuple(replace(one, eps=eps) for eps in budgets for one in made.bounds)
    return replace(made, trials=trials, bounds=bounds)


def broken_below() -> Evaluation:
    """One in which the single attack broke a sample at half of the budget alone."""
    made = network((-1, -1, -1))
    weak = trial("PGD-7 by stbp", EPS / 2, (-1, 0, -1))
    return replace(made, trials=(*made.trials, weak, replace(made.trials[0], eps=EPS / 2)))


NEAR = EPS * (1 + 1e-9)
FLIPS = [network((-1, -1)), renamed(network((0, -1), "flips"), "PGD-7 by native")]
NEIGHBOURS = [
    at(certified(network((-1, -1, -1), "near"), 1, -1, 1), NEAR),
    network((-1, -1, 0), "near", eps=NEAR * (1 + 1e-9)),
]
CLOSE = [network((0, -1, -1), eps=0.05), network((0, 0, -1), "far", eps=0.0500000001)]
TWICE = [at(network((0, -1), "a", plan="fast"), EPS, 2 * EPS), network((0, -1), "b")]
REMARKS = [
    f"{FAST}quick.",
    "Evaluated with art_snn 0.0.9, first with 0.1.0: plans may differ: quick.",
    "Not on the samples of first, so that intervals are compared: far.",
    "Open finding, success still rises with steps: far.",
]


@pytest.mark.parametrize(
    ("made", "title", "expected"),
    [
        # An error leaves nothing exact.
        (PROVEN, "robust", ["at most 25.0 %"]),
        # A plan that broke all alone, or nothing, needs no number.
        *(([network((stage, -1))], "attacks", ["standard"]) for stage in (0, -1)),
        ([EXAMINED], "attacks", ["examination: 1, standard: 1"]),
        ([EXAMINED], "robust", ["at most 33.3 %"]),
        (SEVERAL, "attacks", ["standard: 2, misclassified: 1"]),
        (SEVERAL, "robust", ["0.0 %"]),
        (TWINS, "network", ["plain (bbbbbb)", "plain (aaaaaa)"]),
        (ALIKE, "network", ["c", "b", "a"]),
        (ENDS, "robust", ["75.0 %", "at most 50.0 %", "25.0 % exact", "0.0 %"]),
        (ENDS, "certified", [NONE, "at least 25.0 %", "at least 25.0 %", NONE]),
        (ENDS, "PGD-7 by stbp", ["at most 100.0 %"] * 4),
        (JOINED, "network", ["again"]),  # Of the strongest attack.
        (JOINED, "robust", ["20.0 %"]),
        (JOINED, "attacks", ["adversarials Ann: 1, standard: 1, standard in a: 1"]),
        (JOINED, "notes", [f"2 evaluations of the same weights, in a and b, {TOGETHER}: again."]),
        # What a smaller budget broke counts, too.
        ([broken_below()], "attacks", ["PGD-7 by stbp: 1"] * 2),
        ([broken_below()], "robust", ["66.7 %"] * 2),
        # Of other samples the lower number counts.
        (OTHERS, "samples", ["4"]),
        (OTHERS, "robust", ["50.0 %"]),
        (OTHERS, "notes", ["a is on other samples, leaves 80.0 % and does not count: plain."]),
        # Copies count once.
        ([network((0, -1))] * 2, "notes", []),
        (TWICE, "notes", [f"{FAST}a."]),
        # Budgets that are written alike share a table.
        (CLOSE, "network", ["plain", "far"]),
        (CLOSE, "budget", ["eps 0.05"] * 2),
        (NEIGHBOURS, "certified", ["at least 33.3 %"]),
        (FLIPS, "one attack", ["100.0 % (PGD-7 by stbp)", "at most 100.0 % (PGD-7 by native)"]),
        (READ, "T", [NONE, "8", "8"]),
        (READ, "training", [NONE, "10 epochs", "10 epochs"]),
        (READ, "findings", ["not examined", "0", "1"]),
        (READ, "notes", REMARKS),
    ],
)
def test_cells_and_notes_say_what_evaluations_say_together(made, title, expected):
    shown = notes(board(*made)) if title == "notes" else column(board(*made), title)
    assert [re.sub(r" \[.*?\]", "", cell) for cell in shown] == expected


def test_a_certificate_that_another_evaluation_breaks_is_left_out_with_a_line():
    proof, others = certified(network((-1, -1)), 1, 1), (network((-1, 0)), network((0, -1), "far"))
    items = [ReportItem(n, one) for n, one in zip("abc", (proof, *others), strict=True)]
    table, left = make_board(items)
    line = "a certifies sample 1, which is wrong or broken at eps 8/255 in the maximum norm in b"
    assert left == [f"Left out: {line}"]
    rest = make_board(items[1:])[0]
    assert (table[0], table[2]) == (rest[0], rest[2])
    assert notes(table)[-1] == f"Left out: {line}"
    # At a larger budget than it certifies, nothing is contradicted.
    assert not make_board([ReportItem("a", proof), ReportItem("b", network((-1, 0), eps=1))])[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with evaluations below it, one with a name that markup would be taken for."""
    folder = tmp_path_factory.mktemp("records")
    odd = network((0, -1, -1), "<b>a|b*c", training="IBP training, 20 epochs")
    save(odd, folder / "zoo" / "odd")
    save(certified(network((0, 0, -1), "sure"), -1, -1, 1), folder / "zoo" / "deep" / "sure")
    save(network((0, 0, 0), "far", dataset="mnist", plan="fast"), folder / "more")
    return folder


@pytest.fixture(scope="module")
def files(written):
    places = [str(written / name) for name in ("zoo", "more")]
    done = call("report", *places, "--board", "--output", str(written / "page.html"))
    assert (done.status, done.stderr) == (0, "")
    return (written / "page.html").read_text("utf-8"), (written / "page.md").read_text("utf-8")


def test_the_table_in_markdown_says_what_the_page_says(files):
    page, text = files
    rows = [[cell.text for cell in row.every("th", "td")] for row in tree(page).every("tr")]
    assert [[" ".join(cell.split()) for cell in row] for row in rows] == markdown_cells(text)
    assert len(rows) == 4
    notes = [item.text for one in tree(page).every("ul") for item in one.every("li")]
    assert markdown_notes(text) == [" ".join(note.split()) for note in notes]
    assert notes


def test_the_page_loads_nothing_and_can_be_read_without_its_script(files):
    page, _ = files
    document = tree(page)
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert len(document.every("script")) == 1
    heads = [head for head in document.every("th") if head.attributes.get("scope") == "col"]
    assert [head.text for head in heads][:5] == ["network", "data", "budget", "robust", "certified"]
    # Without the script the filters are not there.
    assert [one.attributes["class"] for one in document.every("form")] == ["filters"]
    assert "hidden" in document.every("form")[0].attributes
    (picture,) = document.every("img")
    assert "A table has its numbers" in picture.attributes["alt"]
    assert html.escape("<b>a|b*c") in page


def test_the_command_names_both_files_and_writes_over_its_own_alone(written, tmp_path):
    output = tmp_path / "page.html"
    words = ("report", "--board", str(written), "--output", str(output))
    for _ in range(2):
        told = succeed(*words)
        assert told.endswith(f"Written to {output}: page.md\n")
        assert all(len(line) <= 80 for line in told.splitlines()[:-1])
    (tmp_path / "page.md").write_text("mine")
    assert "--output: expected a new file, or an earlier report, got" in complain(*words)
    assert (tmp_path / "page.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("empty",), r"--files: expected a folder with evaluation.json in it or below, got empty"),
        (("more", "--output", "page.pdf"), "--output: expected a file that ends in .html, got"),
    ],
)
def test_what_cannot_be_read_or_written_is_refused(words, message, written, here):
    shutil.copytree(written, here, dirs_exist_ok=True)
    (here / "empty").mkdir()
    assert message in complain("report", "--board", *words)


def test_one_file_that_is_no_evaluation_is_left_out_with_its_name(written, tmp_path):
    shutil.copytree(written / "zoo", tmp_path / "zoo")
    (tmp_path / "zoo" / "bad").mkdir()
    content = {"schema": 1, "trials": [], "findings": []}
    write_json(tmp_path / "zoo" / "bad" / "evaluation.json", content)
    page, line = tmp_path / "page.html", "/zoo/bad/evaluation.json, which cannot be read"
    done = call("report", str(tmp_path / "zoo"), "--board", "--output", str(page))
    assert (done.status, done.stderr) == (0, "")
    for text in (done.stdout, page.read_text("utf-8"), page.with_suffix(".md").read_text("utf-8")):
        assert f"{tmp_path}{line}" in " ".join(text.split())
        assert "Left out: " in text
        assert ("sure" in text) == (text != done.stdout)
    page.unlink()
    complaint = complain("report", str(tmp_path / "zoo/bad"), "--board", "--output", str(page))
    assert f"{tmp_path}{line}" in complaint
    assert not page.exists()
