"""What the documentation shows follows from the results that lie beside it; its commands exist."""

import ast
import json
import re
import runpy
import shlex
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from shutil import copy

import pytest

import art_snn
from art_snn import GRADIENTS
from art_snn.app.cli import COMMANDS
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


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", RESULTS, ids=place)
def test_a_table_of_results_follows_from_its_json(file):
    assert text_of(file.with_suffix(".md")) == REWRITE["render"](file)


def test_the_claims_of_the_study_are_counted_over_all_studies_that_its_command_names():
    page, studies = text_of(DOCS / "study.md"), REWRITE["STUDIES"]
    text = REWRITE["claims"].render(studies)
    assert text_of(REWRITE["CLAIMS"]) == text
    assert text != REWRITE["claims"].render(studies[:-1])
    command = next(line for line in lines_of(page) if "claims.py" in line)
    named = command.partition("--studies ")[2].partition(" --")[0].split()
    assert named == [f"results/study/{folder.name}" for folder in studies]


@pytest.mark.parametrize("folder", ["art_snn", "art_snn/app"])
def test_the_map_for_contributors_has_every_module(folder):
    page = text_of(DOCS / "contributing.md")
    table = page.partition(f", `{folder}/` |")[2].partition("\n\n")[0]
    first = "".join(row.partition(" | ")[0] for row in table.splitlines())
    files = [file for file in (ROOT / folder).iterdir() if file.suffix in ("", ".py")]
    modules = {file.stem for file in files if not file.name.startswith("_")}
    assert {*re.findall(r"`(\w+)`", first)} == modules - {"app"}


def test_results_are_there_and_every_one_is_shown_with_its_picture():
    counts = Counter(file.stem for file in RESULTS)
    exact = {"train_precision": 1, "defences": 2}
    assert {kind: counts[kind] for kind in exact} == exact
    assert counts >= Counter({"compare": 5, "networks": 4, "attacks": 4, "sweep": 4, "curves": 4})
    pages = "".join(map(text_of, PAGES))
    for file in RESULTS:
        assert f"{{include}} {place(file)}.md" in pages
        drawn = file.with_suffix(".png").exists()
        assert drawn or file.stem in ("exact", "scale")
        assert (f"({place(file)}.png)" in pages) == drawn


LINES = r"(?::start-line: (\d+)\n)?(?::end-line: (\d+)\n)?"
PARTS = re.compile(rf"^```\{{include\}} (\S+)\n{LINES}```", re.MULTILINE)


def test_results_that_pages_show_in_parts_are_shown_whole_and_cut_between_tables():
    parts: dict[str, list[str]] = {}
    for page in PAGES:
        for name, first, end in PARTS.findall(text_of(page)):
            lines = text_of(DOCS / name).splitlines()
            shown = lines[int(first or 0) : int(end or len(lines))]
            assert not first or (lines[int(first) - 1] == "" and shown[0] != "")
            parts.setdefault(name, []).extend(filter(None, shown))
    assert len(parts["results/defences-eurosat/defences.md"]) > 60
    for name, shown in parts.items():
        assert shown == [line for line in text_of(DOCS / name).splitlines() if line], name


def test_pages_name_every_rule_every_class_and_every_command():
    page, reference = text_of(DOCS / "gradients.md"), text_of(DOCS / "api.md")
    for name, kind in GRADIENTS.items():
        assert f'| `"{name}"` | {{class}}`~art_snn.{kind.__name__}` |' in page
        assert kind.__name__ in art_snn.__all__
    listed = re.findall(r"^   ~art_snn\.(?:\w+\.)?(\w+)$", reference, re.MULTILINE)
    assert sorted(listed) == sorted(art_snn.__all__)
    assert "\n   art_snn.gradients.surrogates\n" in reference
    assert len(Surrogate.__subclasses__()) >= 8
    page = text_of(DOCS / "command_line.md")
    assert [name for name in COMMANDS if f"| `art-snn {name}` |" not in page] == []


def test_tables_of_networks_of_the_zoo_follow_from_records_and_runs(tmp_path):
    (file, *files), pages = sorted(REWRITE["RUNS"].glob("*.json")), "".join(map(text_of, PAGES))
    content = json.loads(text_of(file))
    del content["sha256"]  # It is that of the file as it was.
    content["attacks"]["fast"]["queries"] += 5
    other = {"correct": "11", "robust": "00", "queries": 7}
    content["attacks"] |= dict.fromkeys(("AutoAttack of ART", "ensemble-19"), other)
    write_json(tmp_path / file.name, content)
    for other in files:
        copy(other, tmp_path)
    for table, tabulate in REWRITE["SUMMARIES"].items():
        assert text_of(table) == tabulate(REWRITE["RUNS"]) != tabulate(tmp_path)
        assert f"{{include}} {place(table)}.md" in pages


