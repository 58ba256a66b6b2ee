"""What the documentation shows follows from the results that lie beside it; its commands exist."""

import json
import re
import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest

import art_snn
from art_snn import GRADIENTS
from art_snn.cli import COMMANDS
from art_snn.files import write_json
from art_snn.gradients import Surrogate
from tests.command import call

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REWRITE = runpy.run_path(str(DOCS / "rewrite_tables.py"))
RESULTS: list[Path] = REWRITE["FILES"]
PAGES = sorted(DOCS.glob("*.md"))

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(art-snn [^`]*)`")


def place(file: Path) -> str:
    return file.relative_to(DOCS).with_suffix("").as_posix()


@pytest.mark.parametrize("file", RESULTS, ids=place)
def test_a_table_of_results_follows_from_its_json(file):
    assert file.with_suffix(".md").read_text(encoding="utf-8") == REWRITE["render"](file)


def test_the_claims_of_the_study_are_counted_over_all_studies_that_its_command_names():
    page, studies = (DOCS / "study.md").read_text(encoding="utf-8"), REWRITE["STUDIES"]
    text = REWRITE["claims"].render(studies)
    assert REWRITE["CLAIMS"].read_text(encoding="utf-8") == text
    assert text != REWRITE["claims"].render(studies[:-1])
    command = next(line for line in lines_of(page) if "claims.py" in line)
    named = command.partition("--studies ")[2].partition(" --")[0].split()
    assert named == [f"study/{folder.name}" for folder in studies]


@pytest.mark.parametrize("kind", [*REWRITE["RESULTS"], *REWRITE["SCRIPTS"]])
def test_a_table_changes_with_its_json(kind, tmp_path):
    file = next(file for file in RESULTS if file.stem == kind)
    text = file.with_suffix(".md").read_text(encoding="utf-8")
    (tmp_path / f"{kind}.md").write_text(text, encoding="utf-8")
    copy = tmp_path / file.name
    changes = {
        "compare": ('"robust": "1', '"robust": "0'),
        "sweep": ('"robust": "1', '"robust": "0'),
        "attacks": ('"robust": "1', '"robust": "0'),
        "auto_attack": ('"queries": 14', '"queries": 15'),
        "curves": ('"bias": -0.0', '"bias": -0.9'),
        "scaling": ('"stbp": 8', '"stbp": 9'),
        "defences": ("a search without gradients", "a search without sense"),
        "networks": ('"best_epoch": 3', '"best_epoch": 2'),
        "precision": ('"cosine": 0.9', '"cosine": 0.8'),
        "train_precision": ('"count": 14', '"count": 15'),
    }
    before = file.read_text(encoding="utf-8")
    after = before.replace(*changes[kind])
    assert after != before
    content = json.loads(after)
    del content["sha256"]  # It is that of the file as it was.
    write_json(copy, content)
    assert REWRITE["render"](copy) != text


def test_results_are_there_and_every_one_is_shown_with_its_picture():
    kinds = [file.stem for file in RESULTS]
    assert kinds.count("compare") >= 5
    singles = {"scaling": 1, "precision": 2, "train_precision": 1, "defences": 2}
    for kind, count in singles.items():
        assert kinds.count(kind) == count
    for kind in ("networks", "attacks", "sweep", "curves"):
        assert kinds.count(kind) >= 4
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for file in RESULTS:
        assert f"{{include}} {place(file)}.md" in pages
        assert f"({place(file)}.png)" in pages
        assert file.with_suffix(".png").exists()


def test_the_page_of_rules_names_every_rule_and_the_reference_every_class():
    page, reference = (DOCS / "gradients.md").read_text(), (DOCS / "api.md").read_text()
    for name, kind in GRADIENTS.items():
        assert f'| `"{name}"` | {{class}}`~art_snn.{kind.__name__}` |' in page
        assert kind.__name__ in art_snn.__all__
    assert "\n   art_snn\n" in reference
    assert "\n   art_snn.gradients.surrogates\n" in reference
    assert len(Surrogate.__subclasses__()) >= 9


def test_the_table_of_all_networks_follows_from_their_json():
    assert REWRITE["SUMMARY"].read_text(encoding="utf-8") == REWRITE["summary"]()
    first = (DOCS / "results.md").read_text(encoding="utf-8").partition("```{include} ")[2]
    assert first.startswith(f"{place(REWRITE['SUMMARY'])}.md")


def test_a_page_is_short():
    """At most 1,200 words, three pages at most a little more."""
    words = [len(page.read_text(encoding="utf-8").split()) for page in PAGES]
    assert max(words) <= 1300
    assert sum(count > 1200 for count in words) <= 3
    assert sum(words) <= 25000


def test_the_page_of_commands_names_every_command():
    page = (DOCS / "command_line.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"| `art-snn {name}` |" in page


def test_every_page_stands_in_one_list_of_the_index():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    lists = re.findall(r"```\{toctree\}\n((?::.*\n)*)\n((?:\w+\n)+)```", index)
    listed = [name for _, names in lists for name in names.split()]
    assert all(":caption:" in options for options, _ in lists)
    assert sorted(listed) == sorted(page.stem for page in PAGES if page.stem != "index")


def lines_of(text: str) -> list[str]:
    """The commands of a page, from its blocks and from its sentences."""
    blocks = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = INLINE.findall(sentences.replace("\n", " "))
    return [line.partition(" #")[0].strip() for line in (*blocks, *inline)]


COMMANDS_SHOWN = sorted(
    {
        line
        for page in (ROOT / "README.md", *PAGES)
        for line in lines_of(page.read_text(encoding="utf-8"))
        # Of a report the name alone is no command: it takes files.
        if re.match(r"(art-snn|python -m art_snn) (?!COMMAND|NAME|report$)", line)
    }
)
SCRIPTS_SHOWN = sorted(
    {
        line
        for page in (ROOT / "README.md", *PAGES)
        for line in lines_of(page.read_text(encoding="utf-8"))
        if line.startswith("python examples/")
    }
)


class Started(Exception):
    """Raised in the place of the work of a command."""


def complaint(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What art-snn says against the line, or "" where it would start to work."""

    def start(settings: object) -> None:
        raise Started

    for name in COMMANDS:
        monkeypatch.setattr(import_module(f"art_snn.experiments.{name}"), "run", start)
    monkeypatch.chdir(ROOT)
    words = shlex.split(line.replace("python -m art_snn", "art-snn"))
    try:
        done = call(*words[1:])
    except Started:
        return ""
    return done.complaint if done.status else ""


@pytest.mark.parametrize("line", COMMANDS_SHOWN)
def test_a_command_that_is_shown_is_understood(line, monkeypatch):
    assert complaint(line, monkeypatch) == ""


@pytest.mark.parametrize(
    "line",
    [
        "art-snn compare --batch 5",
        "art-snn train --attack pgd",
        "art-snn cost --protocol table-s2",
        "art-snn curves --decay 1,0.5",
        "art-snn harden --attack fgsm --iterations 3",
        "art-snn attack",
    ],
)
def test_a_command_of_earlier_days_would_be_found_out(line, monkeypatch):
    assert complaint(line, monkeypatch) != ""


def test_a_complaint_that_is_shown_is_made(monkeypatch):
    page = (DOCS / "command_line.md").read_text(encoding="utf-8")
    ((line, shown),) = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", page)
    assert complaint(line, monkeypatch) == " ".join(shown.split())


def test_commands_are_found_in_blocks_and_sentences():
    text = "Use `art-snn demo`.\n\n```bash\nart-snn train \\\n    --epochs 3  # short\n```\n"
    assert lines_of(text) == ["art-snn train      --epochs 3", "art-snn demo"]
    assert len(COMMANDS_SHOWN) >= 20
    assert len(SCRIPTS_SHOWN) >= 10


RELIED_ON = (DOCS / "reliability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[\w/]+\.py)`", RELIED_ON))))
def test_a_file_of_tests_that_holds_a_promise_is_there_and_tests(name):
    assert "\ndef test_" in (ROOT / name).read_text(encoding="utf-8")


def test_every_promise_names_the_tests_that_hold_it():
    rows = [line for line in RELIED_ON.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if "held by" not in row and row.count(" | ") == 1]
    assert len(promises) >= 10
    assert all("`tests/" in row for row in promises)


@pytest.mark.parametrize("line", SCRIPTS_SHOWN)
def test_a_script_that_is_shown_is_there_and_has_the_options(line, monkeypatch, capsys):
    _, script, *words = shlex.split(line)
    options = [word for word in words if word.startswith("--")]
    if not options:
        assert (ROOT / script).is_file()
        return
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.syspath_prepend(str((ROOT / script).parent))
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    shown = capsys.readouterr().out.split()
    assert set(options) <= set(shown)
