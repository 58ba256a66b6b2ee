"""Sphinx configuration."""

import ast
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from nbconvert import MarkdownExporter
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
html_title = f"art_snn {release}"
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
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
nitpicky = False
suppress_warnings = ["config.cache"]  # Of the function that templates call.

NOTEBOOKS = Path(__file__).with_name("_notebooks")


def write_notebooks() -> None:
    """Write the lessons with their outputs as pages, each with a badge of Colab."""
    host, _, place = repository.partition("github.com/")
    NOTEBOOKS.mkdir(exist_ok=True)
    lessons = sorted(Path(__file__).with_name("lessons").glob("*.ipynb"))
    for earlier in NOTEBOOKS.glob("*.md"):
        if earlier.stem not in {file.stem for file in lessons}:
            earlier.unlink()
    for file in lessons:
        text, resources = MarkdownExporter().from_filename(str(file))
        for name, content in resources["outputs"].items():
            (NOTEBOOKS / f"{file.stem}_{name}").write_bytes(content)
            text = text.replace(f"]({name})", f"]({file.stem}_{name})")
        text = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", text)
        if place:
            where = f"{place}/blob/main/docs/lessons/{file.name}"
            link = f"https://colab.research.google.com/github/{where}"
            badge = f"[![Open in Colab](../_static/colab.svg)]({link})"
            note = f"In Colab, first run `%pip install git+{host}github.com/{place}`."
            title, _, text = text.lstrip().partition("\n")
            text = f"{title}\n\n{badge} {note}\n{text}"
        page = NOTEBOOKS / f"{file.stem}.md"
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


write_notebooks()


def link_notebooks(app: Sphinx, name: str, content: list[str]) -> None:
    """Lead from links to a lesson in the repository to its page."""
    content[0] = re.sub(r"\]\(lessons/(\w+)\.ipynb\)", r"](_notebooks/\1.md)", content[0])


def leave_out_index(app: Sphinx, document: Any) -> None:
    """Keep the first page, which names everything, out of the search."""
    app.env.metadata["index"]["nosearch"] = ""


PAGES = [
    page
    for name in ("api.md", "api_commands.md")
    for page in re.findall(
        r"^   (art_snn[\w.]*)$", Path(__file__).with_name(name).read_text("utf-8"), re.MULTILINE
    )
]
"""The modules that have a page in the reference."""

for stub in Path(__file__).with_name("_api").glob("*.rst"):
    if stub.stem not in PAGES:
        stub.unlink()  # The page of an earlier version.


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


def names_of(page: str) -> Iterator[tuple[str, Any]]:
    """Public names of a module, and what they are."""
    module = import_module(page)
    tree = ast.parse(inspect.getsource(module))
    names = getattr(module, "__all__", None) or [*exported(tree), *defined(tree)]
    yield from ((name, getattr(module, name)) for name in names if not name.startswith("_"))


def page_of(value: Any) -> str:
    """The page of the module that defines a class or a function, or "" for other values."""
    home = value.__module__ if inspect.isclass(value) or inspect.isfunction(value) else ""
    return max((page for page in PAGES if f"{home}.".startswith(f"{page}.")), key=len, default="")


@cache
def reference() -> Mapping[str, list[tuple[str, str]]]:
    """The directive and the name of whatever each page documents.

    Every value is documented once, below the shortest path to it, such as art_snn.LIF, on the page
    of the module that defines it."""
    documented: dict[str, list[tuple[str, str]]] = defaultdict(list)
    seen: set[tuple[str, int, str]] = set()
    for module in ("art_snn", *sorted(PAGES, key=lambda page: page.count("."))):
        for name, value in dict(names_of(module)).items():
            kind = "class" if inspect.isclass(value) else "data"
            kind = "function" if inspect.isfunction(value) else kind
            home = page_of(value) or (module if module in PAGES else "art_snn.gradients.rules")
            identity = (kind, id(value), name if kind == "data" else "")
            if identity not in seen and (module, kind) != ("art_snn", "function"):
                seen.add(identity)
                documented[home].append((f"auto{kind}", f"{module}.{name}"))
    return documented