def test_the_number_that_is_shown_first_is_one_of_the_tables():
    (summary, *_) = REWRITE["SUMMARIES"]
    (row,) = re.findall(r"^\| eurosat-vgg5-trades .*$", text_of(summary), re.MULTILINE)
    _, _, _, _, paper, _, fast, *_ = (cell.strip() for cell in row.split("|"))
    for page in (ROOT / "README.md", DOCS / "index.md"):
        words = f"leaves {paper} classified correctly, the plan {fast}."
        assert words in " ".join(text_of(page).split())


def test_every_page_stands_in_one_list_and_the_index_lists_at_most_30_in_four_groups():
    tree = re.compile(r"```\{toctree\}\n((?::.*\n)*)\n((?:\w+\n)+)```")
    groups = tree.findall(text_of(DOCS / "index.md"))
    assert len(groups) == 4
    assert all(":caption:" in options for options, _ in groups)
    assert sum(len(names.split()) for _, names in groups) <= 30
    lists = [names for page in PAGES for _, names in tree.findall(text_of(page))]
    listed = [name for names in lists for name in names.split()]
    assert sorted(listed) == sorted(page.stem for page in PAGES if page.stem != "index")


def lines_of(text: str) -> list[str]:
    """The commands of a page, from its blocks and from its sentences."""
    blocks = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = INLINE.findall(sentences.replace("\n", " "))
    return [line.partition(" #")[0].strip() for line in (*blocks, *inline)]


SHOWN = {line for page in (ROOT / "README.md", *PAGES) for line in lines_of(text_of(page))}
# Of these the name alone is no command: it takes files, or weights.
COMMAND = re.compile(r"(art-snn|python -m art_snn) (?!COMMAND|NAME|(?:report|leaderboard|check)$)")
COMMANDS_SHOWN = sorted(line for line in SHOWN if COMMAND.match(line))
SCRIPTS_SHOWN = sorted(line for line in SHOWN if line.startswith("python examples/"))


class Started(Exception):
    """Raised in the place of the work of a command."""


def complaint(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What art-snn says against the line, or "" where it would start to work."""

    def start(settings: object) -> None:
        raise Started

    for name in COMMANDS:
        monkeypatch.setattr(import_module(f"art_snn.app.{COMMANDS[name][1]}"), "run", start)
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


def test_a_complaint_that_is_shown_is_made(monkeypatch):
    page = text_of(DOCS / "command_line.md")
    ((line, shown),) = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", page)
    assert complaint(line, monkeypatch) == " ".join(shown.split())


OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
PACKAGE = ROOT / "art_snn"
MODULES = [file.relative_to(PACKAGE).as_posix() for file in sorted(PACKAGE.rglob("*.py"))]


def options_named(module: str) -> set[str]:
    """Options in the strings of a module, which are its messages and docstrings."""
    nodes = ast.walk(ast.parse(text_of(PACKAGE / module)))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return {option for text in texts if isinstance(text, str) for option in OPTION.findall(text)}


def test_an_option_that_the_application_names_is_there():
    there = {option for name in COMMANDS for option in OPTION.findall(call(name, "--help").stdout)}
    named = {module: options_named(module) for module in MODULES if module.startswith("app/")}
    assert len(set().union(*named.values())) >= 10
    unknown = {module: options - there - {"--version"} for module, options in named.items()}
    assert {module: options for module, options in unknown.items() if options} == {}


def test_the_library_names_no_option_of_the_command_line():
    library = [module for module in MODULES if not module.startswith("app/")]
    named = {module: options_named(module) for module in library}
    assert {module: options for module, options in named.items() if options} == {}


def test_commands_are_found_in_blocks_and_sentences():
    text = "Use `art-snn demo`.\n\n```bash\nart-snn train \\\n    --epochs 3  # short\n```\n"
    assert lines_of(text) == ["art-snn train      --epochs 3", "art-snn demo"]
    assert len(COMMANDS_SHOWN) >= 20
    assert len(SCRIPTS_SHOWN) >= 10


RELIED_ON = text_of(DOCS / "reliability.md")


def test_every_promise_names_the_tests_that_hold_it_and_they_are_there():
    rows = [line for line in RELIED_ON.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if "held by" not in row and row.count(" | ") == 1]
    assert len(promises) >= 10
    assert all("`tests/" in row for row in promises)
    for name in set(re.findall(r"`(tests/[\w/]+\.py)`", RELIED_ON)):
        assert "\ndef test_" in text_of(ROOT / name), name


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
    assert set(options) <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("table", ["audit_table", "firing_table"])
def test_a_committed_table_is_the_one_that_its_script_writes(table, tmp_path, monkeypatch):
    page, script = tmp_path / "table.md", str(DOCS / f"{table}.py")
    monkeypatch.setattr(sys, "argv", [script, str(page)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    runpy.run_path(script, run_name="__main__")
    committed = DOCS / "_generated" / f"{table}.md"
    assert committed.read_text() == page.read_text(), f"run: python docs/{table}.py"
