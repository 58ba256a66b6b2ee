"""What one input gradient costs, on a network that takes no time."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn.experiments.cost import Cost, Settings, run
from art_snn.files import read_json
from art_snn.gradients import chosen
from art_snn.models import Architecture
from tests.own import own

ROWS = ("inference", "rga", "stbp", "stock rga", "stock stbp")
TITLES = (
    "inference, no gradient",
    "gradient by RGA",
    "gradient by STBP",
    "ART's stock classifier, RGA",
    "ART's stock classifier, STBP",
)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peaks are taken in this process, where freed memory is used again: all are a MiB and more.

    Processes of their own are tested with the measuring.
    """
    module = importlib.import_module("art_snn.experiments.cost.run")
    monkeypatch.setattr(module, "in_fresh_process", lambda call, *given: 2**20 + call(*given))


def settings(output: Path, **change: Any) -> Settings:
    small = {"architecture": Architecture(model="vgg5", steps=2), "batch_size": 2, "repeats": 1}
    return Settings(output=output, **small | {"image_size": 8, "channels": 1} | change)


def figures(rules: tuple[str, ...] = ("rga", "stbp"), **workload: Any) -> Cost:
    """Inference takes two seconds and one MiB, the next row twice that, and so on."""
    rows = ("inference", *rules, "stock rga", "stock stbp")
    seconds = {row: 2.0 * (i + 1) for i, row in enumerate(rows)}
    peak = {row: 2**20 * (i + 1) for i, row in enumerate(rows)}
    told = {"rules": list(rules), "keep_memory": False} | workload
    return Cost("One input gradient: a network", told, "a machine", 3, seconds, peak)


def cells(cost: Cost) -> list[list[str]]:
    lines = cost.told("markdown").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]


def test_every_row_is_measured_in_time_and_memory_and_written(tmp_path):
    cost = run(settings(tmp_path / "made" / "here"))
    assert tuple(cost.seconds) == tuple(cost.peak) == ROWS
    assert all(value > 0 for value in cost.seconds.values())
    assert cost.ratio("inference") == cost.memory_ratio("inference") == 1
    text = cost.told()
    assert all(title in text for title in TITLES)
    assert "One input gradient: vgg5, T = 2, decay 0.5, direct encoding, batch 2, 1x8x8" in text
    folder = tmp_path / "made" / "here"
    assert {file.name for file in folder.iterdir()} == {"cost.json", "cost.md", "cost.png"}
    content = read_json(folder / "cost.json")
    assert content == cost.as_dict()
    assert content["workload"]["architecture"]["model"] == "vgg5"
    assert content["workload"]["rules"] == ["rga", "stbp"]
    assert (folder / "cost.md").read_text().startswith("One input gradient: vgg5")
    assert (folder / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_the_rules_decide_which_rows_there_are(tmp_path):
    cost = run(settings(tmp_path, rules=chosen("hart,pdsg")))
    assert tuple(cost.seconds) == ("inference", "hart", "pdsg", "stock rga", "stock stbp")
    assert [row[0] for row in cells(cost)[2:]] == [
        *("inference, no gradient", "gradient by HART", "gradient by PDSG"),
        *("ART's stock classifier, RGA", "ART's stock classifier, STBP"),
    ]


def test_a_rule_of_several_and_one_under_a_name_of_one_s_own_are_rows(tmp_path):
    cost = run(settings(tmp_path, rules=chosen("mean-rga-stbp") | {"mine": chosen("rga")["rga"]}))
    assert tuple(cost.seconds)[:3] == ("inference", "mean-rga-stbp", "mine")


@pytest.mark.parametrize(
    ("rules", "compared"), [(("rga", "hart"), 0), (("rga", "stbp", "hart"), 2)]
)
def test_rules_are_set_against_stbp_where_it_is_among_them(rules, compared):
    text = figures(rules).told()
    assert text.count("of the time of one by STBP.") == compared
    assert all(f"gradient by {rule.upper()} " in text for rule in rules)
    # The rows are inference, RGA, STBP, HART: 2, 4, 6 and 8 seconds.
    assert ("A gradient by HART takes 1.33 of the time" in text) == (compared == 2)


def test_ratios_and_the_table_follow_from_the_figures():
    cost = figures()
    assert cost.ratio("stbp") == 3
    assert cost.memory_ratio("rga") == 2
    assert "A gradient by RGA takes 0.67 of the time of one by STBP." in cost.told()
    assert cells(cost)[0] == [
        *("one input gradient", "seconds", "x inference", "peak MiB", "x inference")
    ]
    assert cells(cost)[3] == ["gradient by RGA", "4.000", "2.00", "2", "2.00"]


def test_the_text_says_how_it_was_measured():
    text = figures().told()
    assert "a machine; median of 3 rounds in turn; memory above the model" in text
    assert "freed memory kept" not in text
    assert "memory above the model; freed memory kept" in figures(keep_memory=True).told()


def test_the_picture_has_a_bar_per_row_for_time_and_memory():
    figure = figures().figures()["cost"]
    left, right = figure.axes
    for ax, words in ((left, "time [inferences]"), (right, "peak memory [inferences]")):
        assert [bar.get_width() for bar in ax.patches] == [1, 2, 3, 4, 5]
        assert ax.get_xlabel() == words
    assert left.patches[1].get_facecolor()[:3] == left.patches[3].get_facecolor()[:3]
    assert left.patches[1].get_facecolor() != left.patches[2].get_facecolor()
    assert left.patches[3].get_alpha() == 0.5, "bars of the stock classifier are paler"
    bottom, top = left.get_ylim()
    assert bottom > top, "inference stands above"
    assert figure.get_suptitle() == "One input gradient: a network\na machine"


@pytest.mark.parametrize("model", ["vgg-dvs", "resnet17"])
def test_models_of_images_and_of_event_frames_are_measured(model, tmp_path):
    architecture = Architecture(model=model, width=0.05, steps=3)
    cost = run(settings(tmp_path, architecture=architecture, rules=chosen("rga")))
    assert ("3x1x8x8" if model == "vgg-dvs" else "batch 2, 1x8x8") in cost.title


def test_unless_told_otherwise_the_network_is_vgg11_by_both_rules_of_the_paper():
    usual = Settings()
    assert (usual.output, usual.device, usual.batch_size) == (Path("cost"), "cpu", 32)
    assert usual.architecture.model == "vgg11"
    assert list(usual.rules) == ["rga", "stbp"]
    assert Settings(architecture=Architecture(steps=4)).architecture.model == "vgg11"


def test_a_network_of_the_user_s_own_is_measured_on_the_input_that_it_takes(tmp_path):
    architecture = Architecture(model=own(tmp_path, (2, 5, 5), 7))
    own_ = {"architecture": architecture, "channels": None, "image_size": None}
    load = settings(tmp_path / "out", **own_).workload()
    assert (load.x.shape, load.y.shape) == ((2, 2, 5, 5), (2, 7))
    cost = run(settings(tmp_path / "out", **own_))
    assert tuple(cost.seconds) == ROWS
    assert cost.title == f"One input gradient: {architecture.model}, batch 2, 2x5x5"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 3}, r"^channels: expected 2, which .*mine\.py:build takes, got 3\. Leave it"),
        ({"image_size": 8}, r"^image_size: expected 5, which .*:build takes, got 8\. Leave it out"),
    ],
)
def test_an_input_that_a_network_of_the_user_s_own_does_not_take_is_refused(
    change, message, tmp_path
):
    told = {"architecture": Architecture(model=own(tmp_path, (2, 5, 5), 7))}
    told |= {"channels": None, "image_size": None}
    with pytest.raises(ValueError, match=message):
        run(settings(tmp_path / "out", **told | change))
    assert not (tmp_path / "out").exists()


