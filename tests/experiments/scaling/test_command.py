"""art-snn scaling: files, options, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from art_snn.attacks import Attack
from art_snn.experiments.resume import read_result
from art_snn.experiments.scaling import PGD, run
from art_snn.gradients import rules_named
from art_snn.measuring.workload import Workload
from tests.command import call
from tests.datasets import counts
from tests.experiments.scaling.standins import MIB, photographs, run_module, saved, settings
from tests.own import own

COMMAND = (
    *("scaling", "--models", "vgg5,vgg11", "--steps", "2,4", "--samples", "6", "--threads", "1"),
    *("--batch-size", "4", "--image-size", "4", "--repeats", "1", "--width", "0.05"),
)


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Workload]:
    """What would have been measured; nothing is, and costs T seconds and T MiB."""
    kept: list[Workload] = []

    def instead(_: object, load: Workload, rows: Any, *__: object) -> Any:
        kept.append(load)
        figure = load.steps * MIB
        return figure if isinstance(rows, str) else dict.fromkeys(rows, float(load.steps))

    monkeypatch.setattr(run_module, "in_fresh_process", instead)
    return kept


def test_a_run_writes_figures_table_and_chart(tmp_path):
    folder = tmp_path / "made" / "here"
    grown = run(settings(folder))
    names = {"scaling.json", "scaling.md", "scaling.png"}
    assert {file.name for file in folder.iterdir()} == names
    assert read_result(folder / "scaling.json") == grown.as_dict()
    lines = (folder / "scaling.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert ["vgg5", "4", "4.000", "4.000", "4.000", "1.00", "4", "4", "1.00"] in rows
    assert (folder / "scaling.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["cost.json", "scaling.json", "file"])
def test_an_output_that_is_no_folder_is_refused(name, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^output: expected a folder, for tables, pictures"):
        settings(tmp_path / name)


def test_the_command_prints_the_table_and_writes_the_folder(tmp_path, loads):
    folder = tmp_path / "out"
    done = call(*COMMAND, "--output", str(folder))
    assert done.status == 0, done.stderr
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    assert [row for row in rows if len(row) == 2 and row[1].isdigit()] == [
        *(["vgg5", "2"], ["vgg5", "4"]),
        *(["vgg11", "2"], ["vgg11", "4"]),
    ]
    assert "over 6 random images of 3x4x4, batch 4" in done.stdout
    assert f"Written to {folder}: scaling.json, scaling.md, scaling.png" in done.stdout
    loads.clear()
    again = call(*COMMAND, "--output", str(folder))
    assert (again.stdout, loads) == (done.stdout, [])
    other = call(*COMMAND, "--output", str(folder), "--decay", "0.9")
    assert other.status == 2
    assert "--output: expected a folder without results, or with results of" in other.complaint


def test_the_command_s_options_reach_the_load(tmp_path, loads):
    options = (
        *("--rules", "hart, stbp", "--eps", "8/255", "--eps-step", "0.01", "--iterations", "7"),
        *("--width", "0.1", "--decay", "1", "--keep-memory", "--channels", "1"),
    )
    done = call(*COMMAND, *options, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    load = loads[0]
    assert load.attack == Attack(eps=8 / 255, eps_step=0.01, iterations=7)
    assert load.rules == rules_named("hart,stbp")
    assert (load.architecture.model, load.architecture.width, load.architecture.decay) == (
        *("vgg5", 0.1, 1.0),
    )
    assert (load.keep_memory, load.threads, load.batch_size) == (True, 1, 4)
    assert load.x.shape[1:] == (1, 4, 4)


def test_another_attack_of_steps_than_pgd_is_measured(tmp_path, loads):
    done = call(*COMMAND, "--attack", "mim", "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert loads[0].attack == replace(PGD, name="mim")


def test_the_command_attacks_in_the_folder_scaling_as_the_paper_does(tmp_path, monkeypatch, loads):
    monkeypatch.chdir(tmp_path)
    done = call("scaling", "--models", "vgg5", "--width", "0.05")
    assert done.status == 0, done.stderr
    assert "Written to scaling: " in done.stdout
    assert (tmp_path / "scaling" / "scaling.png").exists()
    assert {load.attack for load in loads} == {PGD}
    assert Attack(name="pgd", eps=2.55 / 255, eps_step=2 / 255, iterations=5) == PGD
    assert {load.steps for load in loads} == {4, 8, 16, 32}
    assert {load.x.shape for load in loads} == {(32, 3, 32, 32)}
    assert loads[0].rules == rules_named("rga,stbp")


@pytest.mark.parametrize(("samples", "count"), [("all", 6), ("5", 5)])
def test_the_command_takes_the_images_of_a_data_set(samples, count, tmp_path, loads):
    path = saved(photographs(), tmp_path).data
    start = ("scaling", "--models", "vgg5", "--steps", "2", "--batch-size", "4", "--width", "0.05")
    done = call(*start, "--samples", samples, "--data", path, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert f"over {count} test images of photographs of 1x3x5" in done.stdout
    assert max(len(load.x) for load in loads) == count


def test_a_network_of_the_user_s_own_is_measured_on_its_own_input(tmp_path, loads):
    model = own(tmp_path, (2, 5, 5), 7)
    start = ("scaling", "--models", model, "--steps", "2,4", "--samples", "6", "--batch-size", "4")
    done = call(*start, "--output", str(tmp_path / "out"))
    assert done.status == 0, done.stderr
    assert "over 6 random images of 2x5x5, batch 4" in done.stdout
    assert {load.y.shape for load in loads} == {(4, 7), (6, 7)}
    for told, wanted in ((("--channels", "3"), "2"), (("--image-size", "8"), "5")):
        done = call(*start, *told, "--output", str(tmp_path / "other"))
        assert done.status == 2
        assert f"error: {told[0]}: expected {wanted}, which {model} takes, got" in done.complaint
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--models", "vgg7"), "--models: expected one of vgg5, vgg11, vgg16, resnet17,"),
        (("--models", "vgg-dvs"), "--models: expected models of images, got vgg-dvs, which takes"),
        (("--models", "vgg5,vgg5"), "--models: expected at least one, and each once, got vgg5, v"),
        (("--models", "none.py:build"), "--width: expected None beside none.py:build, which"),
        (("--steps", "4,x"), "--steps: expected a whole number such as 8, got 'x'"),
        (("--steps", "0"), "--steps: expected a whole number >= 1, got 0"),
        (("--samples", "some"), "--samples: expected a whole number such as 8, got 'some'"),
        (("--samples", "0"), "--samples: expected a whole number >= 1, got 0"),
        (("--samples", "all"), "--samples: expected a number, for random images have no end"),
        (("--eps", "x"), "--eps: expected a number such as 0.03 or 8/255, got 'x'"),
        (("--iterations", "0"), "--iterations: expected a whole number >= 1, got 0"),
        (("--data", "digits"), "--image-size: expected None for digits, whose images have the"),
        (("--data", "digits", "--channels", "1"), "--channels: expected None beside digits, whose"),
        (("--channels", "0"), "--channels: expected a whole number >= 1, got 0"),
        (("--test-share", "0.5"), "--test-share: expected None for random images, got 0.5"),
        (("--rules", "cba"), "--rules: expected a rule that applies to every neuron"),
        (("--rules", "sgd"), "--rules: expected one of"),
        (("--repeats", "0"), "--repeats: expected a whole number >= 1, got 0"),
        (("--batch-size", "0"), "--batch-size: expected a whole number >= 1, got 0"),
        (("--output", "cost.json"), "--output: expected a folder, for tables, pictures and"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_a_usage_error(options, message, tmp_path, loads):
    done = call(*COMMAND, "--output", str(tmp_path / "out"), *options)
    assert done.status == 2, done.stderr
    assert f"art-snn scaling: error: {message}" in done.complaint
    assert not loads
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", ["none.npz", "events.npz"])
def test_data_that_are_no_images_are_a_usage_error(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts(tmp_path / "events.npz")
    wanted = {
        "none.npz": "--data: expected a .npz file, but none.npz does not exist",
        "events.npz": "--data: expected images, got events, which holds event frames",
    }
    done = call("scaling", "--models", "vgg5", "--width", "0.05", "--data", data)
    assert done.status == 2
    assert wanted[data] in done.complaint


@pytest.mark.parametrize("option", ["--model", "--protocol", "--batch", "--encoder", "--seed"])
def test_an_option_of_other_commands_or_of_earlier_versions_is_unknown(option, tmp_path, loads):
    done = call(*COMMAND, option, "1", "--output", str(tmp_path / "out"))
    assert done.status == 2
    assert f"Unrecognized options: {option}" in done.complaint
    assert not loads


def test_help_lists_the_command_beside_cost():
    shown = call("--help").stdout
    assert "\n  cost " in shown
    assert "\n  scaling " in shown
