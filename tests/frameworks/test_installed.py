"""Tests of the frameworks run on the package that is installed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import art_snn


def test_an_installed_wheel_comes_before_the_sources():
    """An editable installation has no modules of its own."""
    files = metadata.files("art-snn") or []
    modules = [file.locate() for file in files if file.as_posix() == "art_snn/__init__.py"]
    assert modules in ([], [Path(art_snn.__file__)])
