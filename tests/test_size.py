"""Size is a promise: what is added is paid for by taking something away."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

from art_snn.app.cli import COMMANDS
from tests.command import call

ROOT = Path(__file__).parents[1]
TOKENS, TOKENS_A_LINE, DENSEST = 183_000, 5.8, 8
"""Names, operators and numbers: of the package, of a line of it, and of a line of any file."""
KINDS = (tokenize.NAME, tokenize.OP, tokenize.NUMBER)
FSTRING_START, FSTRING_END = (getattr(tokenize, f"FSTRING_{end}", None) for end in ("START", "END"))
LINES_OF_TESTS, FILES, DATACLASSES, NAMES_PER_1000 = 34_500, 165, 132, 25
COMMANDS_AT_MOST, OPTIONS, OPTIONS_OF_EVALUATE = 7, 190, 28
LONGEST = 600


def files(folder: str) -> dict[Path, list[str]]:
    """The lines of every Python file in a folder of the checkout."""
    return {file: file.read_text("utf-8").splitlines() for file in (ROOT / folder).rglob("*.py")}


def definitions() -> list[ast.stmt]:
    """Functions and classes at the top of the package's modules."""
    trees = (ast.parse("\n".join(lines)) for lines in files("art_snn").values())
    return [node for tree in trees for node in tree.body if hasattr(node, "decorator_list")]


def count_tokens(lines: list[str]) -> int:
    text = io.StringIO("".join(f"{line}\n" for line in lines))
    count = depth = 0
    for token in tokenize.generate_tokens(text.readline):
        # From Python 3.12 on, an f-string is many tokens; before, it is a single string.
        depth += (token.type == FSTRING_START) - (token.type == FSTRING_END)
        count += depth == 0 and token.type in KINDS
    return count


def test_a_reader_has_to_hold_little_code_and_few_tokens_of_a_line():
    package = files("art_snn")
    counts = {file: (count_tokens(lines), len(lines)) for file, lines in package.items()}
    tokens, lines = (sum(column) for column in zip(*counts.values(), strict=True))
    assert tokens <= TOKENS
    assert tokens / lines <= TOKENS_A_LINE
    dense = {name: t / n for name, (t, n) in counts.items() if n > 100 and t / n > DENSEST}
    assert dense == {}


def test_there_are_not_too_many_tests():
    assert sum(map(len, files("tests").values())) <= LINES_OF_TESTS


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
