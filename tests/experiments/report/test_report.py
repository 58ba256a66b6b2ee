"""art-snn report: one file from the results that are named, and complaints about those that
cannot be read."""

import json
import re
from pathlib import Path

import pytest

from art_snn.checks import ArgumentError
from art_snn.experiments.report import Settings, run
from art_snn.files import write_json
from tests.command import call
from tests.evaluations import RISES, VANISHED, images, large, small, write
from tests.pages import tree

FILE = "evaluation.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(small(findings=(RISES,)), tmp_path)
    return tmp_path


def test_a_page_is_written_and_the_verdict_printed(folder):
    output = folder / "deep" / "page.html"
    done = call("report", str(folder / FILE), "--output", str(output))
    assert (done.status, done.stderr) == (0, "")
    assert "Robust accuracy at most 25.0 % [4.6, 69.9] at eps 8/255" in done.stdout
    assert done.stdout.endswith(f"\nWritten to {output}\n")
    (heading,) = tree(output.read_text("utf-8")).every("h1")
    assert heading.text.endswith("one finding suggests that it may be lower.")


@pytest.mark.parametrize("form", ["html", "md", "tex"])
def test_without_an_output_the_file_is_named_by_the_format(form, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert Settings(files=(Path(FILE),), format=form).output == Path(f"report.{form}")
    assert call("report", FILE, "--format", form).status == 0
    assert (folder / f"report.{form}").stat().st_size > 500


def test_examples_beside_the_result_are_shown(tmp_path):
    write(large(20), tmp_path)
    images(2).write(tmp_path)
    run(Settings(files=(tmp_path / FILE,), output=tmp_path / "page.html"))
    assert (tmp_path / "page.html").read_text("utf-8").count("data:image/png") == 6


def test_several_results_are_set_side_by_side_in_every_format(folder, tmp_path):
    other = tmp_path / "other"
    write(small(), other)
    for form in ("html", "md", "tex"):
        output = tmp_path / f"out.{form}"
        files = folder / FILE, other / FILE
        done = call("report", *map(str, files), "--format", form, "--output", str(output))
        assert done.status == 0
        text = output.read_text("utf-8")
        assert "share 4 samples" in text
        assert "evaluations side by side" in text
    assert "2 evaluations side by side" in done.stdout


def test_markdown_and_latex_have_the_same_cells(folder, tmp_path):
    texts = {}
    for form in ("md", "tex"):
        output = tmp_path / f"out.{form}"
        run(Settings(files=(folder / FILE,), output=output, format=form))
        texts[form] = output.read_text("utf-8")
    rows = [line for line in texts["md"].splitlines() if line.startswith("| ")]
    markdown = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    body = texts["tex"].partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    latex = [[cell.strip() for cell in line[:-2].split("&")] for line in lines]
    assert latex == [[cell.replace("%", r"\%") for cell in row] for row in markdown]
    assert latex[-1][4] == r"at most 25.0 \% [4.6, 69.9]"
    assert texts["tex"].count(r"\item") == 1


def complaint(*words: str | Path) -> str:
    done = call("report", *map(str, words))
    assert (done.status, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert second == "art-snn report --help shows the usage."
    return first.removeprefix("art-snn report: error: ")


def test_no_file_a_missing_file_and_a_folder_are_refused(folder):
    assert complaint().startswith("files: expected one result or more, got none.")
    output = ("--output", folder / "x.html")
    text = complaint(folder / FILE, folder / "nope.json", *output)
    assert re.match(r"files: expected an evaluation, .*nope\.json does not exist", text)
    text = complaint(folder, *output)
    assert re.match(r"files: expected an evaluation, .*a folder\. Give a file", text)
    assert not (folder / "x.html").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("no json", r"holds no JSON"),
        ("[]", r"cannot be read \(expected an object"),
        ('{"rows": {}}', "is damaged"),
        ({"schema": 1, "rows": {}}, "holds another kind of result"),
        ({"schema": 1, "trials": []}, r"cannot be read \(its field title: missing\)"),
        ({"trials": []}, "has no number as its schema"),
    ],
    ids=["text", "list", "checksum", "other", "fields", "schema"],
)
def test_what_is_no_evaluation_is_refused(content, why, tmp_path):
    file = tmp_path / "a.json"
    if isinstance(content, str):
        file.write_text(content)
    else:
        write_json(file, content)
    text = complaint(file, "--output", tmp_path / "x.html")
    assert re.search(rf"got .*a\.json, which {why}.* Give evaluation\.json from the", text)


def test_a_damaged_evaluation_is_refused_by_its_checksum_and_by_its_field(folder):
    file = folder / FILE
    text = file.read_text("utf-8")
    file.write_text(text.replace('"seed": 0', '"seed": 1'))
    assert "its checksum does not match" in complaint(file, "--output", folder / "x.html")
    content = json.loads(text) | {"labels": [0]}
    content.pop("sha256")
    write_json(file, content)
    text = complaint(file, "--output", folder / "x.html")
    assert "cannot be read (expected columns of as many samples each, got [1, 4])" in text


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("--output", "", "a file, got .*a folder"),
        ("--output", f"x/../{FILE}", "a file of its own, got .*one of the results"),
        ("--format", "doc", "one of html"),
    ],
)
def test_an_output_or_a_format_of_another_kind_is_refused(option, value, match, folder):
    value = value if option == "--format" else folder / value
    assert re.match(f"{option}: expected {match}", complaint(folder / FILE, option, value))


def test_another_format_is_refused(folder):
    with pytest.raises(ArgumentError, match=r"^format: .*'doc'"):
        Settings(files=(folder / FILE,), format="doc")  # type: ignore[arg-type]


def test_a_report_that_cannot_be_written_has_a_status_of_its_own(folder):
    (folder / "file").write_text("here before")
    done = call("report", str(folder / FILE), "--output", str(folder / "file" / "x.html"))
    assert done.status == 74
    assert "x.html" in done.complaint


def test_results_without_a_common_sample_are_shown_and_not_refused(tmp_path):
    write(small(), tmp_path / "a")
    write(small(samples=tuple("wxyz"), findings=(VANISHED,)), tmp_path / "b")
    output = tmp_path / "x.html"
    files = [str(tmp_path / name / FILE) for name in "ab"]
    assert call("report", *files, "--output", str(output)).status == 0
    assert "no sample in common" in output.read_text("utf-8")


@pytest.mark.parametrize("name", ["network.pt", "report.pdf", "report"])
def test_an_ending_of_another_kind_of_file_is_refused(name, folder):
    (folder / name).write_bytes(b"weights")
    text = complaint(folder / FILE, "--output", folder / name)
    assert text.startswith("--output: expected a file that ends in .html, .md, .tex, got")
    assert (folder / name).read_bytes() == b"weights"


@pytest.mark.parametrize("form", ["html", "md", "tex"])
def test_nothing_but_an_earlier_report_is_written_over(form, folder):
    output = folder / f"notes.{form}"
    output.write_text("my notes")
    text = complaint(folder / FILE, "--output", output)
    assert text.startswith("--output: expected a new file, or an earlier report, got")
    assert output.read_text() == "my notes"
    output.unlink()
    for _ in range(2):
        run(Settings(files=(folder / FILE,), output=output, format=form))


def test_the_page_of_an_evaluation_is_an_earlier_report(folder):
    assert call("report", str(folder / FILE), "--output", str(folder / "report.html")).status == 0
