"""art-snn report: one file from the results that are named, and complaints about those that
cannot be read."""

import re
import shutil
from pathlib import Path

import pytest

from art_snn.app.evaluation.page import render_page
from art_snn.app.evaluation.record import Evaluation, ReportItem
from art_snn.app.evaluation.tables import compare_parts, latex_table
from art_snn.app.report.run import run
from art_snn.app.settings import MARKS, Report
from art_snn.app.tables import render
from art_snn.files import write_json
from tests.command import call, complain, succeed
from tests.evaluations import EXACT, RISES, save, small, write
from tests.pages import tree

FILE = "evaluation.json"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write(small(findings=(RISES,)), folder)
    return folder


@pytest.fixture
def folder(written: Path, here: Path) -> Path:
    return shutil.copytree(written, here, dirs_exist_ok=True)


def test_a_page_is_written_and_the_verdict_printed(folder):
    output = folder / "deep" / "page.html"
    done = call("report", str(folder / FILE), "--output", str(output))
    assert (done.status, done.stderr) == (0, "")
    assert "Of 4 images, 3 are classified correctly, and 1 still is after" in done.stdout
    assert "at most 25.0 % [4.6, 69.9]" in done.stdout
    assert done.stdout.endswith(f"\nWritten to {output}\n")
    assert len(done.stdout.splitlines()) < 20
    (heading,) = tree(output.read_text("utf-8")).every("h1")
    assert heading.text == "plain"


@pytest.mark.parametrize("form", ["html", "md", "tex"])
def test_the_ending_of_the_output_decides_the_form(form, folder):
    assert Report(files=(Path(FILE),)).output == Path("results/report.html")
    succeed("report", FILE, "--output", f"a.{form}")
    assert (folder / f"a.{form}").read_text("utf-8").find(MARKS[form]) < 300


def test_several_results_are_set_side_by_side_in_every_format(folder, tmp_path):
    other = tmp_path / "other"
    save(small(), other)
    for form in ("html", "md", "tex"):
        output = tmp_path / f"out.{form}"
        told = succeed("report", str(folder / FILE), str(other / FILE), "--output", str(output))
        written = output.read_text("utf-8")
        text = " ".join(written.replace("\n%", "\n").split())
        assert form != "tex" or written.startswith("% written by art-snn report\n")
        assert "share 4 samples" in text
        assert "evaluations side by side" in text
    assert "2 evaluations side by side" in told


def latex(*evaluations: Evaluation) -> tuple[list[list[str]], str]:
    """The cells of the table in LaTeX, its columns without the spaces, and its caption."""
    table = latex_table([ReportItem("", one) for one in evaluations])
    assert table.startswith(r"\begin{table}")
    body = table.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    rows = [line[:-2].split("&") for line in body.splitlines() if line.endswith(r"\\")]
    caption = table.partition(r"\caption{")[2].partition("}\n")[0]
    assert table.count(r"\label{tab:robustness}") == 1
    assert table.endswith("\\end{tabular}\n\\end{table}")
    return [[cell.strip() for cell in row] for row in rows], caption


def test_latex_has_a_column_for_each_budget_and_both_ends_where_they_are_known():
    words = "Accuracy in percent on 4 test samples of digits: without an attack (clean), and under "
    words += "attacks within each budget in the maximum norm."
    bound = r" The sign $\le$ marks upper bounds."
    row = ["plain", "75.0", r"$\le$ 25.0"]
    titles = ["network", "clean", "8/255"]
    assert latex(small(findings=(RISES,))) == ([titles, row], words + bound)
    cells, caption = latex(small(bounds=EXACT, findings=(RISES,)), small(name="b"))
    assert [row[2] for row in cells] == ["8/255", "25.0", "25.0"]
    assert "the first is certified" in caption


def test_latex_names_the_norms_of_several_results():
    cells, caption = latex(small(), small(name="a_b", norm="2"))
    assert [row[0] for row in cells] == ["network", "plain", r"a\_b"]
    norms = ["at eps 8/255 in the maximum norm", "at eps 0.03137 in the Euclidean norm"]
    assert cells[0][2:] == norms
    assert [row[2:] for row in cells[1:]] == [["25.0", ""], ["", "25.0"]]
    assert "in the maximum norm and the Euclidean norm" in caption


def test_a_name_is_text_and_no_markup_in_every_format():
    item = ReportItem("", small(name="<b>*x*</b> 5% of a_b", title="[y] & co"))
    page, table = render_page([item, item]), latex_table([item, item])
    assert "<b>*x*" not in page
    assert "&lt;b&gt;*x*&lt;/b&gt; 5% of a_b" in page
    assert r"\<b>\*x\*\</b> 5% of a_b" in render(compare_parts([item, item]), "markdown")
    assert r"\ensuremath{<}b\ensuremath{>}*x*" in table
    assert r"5\% of a\_b" in table
    two = [ReportItem("", small(name=name)) for name in ("[x]", "b")]
    assert "\n {[}x]" in latex_table(two)


def complaint(*words: str | Path) -> str:
    return complain("report", *map(str, words)).removeprefix("art-snn report: error: ")


def test_no_file_a_missing_file_and_a_folder_without_one_are_refused(folder):
    assert complaint().startswith("--files: expected one result or more, got none.")
    output = ("--output", folder / "x.html")
    text = complaint(folder / FILE, folder / "nope.json", *output)
    assert re.match(r"--files: expected an evaluation, .*nope\.json does not exist", text)
    (folder / "empty").mkdir()
    text = complaint(folder / "empty", *output)
    assert re.match(r"--files: expected an evaluation, .*empty/evaluation.json does not", text)
    assert not (folder / "x.html").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("no json", r"holds no JSON"),
        ("[]", r"cannot be read \(expected an object"),
        ('{"rows": {}}', "is damaged"),
        ({"schema": 1, "rows": {}}, r"cannot be read \(its field name: missing\)"),
        ({"schema": 1, "trials": []}, r"cannot be read \(its field name: missing\)"),
        ({"trials": []}, "has no number as its schema"),
    ],
    ids=["text", "list", "checksum", "other", "fields", "schema"],
)
def test_what_is_no_evaluation_is_refused(content, why, tmp_path):
    file = tmp_path / "a.json"
    write = Path.write_text if isinstance(content, str) else write_json
    write(file, content)
    text = complaint(file, "--output", tmp_path / "x.html")
    assert re.search(rf"got .*a\.json, which {why}.* Give evaluation\.json from the", text)


@pytest.mark.parametrize("name", ["network.safetensors", "report", f"x/../{FILE}", "x.d/../"])
def test_an_ending_of_another_kind_of_file_is_refused(name, folder):
    text = complaint(folder / FILE, "--output", folder / name)
    assert text.startswith("--output: expected a file that ends in .html, .md, .tex, got")


@pytest.mark.parametrize("form", ["html", "md", "tex"])
def test_nothing_but_an_earlier_report_is_written_over(form, folder):
    output = folder / f"notes.{form}"
    output.write_text("my notes")
    text = complaint(folder / FILE, "--output", output)
    assert text.startswith("--output: expected a new file, or an earlier report, got")
    assert output.read_text() == "my notes"
    output.unlink()
    for _ in range(2):
        run(Report(files=(folder / FILE,), output=output))


def test_a_folder_stands_for_its_evaluation_and_its_page_is_an_earlier_report(folder):
    first = (folder / "report.html").read_text("utf-8")
    succeed("report", str(folder), "--output", str(folder / "report.html"))
    assert (folder / "report.html").read_text("utf-8") == first
