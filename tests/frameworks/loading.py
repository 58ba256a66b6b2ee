"""Modules of a framework where it is installed; a skipped file or case where it is not."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest

SPIKINGJELLY = "spikingjelly.activation_based"
MODULES = {
    "spikingjelly": ("2.", *(f"{SPIKINGJELLY}.{n}" for n in ("neuron", "layer", "functional"))),
    "spikingjelly old": ("0.0.0.0.14", *(f"{SPIKINGJELLY}.{name}" for name in ("neuron", "layer"))),
    "clock_driven": ("0.0.0.0.14", "spikingjelly.clock_driven.neuron"),
    "snntorch": ("1.", "snntorch"),
    "norse": ("1.", *(f"norse.torch.functional.{n}" for n in ("iaf", "reset")), "norse.torch"),
    "sinabs": ("3.", "sinabs.activation", "sinabs.layers"),
}
"""Version and modules in which the classes of a framework are, by our name of it."""


def load(package: str, version: str, *modules: str) -> list[Any]:
    """The modules, of a version that starts so; otherwise one line in the report of skips."""
    try:
        present = metadata.version(package)
    except metadata.PackageNotFoundError:
        present = "none"
    if not present.startswith(version):
        pytest.skip(f"needs {package} {version}, found {present}", allow_module_level=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [importlib.import_module(module) for module in modules]


def real(name: str) -> Any:
    """The names of the modules of a framework of MODULES, in one namespace."""
    version, *modules = MODULES[name]
    package = modules[0].partition(".")[0]
    members = (vars(module) for module in load(package, version, *modules))
    return SimpleNamespace(**{key: value for part in members for key, value in part.items()})


def cases(name: str, make: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """The cases of a framework, or one case that is skipped where it is not installed."""
    try:
        return list(make(real(name)))
    except pytest.skip.Exception as skipped:
        return [pytest.param(None, marks=pytest.mark.skip(str(skipped)), id=name)]
