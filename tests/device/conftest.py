"""Tests of this folder are collected on the stand-in alone: see __main__.py."""

from __future__ import annotations

import sys

import pytest

from art_snn import fused

if "tests.device.standin" not in sys.modules:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused loops are tested by tests/test_gpu.py, and take long to trace."""
    monkeypatch.setenv(fused.SWITCH, "none")
