"""Size and names are promises: what is added is paid for, and one word stands for one thing."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from art_snn.app.cli import COMMANDS
from tests.command import call

ROOT = Path(__file__).parents[1]
TOKENS, TOKENS_A_LINE, DENSEST = 193_750, 5.8, 8
"""Names, operators and numbers: of the package, of a line of it, and of a line of any file."""
KINDS = (tokenize.NAME, tokenize.OP, tokenize.NUMBER)
FSTRING_START, FSTRING_END = (getattr(tokenize, f"FSTRING_{end}", None) for end in ("START", "END"))
LINES_OF_TESTS, FILES, DATACLASSES, NAMES_PER_1000 = 36_500, 170, 138, 25
COMMANDS_AT_MOST, OPTIONS, OPTIONS_OF_EVALUATE = 7, 190, 30
LONGEST, AMBIENT_VARIABLES = 600, 6
VAGUE = {"found", "told", "every", "own", "known", "chosen", "those", "beside"}
NO_NAMES = VAGUE | {"parts", "named", "of_block", "drawn", "opened", "run_of"}


def files(folder: str) -> dict[Path, list[str]]:
    """The lines of every Python file in a folder of the checkout."""
    return {file: file.read_text("utf-8").splitlines() for file in (ROOT / folder).rglob("*.py")}


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
    lengths = {file: len(lines) for file, lines in files("art_snn").items()}
    assert len(files("art_snn")) <= FILES
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_package_has_few_dataclasses_and_few_public_names():
    nodes = [node for _, node in definitions()]
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


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name, a package by that of its folder."""
    trees = {}
    for file, lines in files("art_snn").items():
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        trees[name.removesuffix(".__init__")] = ast.parse("\n".join(lines))
    return trees


def definitions() -> list[tuple[str, Any]]:
    """Functions and classes at the top of modules, each with its module."""
    nodes = [(name, node) for name, tree in modules().items() for node in tree.body]
    return [(name, node) for name, node in nodes if hasattr(node, "decorator_list")]


def homes() -> dict[str, list[str]]:
    """The modules in which a public function or class of that name is defined."""
    names: dict[str, list[str]] = defaultdict(list)
    for module, node in definitions():
        if not node.name.startswith("_"):
            names[node.name].append(module)
    return names


def variables(node: ast.AST, function: str) -> set[tuple[str, str]]:
    """Variables and parameters, each with the function that it belongs to."""
    pairs = set()
    for child in ast.iter_child_nodes(node):
        defined = isinstance(child, ast.FunctionDef | ast.ClassDef)
        inside = f"{function}.{child.name}" if defined else function
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            pairs.add((inside, child.id))
        if isinstance(child, ast.arg):
            pairs.add((inside, child.arg))
        pairs |= variables(child, inside)
    return pairs


def imports(tree: ast.Module) -> set[str]:
    """The modules of the package that a module imports, inside of functions, too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & modules().keys()
            names |= inner or {node.module or ""}
    return names & modules().keys()


def test_a_public_name_is_defined_in_one_module():
    # Every command has its run.
    assert {name for name, modules in homes().items() if len(modules) > 1} == {"run"}


def test_functions_and_classes_have_names_that_say_what_they_do():
    assert homes().keys() & NO_NAMES == set()


def test_variables_have_the_names_of_what_they_hold():
    pairs = set().union(*(variables(tree, name) for name, tree in modules().items()))
    assert sorted(f"{function}: {name}" for function, name in pairs if name in VAGUE) == []


def test_no_module_imports_itself_by_way_of_others():
    try:
        TopologicalSorter({name: imports(tree) for name, tree in modules().items()}).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' <- '.join(error.args[1])}") from None


def test_few_variables_are_ambient():
    texts = map("\n".join, files("art_snn").values())
    assert sum(text.count("ContextVar(") for text in texts) <= AMBIENT_VARIABLES


def test_no_import_is_for_type_checkers_alone():
    package = files("art_snn").items()
    assert [file for file, lines in package if any("TYPE_CHECKING" in line for line in lines)] == []