def public(page: str) -> list[tuple[str, str]]:
    """The directive and the name of whatever a page of the reference documents."""
    return reference()[page]


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


COMMON = {
    "x": "samples ``(N, *input_shape)``.",
    "y": "their true classes (N,).",
    "eps": "budget in the norm, in the unit of the samples.",
    "norm": 'numpy.inf or 2; for event frames 0 or "shift".',
    "estimator": "classifier under attack.",
    "classifier": "classifier of the network.",
    "network": "a :class:`~art_snn.SpikingNetwork`.",
    "batch_size": "samples per pass.",
    "seed": "seed of all random draws.",
    "verbose": "show progress.",
    "settings": "options of the command.",
}
"""Of parameters of classes and functions, where no docstring describes them."""


def parameters(docstring: str | None) -> dict[str, str]:
    """The texts of the parameters of a docstring, also of several in one line."""
    texts = {}
    text = "\n".join(prepare_docstring(docstring or ""))
    for entry in re.finditer(r"^:param ([\w, ]+): (.*(?:\n +.*)*)", text, re.MULTILINE):
        first, *others = re.split(r"; (\w+): ", re.sub(r"\s+", " ", entry[2]))
        texts |= dict.fromkeys(entry[1].split(", "), first)
        texts |= dict(zip(others[::2], others[1::2], strict=True))
    return texts


def describe_parameters(
    app: Sphinx, what: str, name: str, value: Any, _: Any, lines: list[str]
) -> None:
    """Give every parameter a line, from the docstring, that of a base class, or the common ones."""
    function = value.__init__ if inspect.isclass(value) else getattr(value, "__func__", value)
    accepted = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
    given = parameters("\n".join(lines))
    text = re.sub(r"^:param .*(\n +.*)*\n?", "", "\n".join(lines), flags=re.MULTILINE)
    kind = value
    if accepted and what == "method":
        around = function.__qualname__.rpartition(".")[0]
        kind = vars(sys.modules[function.__module__]).get(around)
    texts = {} if what == "method" else dict(COMMON)
    for base in reversed(inspect.getmro(kind)) if inspect.isclass(kind) else ():
        described = vars(base).get(function.__name__) if what == "method" else base
        if base.__module__.startswith("art_snn"):
            texts |= parameters(getattr(described, "__doc__", None))
    texts |= given
    names = dict.fromkeys([*accepted, *given])
    rows = [f":param {name}: {texts[name]}" for name in names if name in texts]
    start = re.search(r"^:(return|raises)|\Z", text, re.MULTILINE).start()
    lines[:] = [*text[:start].rstrip().split("\n"), "", *rows, *text[start:].split("\n")]


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
        parts = link["name"].split(".")
        ends = [".".join(parts[start:]) for start in range(len(parts))]
        names = [name for name, one in objects.items() if one.docname == f"_api/{link['module']}"]
        anchors = [name for end in ends for name in names if f".{name}".endswith(f".{end}")]
        return f'{link["page"]}#{anchors[0]}"' if anchors else f'{link["page"]}"'

    if page.startswith("_modules/"):
        objects = app.env.domains.python_domain.objects
        pattern = r'(?P<page>href="[./]*_api/(?P<module>[\w.]+)\.html)#(?P<name>[\w.]+)"'
        body = re.sub(pattern, corrected, context["body"])
        context["body"] = re.sub(r'<li><a href="builtins.html">.*</li>', "", body)


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", link_back)
    app.connect("source-read", link_notebooks)
    app.connect("doctree-read", leave_out_index)
    app.connect("autodoc-process-docstring", describe)
    app.connect("autodoc-process-docstring", describe_parameters)
    app.connect("autodoc-process-signature", plain, priority=600)
