"""`make gpu-check` as far as a processor goes: what it resumes, and what it says of failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn.app import cost
from art_snn.app.resume import write_result
from art_snn.measuring import process
from art_snn.measuring.process import ProcessFailed
from tests import gpu_check
from tests.gpu_check import FAILED, SUMMARY, Plan, check, main


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    small = Plan.small(tmp_path / "out", "cpu")
    return replace(small, steps=(2,), precisions=("fp32", "bfloat16"))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Work in this process, without the tests; the list of what was done."""
    done: list[str] = []

    def in_place(call: Callable[..., Any], *given: Any) -> Any:
        if call.__name__ == "peak_of":
            return 2**20
        done.append(call.__name__)
        return call(*given)

    monkeypatch.setattr(process, "in_fresh_process", in_place)

    def passed(folder: Path) -> None:
        if not (folder / "tests.json").exists():
            done.append("tests")
            write_result(folder / "tests.json", {"counts": "3 passed", "seconds": 1})

    monkeypatch.setattr(gpu_check, "run_tests", passed)
    return done


def test_everything_is_done_once_and_what_is_missing_again(plan, jobs):
    assert check(plan)
    done = ["tests", "measured", "measured", "seconds_of"]
    assert jobs == done
    text = (plan.output / SUMMARY).read_text()
    for words in ("no card", "3 passed", "one gradient, fp32", "PGD, torch's defaults", "0.587"):
        assert words in text
    assert "Not measured yet." not in text
    (plan.output / "cost" / "fp32-T2" / "cost.json").unlink()
    assert check(plan)
    assert jobs == [*done, "measured"]
    write_result(plan.output / "machine.json", {"card": "Other Card"})
    with pytest.raises(ValueError, match=r"^output: .*card, driver and versions"):
        check(plan)


def test_what_fails_is_printed_stops_nothing_else_and_is_tried_again(
    plan, jobs, monkeypatch, capsys
):
    def short(settings: cost.Settings) -> None:
        if settings.attack_dtype is None:
            raise ProcessFailed("torch.OutOfMemoryError: CUDA out of memory", "all of it")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--output", str(plan.output)]) == 2
    assert "sees no CUDA device" in capsys.readouterr().err
    with monkeypatch.context() as failing:
        failing.setattr(gpu_check, "measure", short)
        failing.setattr(gpu_check.Plan, "small", lambda output, device: plan)
        assert main(["--small", "--device", "cpu", "--output", str(plan.output)]) == 1
    reason = "cost/fp32-T2 failed: torch.OutOfMemoryError: CUDA out of memory"
    assert reason in capsys.readouterr().err
    assert f"- {reason}\n" in (plan.output / SUMMARY).read_text()
    assert "all of it" in (plan.output / "cost" / "fp32-T2" / FAILED).read_text()
    assert check(plan)
    assert "failed" not in (plan.output / SUMMARY).read_text()
