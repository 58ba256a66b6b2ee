"""art-snn scaling: files, options, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from art_snn.app.attack import Attack
from art_snn.app.scaling import PGD
from art_snn.gradients import parse_rules
from art_snn.measuring import process
from art_snn.measuring.workload import CostRow, Workload
from tests.app.scaling.standins import MIB, names
from tests.command import call

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
        if isinstance(rows, CostRow):
            return load.steps * MIB
        return dict.fromkeys(names(rows), float(load.steps))

    monkeypatch.setattr(process, "in_fresh_process", instead)
    return kept


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
    assert load.rules == parse_rules("hart,stbp")
    network = load.architecture
    assert (network.model, network.width, network.decay) == ("vgg5", 0.1, 1.0)
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
    assert loads[0].rules == parse_rules("rga,stbp")
