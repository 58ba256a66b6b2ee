"""`make gpu-check` as far as a processor goes: what is refused, resumed, and told of results."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn.experiments import cost, scaling
from art_snn.experiments.scaling import Cell, Growth
from art_snn.experiments.scaling.settings import Protocol
from art_snn.files import write_json
from art_snn.measuring.process import ProcessFailed
from tests import gpu_check
from tests.command import forbidden, interrupted
from tests.gpu_check import FAILED, SUMMARY, Plan, check, main, measure, summary

ABOUT = {"card": "Some Card", "driver": "570.1", "torch": "2.13.0", "CUDA": "12.8"}
MIB = 2**20


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    small = Plan.small(tmp_path / "out", "cpu")
    return replace(small, steps=(2,), precisions=("fp32", "bfloat16"))


def filled(plan: Plan) -> None:
    """Results made up: RGA takes 3 of the 4 seconds of STBP, and 1 of its 2 MiB."""
    write_json(plan.output / "machine.json", ABOUT)
    write_json(plan.output / "tests" / "tests.json", {"counts": "41 passed", "seconds": 80})
    seconds = {"inference": 2.0, "rga": 3.0, "stbp": 4.0}
    peak = {"inference": MIB, "rga": MIB, "stbp": 2 * MIB}
    for settings in plan.costs:
        title = f"Made up, {settings.output.name}"
        found = cost.Cost(title, settings.as_dict(), "Some Card", 3, seconds, peak)
        write_json(settings.output / "cost.json", found.as_dict())
    asked = plan.scaling
    cells = tuple(Cell(plan.model, steps, seconds, peak) for steps in plan.steps)
    growth = Growth(Protocol.of(asked, asked.images()), "Some Card", cells)
    write_json(plan.output / "scaling" / "scaling.json", growth.as_dict())


def rows_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Work in this process, without the tests; fills a list of what was measured."""
    done: list[str] = []

    def in_place(call: Callable[..., Any], *given: Any) -> Any:
        done.append(call.__name__)
        return call(*given)

    monkeypatch.setattr(gpu_check, "in_fresh_process", in_place)

    def without_peaks(call: Callable[..., Any], *given: Any) -> Any:
        return MIB if call.__name__ == "peak_of" else in_place(call, *given)

    for room in ("cost", "scaling"):
        module = importlib.import_module(f"art_snn.experiments.{room}.run")
        monkeypatch.setattr(module, "in_fresh_process", without_peaks)

    def passed(folder: Path) -> None:
        if not (folder / "tests.json").exists():
            done.append("tests")
            write_json(folder / "tests.json", {"counts": "3 passed", "seconds": 1})

    monkeypatch.setattr(gpu_check, "run_tests", passed)
    return done


