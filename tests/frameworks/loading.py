"""A framework's modules where the framework is installed, and a skipped file where it is not."""

from __future__ import annotations

import importlib
import warnings
from importlib import metadata
from typing import Any

import pytest


def load(package: str, version: str, *modules: str) -> list[Any]:
    """The modules, of a version that starts so; otherwise one line in the report of skips."""
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        found = "none"
    if not found.startswith(version):
        pytest.skip(f"needs {package} {version}, found {found}", allow_module_level=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [importlib.import_module(module) for module in modules]
