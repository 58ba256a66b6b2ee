"""Size is a promise: what is added is paid for by taking something away."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from art_snn.app.cli import COMMANDS
from tests.command import call

ROOT = Path(__file__).parents[1]
LINES = {"art_snn": 26_500, "tests": 38_000}
FILES, DATACLASSES, NAMES_PER_1000 = 185, 125, 25
COMMANDS_AT_MOST, OPTIONS, OPTIONS_OF_EVALUATE = 7, 190, 28
LONGEST = 600


def files(folder: str) -> dict[Path, list[str]]:
    """The lines of every Python file in a folder of the checkout."""
    return {file: file.read_text("utf-8").splitlines() for file in (ROOT / folder).rglob("*.py")}


def definitions() -> list[ast.stmt]:
    """Functions and classes at the top of the package's modules."""
    trees = (ast.parse("\n".join(lines)) for lines in files("art_snn").values())
    return [node for tree in trees for node in tree.body if hasattr(node, "decorator_list")]


@pytest.mark.parametrize("folder", LINES)
def test_a_folder_has_at_most_so_many_lines(folder):
    assert sum(map(len, files(folder).values())) <= LINES[folder]


def test_the_package_has_few_files_and_no_long_one():
    lengths = {file.name: len(lines) for file, lines in files("art_snn").items()}
    assert len(files("art_snn")) <= FILES
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_package_has_few_dataclasses_and_few_public_names():
    nodes = definitions()
    kept = [node for node in nodes if "dataclass" in "".join(map(ast.dump, node.decorator_list))]
    assert len(kept) <= DATACLASSES
    public = [node for node in nodes if not node.name.startswith("_")]
    lines = sum(map(len, files("art_snn").values()))
    assert 1000 * len(public) / lines <= NAMES_PER_1000


def options_of(name: str) -> set[str]:
    """The options of a command, as its help lists them, in a frame or without one."""
    lines = call(name, "--help").stdout.splitlines()
    rows = [line for line in lines if re.match(r".? -", line)]
    return {flag for row in rows for flag in re.findall(r"--(?!no-|help)[a-z][a-z-]+", row)[:1]}


def test_there_are_few_commands_with_few_options():
    options = {name: len(options_of(name)) for name in COMMANDS}
    assert len(options) <= COMMANDS_AT_MOST
    assert sum(options.values()) <= OPTIONS
    assert 20 <= options["evaluate"] <= OPTIONS_OF_EVALUATE