def test_a_network_of_the_user_s_own_that_takes_no_images_is_refused(tmp_path):
    told = {"architecture": Architecture(model=own(tmp_path, (64,), 7))}
    told |= {"channels": None, "image_size": None}
    with pytest.raises(ValueError, match=r"^image_size: .* of images, got .* shape \(64,\)"):
        run(settings(tmp_path / "out", **told))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": -1}, r"^batch_size: expected a whole number >= 1, got -1"),
        ({"channels": 0}, r"^channels: expected a whole number >= 1, got 0"),
        ({"image_size": 0}, r"^image_size: expected a whole number >= 1, got 0"),
        ({"repeats": 0}, r"^repeats: expected a whole number >= 1, got 0"),
        ({"threads": 0}, r"^threads: expected a whole number >= 1, got 0"),
        ({"device": "tpu"}, r"^device: expected 'gpu' or 'cpu', got 'tpu'"),
        ({"device": "cuda"}, r"^device: expected 'gpu' or 'cpu', got 'cuda'"),
        ({"rules": {}}, r"^rules: expected at least one, got none"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, **options)


def test_a_model_and_steps_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^model: expected one of vgg5, vgg11, .*, got 'vgg7'"):
        Architecture(model="vgg7")
    with pytest.raises(ValueError, match=r"^steps: expected a whole number >= 1, got 0"):
        run(settings(tmp_path / "out", architecture=Architecture(model="vgg5", steps=0)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sgd", "RGA"])
def test_a_rule_of_no_name_is_refused(name):
    with pytest.raises(ValueError, match=rf"^rules: expected one of .*'?stbp'?, .*got '{name}'"):
        chosen(f"rga,{name}")


def test_a_network_whose_inference_takes_no_memory_that_is_seen_has_no_ratio_and_is_drawn():
    cost = replace(figures(), peak=dict.fromkeys(ROWS, 0))
    assert math.isnan(cost.memory_ratio("rga"))
    assert cells(cost)[3] == ["gradient by RGA", "4.000", "2.00", "0", "nan"]
    cost.figures()["cost"].canvas.draw()


def test_a_rule_that_does_not_apply_to_the_neurons_is_refused_before_anything_runs(tmp_path):
    message = r"^rules: expected a rule that applies to every neuron .*CBA\(levels=8\).*decay 1"
    with pytest.raises(ValueError, match=message):
        run(settings(tmp_path / "out", rules=chosen("cba")))
    assert not (tmp_path / "out").exists()


def test_results_are_written_over_by_those_of_the_same_kind_only(tmp_path):
    run(settings(tmp_path))
    again = run(settings(tmp_path, batch_size=3))
    assert read_json(tmp_path / "cost.json") == again.as_dict()


@pytest.mark.parametrize("content", ["", "{", "{}", '{"protocol": {}, "cells": []}', "null"])
def test_results_of_another_kind_are_refused_and_kept(content, tmp_path):
    (tmp_path / "cost.json").write_text(content)
    message = (
        r"^output: expected a folder without results, or with results of the same kind, got "
        r".*cost\.json(, which .*\)| of other settings, weights or samples)\. Choose another folder"
    )
    with pytest.raises(ValueError, match=message):
        run(settings(tmp_path))
    assert (tmp_path / "cost.json").read_text() == content


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_where_there_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^device: expected a device that torch can see"):
        settings(tmp_path, device="gpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none")
def test_the_cost_is_measured_on_a_gpu(tmp_path):
    cost = run(settings(tmp_path, device="gpu", repeats=2))
    assert torch.cuda.get_device_name() in cost.machine
    assert all(value > 0 for value in cost.peak.values())
