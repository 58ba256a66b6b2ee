"""art_snn: attack, train and evaluate spiking networks with the Adversarial Robustness Toolbox."""

import ast
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# Without ipywidgets tqdm warns in red at its first import in a notebook, such as by ART. Its bars
# are text there, and good ones.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "IProgress not found")
    import_module("tqdm.auto")

# The stub has the names for type checkers; here they are imported when first asked for, since torch
# and ART take seconds.
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8")).body
_MODULES = {
    a.name: f.module for f in _STUB if isinstance(f, ast.ImportFrom) for a in f.names
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """A public name or a module."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
