"""What one input gradient, training step or attack costs, on networks that take no time."""

import json
import math
import platform
import re
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_snn.app import cost
from art_snn.app.cost import Costs, build_network, draw_samples, make_call, measure_row_peak, run
from art_snn.app.machine import describe_machine, measure_medians, measure_peak
from art_snn.app.results import from_json, read_result
from art_snn.app.settings import Cost
from art_snn.checks import ArgumentError
from tests.command import python
from tests.interop import adapted
from tests.own import own

SMALL: dict[str, Any] = {"model": ("vgg5",), "steps": (2,), "width": 0.1, "batch_size": 2}
SMALL |= {"image_size": 8, "channels": 1, "repeats": 1}


@pytest.fixture
def peaks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Peaks are not measured but a MiB each; the rows that were asked for."""
    asked: list[str] = []

    def peak(load: Cost, row: str) -> int:
        model, steps = load.model, load.steps
        asked.append(f"{model[0]} {steps and steps[0]} {row}")
        return 2**20

    monkeypatch.setattr(cost, "measure_row_peak", peak)
    return asked


def settings(output: Path, **change: Any) -> Cost:
    return Cost(output=output, **SMALL | change)


def cells(costs: Costs) -> list[list[str]]:
    lines = costs.render("markdown").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]


def test_every_row_is_measured_in_time_and_memory_and_written(tmp_path, peaks):
    costs = run(settings(tmp_path / "made" / "here"))
    (cell,) = costs.cells
    rows = ["inference", "rga", "stbp", "stock rga", "stock stbp"]
    assert list(cell.seconds) == list(cell.peak) == rows
    assert peaks == [f"vgg5 2 {row}" for row in rows]
    assert all(value > 0 for value in cell.seconds.values())
    assert cell.ratio("seconds", "inference") == cell.ratio("peak", "inference") == "1.00"
    text = " ".join(costs.render().split())
    title = "One gradient: vgg5 of width 0.1, T = 2, decay 0.5, direct encoding, batch 2, 1x8x8"
    assert title in text
    assert [row[0] for row in cells(costs)[2:]] == [
        *("inference, no gradient", "gradient by RGA", "gradient by STBP"),
        *("ART's stock classifier, RGA", "ART's stock classifier, STBP"),
    ]
    folder = tmp_path / "made" / "here"
    assert {file.name for file in folder.iterdir()} == {*costs.files} == {"cost.json", "cost.md"}
    content = read_result(folder / "cost.json")
    assert content == costs.as_dict()
    assert content["settings"]["batch_size"] == 2


@pytest.mark.usefixtures("peaks")
def test_rules_with_settings_a_network_of_the_user_and_an_attack_are_rows(tmp_path):
    change = dict.fromkeys(("width", "steps", "channels", "image_size"))
    change |= {"rules": "rga(beta=1),mean(rga, stbp)", "attack": "pgd(max_iter=2)"}
    change["model"] = (own(tmp_path),)
    costs = run(settings(tmp_path / "out", **change))
    assert list(costs.cells[0].seconds) == ["inference", "rga(beta=1)", "mean(rga, stbp)"]
    text = costs.render()
    assert "attack pgd(max_iter=2) by rga(beta=1)" in text
    assert "1x4x4" in text


def test_several_models_and_time_steps_give_growth(tmp_path, peaks):
    model = adapted.own(tmp_path)
    change = {"model": ("vgg5", model), "width": None, "steps": (2, 4), "image_size": 4}
    costs = run(settings(tmp_path / "out", **change))
    cells = [("vgg5", 2), ("vgg5", 4), (model, 2), (model, 4)]
    assert [(cell.model, cell.steps) for cell in costs.cells] == cells
    assert f"{model} 4 stbp" in peaks
    assert not any("stock" in row for row in costs.rows)
    assert (tmp_path / "out" / "cost.png").is_file()
    assert len(costs.draw().axes) == 4


def test_models_may_be_named_with_commas_between_as_the_pages_do(tmp_path, peaks):
    costs = run(settings(tmp_path, model=("vgg5,cnn4", "vgg11"), rules="stbp", image_size=16))
    assert [cell.model for cell in costs.cells] == ["vgg5", "cnn4", "vgg11"]


def test_a_training_step_uses_the_rule_and_keeps_the_weights(tmp_path, peaks):
    costs = run(settings(tmp_path, training_step=True, train_dtype="bfloat16"))
    assert list(costs.cells[0].seconds) == ["inference", "stbp"]
    assert "Training steps: bfloat16." in costs.render()
    load = settings(tmp_path, training_step=True)
    x, y = draw_samples(load, 2)
    network = build_network(load, x, y)
    before = [weight.clone() for weight in network.parameters()]
    assert math.isfinite(make_call(load, "stbp", network, x, y)())
    assert all(map(torch.allclose, before, network.parameters()))
    assert any(weight.grad is not None and weight.grad.any() for weight in network.parameters())


@pytest.mark.slow
def test_the_peak_of_a_row_is_taken_in_a_process_of_its_own(tmp_path):
    assert measure_row_peak(settings(tmp_path), "stbp") >= 0
    assert measure_row_peak(settings(tmp_path), "stbp", apart=False) >= 0


@pytest.mark.usefixtures("peaks")
def test_a_row_whose_process_is_killed_has_no_memory_and_says_so(tmp_path, monkeypatch):
    def killed(_: Cost, row: str) -> int:
        if row == "stbp":
            raise BrokenProcessPool
        return 2**20

    monkeypatch.setattr(cost, "measure_row_peak", killed)
    costs = run(settings(tmp_path))
    assert cells(costs)[4][3:] == [r"\-", r"\-"]
    assert "stbp of vgg5, T = 2: its process was killed, as when memory" in costs.render()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ("nope",)}, "^model: expected one of vgg5"),
        ({"model": ()}, "^model: expected at least one"),
        ({"model": ("vgg5", "vgg5")}, "^model: expected"),
        ({"steps": (0,)}, "^steps: expected a whole number"),
        ({"steps": (2, 2)}, "^steps: expected"),
        ({"steps": (2, 10**20)}, "^steps: expected a whole number from 1 to 100000, got"),
        ({"rules": "sgd"}, "^rules: expected one of 'stbp'"),
        ({"rules": "cba"}, "^rules: .*IF neurons only"),
        ({"attack": "cw"}, "^attack: expected the class of an evasion attack"),
        ({"training_step": True, "attack": "pgd"}, "^attack: expected None with training"),
        ({"training_step": True, "batch_size": 1}, "^batch_size: expected at least 2"),
        ({"train_dtype": "auto"}, "^train_dtype: expected None without training"),
        ({"batch_size": 0}, "^batch_size: expected a whole number >= 1"),
        ({"device": "gpu"}, "^device: expected a device that torch can see"),
    ],
)
def test_loads_that_cannot_be_measured_are_refused_before_anything_is(change, message, tmp_path):
    if change.get("device") == "gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ArgumentError, match=message):
        run(settings(tmp_path / "out", **change))
    assert not (tmp_path / "out").exists()


def by_hand(*steps: int) -> Costs:
    """RGA takes twice the time of inference and STBP four times; all grow with T."""
    rows = {"inference": 1.0, "rga": 2.0, "stbp": 4.0}
    peak = {row: factor * 2**20 for row, factor in rows.items()}
    seconds = [{row: factor * t for row, factor in rows.items()} for t in steps]
    pairs = zip(steps, seconds, strict=True)
    measured = [{"model": "vgg5", "steps": t, "seconds": s, "peak": peak} for t, s in pairs]
    words = {"title": "One gradient: a network", "what": "gradient", "machine": "a machine"}
    content = {"settings": {"repeats": 3}, "cells": measured, "remarks": []}
    return from_json(words | content, Costs)


def test_ratios_and_tables_follow_from_the_figures():
    one = by_hand(8)
    assert cells(one)[0] == ["one gradient", "seconds", "x inference", "peak MiB", "x inference"]
    assert cells(one)[3] == ["gradient by RGA", "16.000", "2.00", "2", "2.00"]
    assert "a machine; median of 3 rounds in turn; memory above the model" in one.render()
    growth = cells(by_hand(4, 8))
    assert growth[2][:2] == ["vgg5", "4"]
    assert growth[2][5] == "0.50"


def test_medians_are_taken_in_turn_after_a_round_that_does_not_count():
    calls: list[str] = []
    seconds = measure_medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4
    assert list(seconds) == ["a", "b"]


def test_the_peak_of_a_call_is_what_memory_rises_by():
    kept: list[np.ndarray] = []
    rise = measure_peak(lambda: kept.append(np.ones(2**23)), "cpu")
    assert 2**26 <= rise + 2**22 <= 2**28


def test_the_machine_is_described_by_processor_threads_and_torch():
    text = describe_machine("cpu")
    assert re.fullmatch(rf".+, \d+ threads, torch {re.escape(torch.__version__)}", text)


FAULTS = """
import json, os, resource, torch
from art_snn.app.cli import run_command

os.environ.pop("ART_SNN_KEEP_MEMORY", None)

def again():
    torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def after(**environment):
    os.environ.update(environment)
    run_command(["zoo"])
    for name in environment:
        del os.environ[name]
    return again()

refusing = [{"ART_SNN_KEEP_MEMORY": "0"}, {"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": ""}]
print(json.dumps([again(), *(after(**one) for one in refusing), after()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no other library can")
def test_commands_keep_freed_memory_unless_the_environment_speaks_against_it():
    """Pages that the process still has cause no faults: a tensor of 64 MiB is made anew."""
    done = python("-c", FAULTS)
    *given_back, kept = json.loads(done.stdout.splitlines()[-1])
    assert min(given_back) >= 2**26 // 2**21  # Pages have two MiB at most.
    assert kept < min(given_back) / 4
