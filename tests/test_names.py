"""One word per thing: what public names, variables and imports of the package look like."""

import ast
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = {"run", "Settings", "draw", "load"}
"""Public names that several modules may have: at most five."""
VAGUE = {"found", "told", "every", "own", "known", "chosen", "those", "beside"}
NO_NAMES = VAGUE | {"parts", "named", "of_block", "drawn", "opened", "run_of"}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name, a package by that of its folder."""
    files = sorted((ROOT / "art_snn").rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    texts = (ast.parse(file.read_text("utf-8")) for file in files)
    return dict(zip((name.removesuffix(".__init__") for name in names), texts, strict=True))


def definitions() -> dict[str, list[str]]:
    """The modules in which a public function or class of that name is defined."""
    names: dict[str, list[str]] = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
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
    assert len(SHARED) <= 5
    several = {name: homes for name, homes in definitions().items() if len(homes) > 1}
    assert {name: homes for name, homes in several.items() if name not in SHARED} == {}


def test_functions_and_classes_have_names_that_say_what_they_do():
    assert {name: homes for name, homes in definitions().items() if name in NO_NAMES} == {}


def test_variables_have_the_names_of_what_they_hold():
    pairs = set().union(*(variables(tree, name) for name, tree in modules().items()))
    assert sorted(f"{function}: {name}" for function, name in pairs if name in VAGUE) == []


def test_no_module_imports_itself_by_way_of_others():
    try:
        TopologicalSorter({name: imports(tree) for name, tree in modules().items()}).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' <- '.join(error.args[1])}") from None


def test_no_import_is_for_type_checkers_alone():
    files = (ROOT / "art_snn").rglob("*.py")
    assert [file for file in files if "TYPE_CHECKING" in file.read_text("utf-8")] == []
