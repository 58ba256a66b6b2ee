"""Median times of operations that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from art_snn.measuring.timing import medians


def test_medians_run_in_turn_and_do_not_count_the_first_round(monkeypatch):
    order, clock = [], [0.0]
    waits = iter([20, 7, 1, 0, 3, 0, 2, 0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def recorded(name: str) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            clock[0] += next(waits)

        return run

    result = medians({"a": recorded("a"), "b": recorded("b")}, repeats=3)
    assert order == ["a", "b"] * 4
    assert result == {"a": 2, "b": 0}


def test_no_round_is_refused():
    with pytest.raises(ValueError, match=r"^repeats: expected a whole number >= 1, got 0"):
        medians({}, repeats=0)
