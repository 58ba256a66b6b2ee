"""Median time of calls, and their peak memory on Linux, elsewhere and on Windows."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import art_snn
from art_snn.measuring import calls
from art_snn.measuring.calls import keep_freed_memory, medians, peak_during
from art_snn.measuring.process import in_fresh_process

MIB = 2**20


def touch_64_mib() -> float:
    return float(torch.ones(2**24).sum())


def test_peak_memory_sees_a_tensor_that_is_gone_afterwards():
    before = torch.initial_seed(), torch.get_num_threads()
    # In a process of its own, since freed memory of earlier tests would be used again.
    assert 60 * MIB < in_fresh_process(peak_during, touch_64_mib, "cpu") < 90 * MIB
    assert (torch.initial_seed(), torch.get_num_threads()) == before


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt belongs to glibc")
def test_freed_memory_can_be_kept_where_the_c_library_lets_it(monkeypatch):
    assert keep_freed_memory() in (True, False)
    assert float(torch.ones(2**23).sum()) == 2**23
    for error in (AttributeError, OSError, TypeError):
        monkeypatch.setattr(calls.ctypes, "CDLL", Mock(side_effect=error))
        assert keep_freed_memory() is False


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("freebsd", 1024)])
def test_the_lifetime_peak_is_in_bytes_whatever_the_system_counts_in(platform, unit, monkeypatch):
    usage = SimpleNamespace(ru_maxrss=5)
    stand_in = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: usage)
    monkeypatch.setattr(calls, "resource", stand_in)
    monkeypatch.setattr(calls, "CLEAR", Path("/nowhere"))
    monkeypatch.setattr(calls.sys, "platform", platform)

    def rise() -> None:
        usage.ru_maxrss = 12

    assert peak_during(rise, "cpu") == 7 * unit


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The module as a Python without `resource` imports it, and the figures of a psutil."""
    info = SimpleNamespace(peak_wset=1000)
    psutil: Any = ModuleType("psutil")
    psutil.Process = lambda: SimpleNamespace(memory_info=lambda: info)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "resource", None)
        patch.setitem(sys.modules, "psutil", psutil)
        importlib.reload(calls)
        patch.setattr(calls, "CLEAR", Path("/nowhere"))
        yield info
    importlib.reload(calls)


def test_without_the_module_resource_the_peak_is_that_of_psutil(windows):
    assert calls.resource is None

    def rise() -> None:
        windows.peak_wset = 5000

    assert calls.peak_during(rise, "cpu") == 4000


def test_psutil_is_not_needed_to_import_anything(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "resource", None)
        patch.setitem(sys.modules, "psutil", None)
        assert importlib.reload(calls).resource is None
    importlib.reload(calls)
    files = Path(art_snn.__file__).parent.rglob("*.py")
    needed = re.compile(r"^(import|from) (resource|psutil)\b", re.MULTILINE)
    assert [file for file in files if needed.search(file.read_text("utf-8"))] == []


def test_the_module_is_as_it_was_after_a_test_that_reloads_it():
    assert (calls.resource is None) == (sys.platform == "win32")
    assert calls.Path("/proc/self/clear_refs") == calls.CLEAR


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none")
def test_on_a_gpu_the_peak_is_the_allocator_s():
    peak = peak_during(lambda: torch.ones(2**24, device="cuda").sum(), "gpu")
    assert 64 * MIB <= peak < 70 * MIB


def test_medians_run_in_turn_and_do_not_count_the_first_round(monkeypatch):
    with pytest.raises(ValueError, match=r"^repeats: .*>= 1"):
        medians({}, repeats=0)
    order, clock = [], [0.0]
    waits = iter([20, 7, 1, 0, 3, 0, 2, 0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def run(name: str) -> None:
        order.append(name)
        clock[0] += next(waits)

    assert medians({"a": lambda: run("a"), "b": lambda: run("b")}, repeats=3) == {"a": 2, "b": 0}
    assert order == ["a", "b"] * 4
