"""Sphinx configuration."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docstrings import prepare_docstring

import art_snn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

metadata = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))[
    "project"
]
repository = metadata["urls"]["Repository"]
project = "art_snn"
author = copyright = metadata["authors"][0]["name"]
release = version = art_snn.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx-mathjax-offline",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated", "_templates", "results/*/*.md", "study/*/*.md"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = "art_snn"
html_theme_options = {
    "source_repository": repository,
    "source_branch": "main",
    "source_directory": "docs/",
}
extlinks = {"source": (f"{repository}/blob/main/%s", "%s")}
html_static_path = ["_static"]
html_css_files = ["style.css"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
nitpicky = False
suppress_warnings = ["config.cache"]  # Of the function that templates call.


PAGES = re.findall(
    r"^   (art_snn[\w.]*)$", Path(__file__).with_name("api.md").read_text("utf-8"), re.MULTILINE
)
"""The modules that have a page in the reference."""


def exported(tree: ast.Module) -> Iterator[str]:
    """Names that a package takes from its modules for users: ``import X as X``, ``import *``."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            yield from import_module(str(node.module)).__all__
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name == alias.asname)


def defined(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines: classes, functions, and values with a docstring."""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            yield getattr(target, "id", "_")


def public(name: str) -> list[tuple[str, str]]:
    """The directive and the name of whatever a page of the reference documents.

    What `art_snn` itself exports is documented there, anything else where it is defined if that
    module has a page."""
    module = import_module(name)
    tree = ast.parse(inspect.getsource(module))
    names = getattr(module, "__all__", None) or [*exported(tree), *defined(tree)]
    documented = []
    for member in dict.fromkeys(names):
        if member.startswith("_"):
            continue
        value = getattr(module, member)
        kind = "class" if inspect.isclass(value) else "data"
        kind = "function" if inspect.isfunction(value) else kind
        home = name if kind == "data" else value.__module__
        elsewhere = home in PAGES and home != name
        if kind == "class" and member in art_snn.__all__:
            elsewhere = True
        if name == "art_snn" or not elsewhere:
            documented.append((f"auto{kind}", member))
    return documented


autosummary_context = {"public": public}


def describe(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Take the docstring of a value from the module that defines it, not that of its type."""
    if what != "data" or lines[:1] != prepare_docstring(type(value).__doc__ or "")[:1]:
        return
    lines.clear()
    member = name.rpartition(".")[2]
    for home, module in sorted(sys.modules.items()):
        if home.startswith("art_snn") and vars(module).get(member) is value and not lines:
            lines[:] = ModuleAnalyzer.for_module(home).find_attr_docs().get(("", member), [])


def split_parameters(
    app: Sphinx, what: str, name: str, value: Any, _: Any, lines: list[str]
) -> None:
    """Give parameters that a docstring describes together a line each."""
    text = "\n".join(lines)
    for several in re.finditer(r"^:param (\w+(?:, \w+)+): (.*(?:\n +.*)*)", text, re.MULTILINE):
        one_by_one = "\n".join(f":param {each}: {several[2]}" for each in several[1].split(", "))
        text = text.replace(several[0], one_by_one)
    lines[:] = text.split("\n")


def plain(app: Sphinx, what: str, name: str, *_: Any) -> None:
    """Leave out what annotations tell the command line."""
    annotations = app.env.current_document.autodoc_annotations.get(name, {})
    for argument, annotation in annotations.items():
        annotations[argument] = re.sub(
            r"^~?(?:typing\.)?Annotated\[(.*?), .*\]$", r"\1", annotation, flags=re.DOTALL
        )


def link_back(app: Sphinx, page: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Lead from sources to the reference where one module's names have two pages."""

    def corrected(link: re.Match[str]) -> str:
        module, parts = link["module"], link["name"].split(".")
        others = (".".join((module, *parts[start:])) for start in range(1, len(parts)))
        names = (name for name in (link["name"], *others) if name in objects)
        pages = [name for name in names if objects[name].docname == f"_api/{module}"]
        return f'{link["page"]}#{pages[0]}"' if pages else f'{link["page"]}"'

    if page.startswith("_modules/"):
        objects = app.env.domains.python_domain.objects
        pattern = r'(?P<page>href="[./]*_api/(?P<module>[\w.]+)\.html)#(?P<name>[\w.]+)"'
        body = re.sub(pattern, corrected, context["body"])
        context["body"] = re.sub(r'<li><a href="builtins.html">.*</li>', "", body)


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", link_back)
    app.connect("autodoc-process-docstring", describe)
    app.connect("autodoc-process-docstring", split_parameters)
    app.connect("autodoc-process-signature", plain, priority=600)