def test_without_a_card_it_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu_check, "check", forbidden)
    assert main(["--output", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.err == (
        f"gpu-check: torch {torch.__version__} sees no CUDA device, and this checks nothing but "
        "what needs one.\n"
    )
    assert not (tmp_path / "out").exists()


def test_the_summary_follows_from_what_lies_in_the_folder(plan):
    filled(plan)
    text = summary(plan)
    for name, value in ABOUT.items():
        assert f"- {name}: {value}\n" in text
    assert "Tests marked gpu: 41 passed, in 80 s." in text
    ratios = rows_of(text)[:5]
    assert ratios[0] == ["", "T", "time", "peak memory"]
    assert ratios[2:] == [
        ["one gradient, fp32", "2", "0.750", "0.500"],
        ["one gradient, bfloat16", "2", "0.750", "0.500"],
        ["PGD, torch's defaults", "2", "0.750", "0.500"],
    ]
    assert text.count(".587 in time and .81 in memory, on a 3090") == 2
    assert text.count("these two are the paper's") == 2
    assert "Made up, fp32-T2." in text
    assert "Made up, bfloat16-T2." in text
    assert "## One input gradient: bfloat16\n" in text
    assert "Not measured yet." not in text


def test_what_is_not_there_yet_is_said_to_be_so(plan):
    write_json(plan.output / "machine.json", ABOUT)
    text = summary(plan)
    assert text.count("Not measured yet.") == 5
    assert ".587" not in text


def test_everything_is_done_once_and_what_is_missing_again(plan, here):
    assert check(plan)
    expected = ["tests", "measured", "measured", "seconds_of"]
    assert here == expected
    text = (plan.output / SUMMARY).read_text()
    assert "no card" in text
    assert "Tests marked gpu: 3 passed" in text
    assert "One input gradient: vgg5 of width 0.1, T = 2" in text
    assert "Not measured yet." not in text
    assert check(plan)
    assert here == expected
    (plan.output / "cost" / "fp32-T2" / "cost.json").unlink()
    assert check(plan)
    assert here == [*expected, "measured"]


def test_what_fails_is_told_costs_nothing_else_and_is_tried_again(plan, here, monkeypatch, capsys):
    def short(settings: cost.Settings) -> None:
        if settings.attack_dtype is None:
            raise ProcessFailed("torch.OutOfMemoryError: CUDA out of memory", "all of it")

    with monkeypatch.context() as failing:
        failing.setattr(gpu_check, "measure", short)
        failing.setattr(gpu_check.Plan, "small", lambda output, device: plan)
        assert main(["--small", "--device", "cpu", "--output", str(plan.output)]) == 1
    reason = "cost/fp32-T2 failed: torch.OutOfMemoryError: CUDA out of memory"
    assert reason in capsys.readouterr().err
    assert f"- {reason}\n" in (plan.output / SUMMARY).read_text()
    assert (plan.output / "scaling" / "scaling.json").exists()
    assert "all of it" in (plan.output / "cost" / "fp32-T2" / FAILED).read_text()
    assert check(plan)
    assert "failed" not in (plan.output / SUMMARY).read_text()


def test_a_row_of_the_protocol_without_a_figure_is_a_failure(plan, here, monkeypatch):
    cell = Cell(plan.model, 2, failed={"stbp": "process killed by SIGKILL"})
    found = replace(scaling.run(plan.scaling), cells=(cell,))
    monkeypatch.setattr(gpu_check.scaling, "run", lambda settings: found)
    with pytest.raises(ProcessFailed, match="stbp at T = 2: process killed by SIGKILL"):
        gpu_check.grow(plan.scaling)


def test_a_run_that_is_stopped_says_that_it_can_go_on(plan, here, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "measure", interrupted)
    assert main(["--small", "--device", "cpu", "--output", str(plan.output)]) == 130
    assert "the same command goes on with the rest" in capsys.readouterr().err
    assert "3 passed" in (plan.output / SUMMARY).read_text()


def test_results_of_another_card_are_refused(plan, monkeypatch, capsys):
    filled(plan)
    monkeypatch.setattr(gpu_check, "attempt", forbidden)
    assert main(["--small", "--device", "cpu", "--output", str(plan.output)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: --output: expected a folder without results, or with ")
    assert "results of the same card, driver and versions" in complaint


def test_results_of_other_settings_are_refused(plan, here):
    settings = plan.costs[0]
    measure(settings)
    with pytest.raises(ValueError, match=r"^output: .*results of the same settings"):
        measure(replace(settings, batch_size=3))
    assert here == ["measured"]


@pytest.mark.parametrize("precision", ["fp32", "TF32", "bfloat16"])
def test_precisions_are_set_for_the_measurement_alone(precision, plan, here, monkeypatch):
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    seen: list[Any] = []

    def look(settings: cost.Settings) -> None:
        seen.extend([*(flag.allow_tf32 for flag in flags), settings.attack_dtype])

    monkeypatch.setattr(gpu_check.cost, "run", look)
    measure(plan.cost(precision, 2))
    rounds = precision != "fp32"
    assert seen == [rounds, rounds, precision if precision == "bfloat16" else None]
    assert [flag.allow_tf32 for flag in flags] == before


def test_the_plan_is_that_of_the_paper(tmp_path, monkeypatch):
    for room in ("cost", "scaling"):
        module = importlib.import_module(f"art_snn.experiments.{room}.settings")
        monkeypatch.setattr(module, "require_device", lambda device: None)
    full = Plan(tmp_path)
    assert [one.output.name for one in full.costs[:5]] == [
        *("fp32-T4", "fp32-T8", "fp32-T16", "fp32-T32"),
        "TF32-T4",
    ]
    assert len(full.costs) == 12
    one, growth = full.costs[0], full.scaling
    assert (one.device, one.batch_size, one.architecture.model) == ("gpu", 32, "vgg11")
    assert list(one.rules) == list(growth.rules) == ["rga", "stbp"]
    assert (growth.device, growth.models, growth.batch_size) == ("gpu", ("vgg11",), 32)
    assert (growth.channels, growth.source.image_size) == (3, 32)
    assert growth.attack == scaling.PGD


@pytest.mark.parametrize(("status", "passes"), [(0, True), (1, False), (5, False)])
def test_tests_that_pass_are_not_run_again_and_others_are(status, passes, tmp_path, monkeypatch):
    calls: list[Any] = []

    class Done:
        returncode = status
        stdout = "....\n41 passed, 2 skipped in 3.1s\n" if status < 5 else "no tests ran\n"

    def run(command: list[str], **_: Any) -> Done:
        calls.append(command)
        return Done()

    monkeypatch.setattr(gpu_check.subprocess, "run", run)
    for _ in range(2):
        if passes:
            gpu_check.run_tests(tmp_path)
        else:
            with pytest.raises(ProcessFailed, match=r"pytest: (41 passed|no tests ran)"):
                gpu_check.run_tests(tmp_path)
    assert len(calls) == (1 if passes else 2)
    assert calls[0][2:5] == ["pytest", "-m", "gpu"]
    assert (tmp_path / "tests.txt").read_text() == Done.stdout


@pytest.mark.parametrize(
    ("status", "output", "version"), [(0, "570.1\n570.1\n", "570.1"), (9, "", "unknown")]
)
def test_the_driver_is_told_by_nvidia_smi(status, output, version, monkeypatch):
    class Done:
        returncode, stdout = status, output

    monkeypatch.setattr(gpu_check.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(gpu_check.subprocess, "run", lambda *_, **__: Done())
    assert gpu_check.driver() == version
    monkeypatch.setattr(gpu_check.shutil, "which", lambda name: None)
    assert gpu_check.driver() == "unknown"


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--devise", "cpu"])
    assert "unrecognized arguments: --devise cpu" in capsys.readouterr().err
