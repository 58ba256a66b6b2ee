"""Files and drawing of the cost protocol, and the command that runs it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from typer.testing import CliRunner

from art_snn import scaling
from art_snn.cli import app
from art_snn.evaluation.cost import Cell, Growth, TableS2, growth, table_s2
from art_snn.evaluation.cost.load import Load
from art_snn.plotting import memory_against_steps, time_against_steps
from tests.evaluation.test_growth import MIB, figures, photographs, protocol, tiny

COMMAND = (
    *("cost", "--protocol", "table-s2", "--models", "tiny,other", "--steps", "2,4"),
    *("--samples", "6", "--batch", "4", "--image-size", "4", "--repeats", "1", "--threads", "1"),
)


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Load]:
    """What would have been measured; nothing is, and costs T seconds and T MiB."""
    kept: list[Load] = []

    def instead(_: object, load: Load, rows: Any, *__: object) -> Any:
        kept.append(load)
        figure = load.steps * MIB
        return figure if isinstance(rows, str) else dict.fromkeys(rows, float(load.steps))

    monkeypatch.setattr(table_s2, "MODELS", {"tiny": tiny, "other": tiny})
    monkeypatch.setattr(growth, "in_fresh_process", instead)
    return kept


def call(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})


def message_of(done: Any) -> str:
    return " ".join(done.output.replace("│", " ").split())


def test_a_run_writes_figures_table_and_chart(tmp_path):
    grown = scaling.run(protocol(), tmp_path / "made" / "here")
    folder = tmp_path / "made" / "here"
    assert {file.name for file in folder.iterdir()} == {"cost.json", "cost.md", "cost.png"}
    assert json.loads((folder / "cost.json").read_text()) == grown.as_dict()
    assert (
        "| tiny | 4 | 4.000 | 4.000 | 4.000 | 1.00 | 4 | 4 | 1.00 |"
        in (folder / "cost.md").read_text()
    )
    assert (folder / "cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["cost.json", "file"])
def test_an_output_that_is_no_folder_is_refused(name, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((ValueError, FileExistsError), match=r"^output: expected a folder|exists"):
        scaling.run(protocol(), tmp_path / name)


def test_a_line_per_rule_shows_the_figures_and_where_they_come_from():
    ax = time_against_steps(Figure().subplots(), figures(), "tiny")
    measured, fitted = ax.lines[::2], ax.lines[1::2]
    assert [line.get_label() for line in measured] == ["inference", "PGD by RGA", "PGD by STBP"]
    assert [to_hex(line.get_color()) for line in measured] == ["#000000", "#d55e00", "#0072b2"]
    assert [line.get_color() for line in measured] == [line.get_color() for line in fitted]
    assert [list(line.get_xdata()) for line in measured] == [[2, 4]] * 3
    assert [list(line.get_ydata()) for line in measured] == [[1, 2], [3, 5], [4, 8]]
    assert [list(line.get_xdata()) for line in fitted] == [[0, 4]] * 3
    np.testing.assert_allclose([line.get_ydata() for line in fitted], [[0, 2], [1, 5], [0, 8]])
    assert ax.get_ylabel() == "time [s]"
    assert (ax.get_xlim()[0], ax.get_ylim()[0]) == (0, 0)
    assert list(ax.get_xticks()) == [0, 2, 4]


def test_memory_is_drawn_in_mebibytes():
    ax = memory_against_steps(Figure().subplots(), figures(), "tiny")
    assert [list(line.get_ydata()) for line in ax.lines[::2]] == [[1, 1], [8, 8], [2, 4]]
    assert ax.get_ylabel() == "peak memory [MiB]"


def test_figures_that_failed_leave_a_gap():
    whole = figures(steps=(2, 4, 8))
    middle = Cell("tiny", 4, {"rga": 5.0}, {}, {"stbp": "killed"})
    gap = replace(whole, cells=(whole.cells[0], middle, whole.cells[2]))
    shown = {
        line.get_label(): list(line.get_xdata())
        for line in time_against_steps(Figure().subplots(), gap, "tiny").lines
    }
    assert (shown["PGD by RGA"], shown["PGD by STBP"]) == ([2, 4, 8], [2, 8])
    empty = Growth(protocol(), "", (Cell("tiny", 2), Cell("tiny", 4)))
    ax = memory_against_steps(Figure().subplots(), empty, "tiny")
    assert not any(len(line.get_xdata()) for line in ax.lines)


def test_the_chart_has_a_column_per_model():
    figure = scaling.draw(figures(models=("tiny", "other")))
    axes = figure.get_axes()
    assert [ax.get_title() for ax in axes] == ["tiny", "other", "", ""]
    assert [ax.get_ylabel() for ax in axes] == ["time [s]"] * 2 + ["peak memory [MiB]"] * 2
    legend = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert legend == ["inference", "PGD by RGA", "PGD by STBP"]
    assert "10 random images of 1x4x4" in figure.get_suptitle()


def test_the_command_prints_the_table_and_writes_the_folder(tmp_path, loads):
    folder = tmp_path / "out"
    done = call(*COMMAND, "--output", str(folder))
    assert done.exit_code == 0, done.output
    rows = [line.split()[:2] for line in done.stdout.splitlines()]
    assert [row for row in rows if len(row) == 2 and row[1].isdigit()] == [
        *(["tiny", "2"], ["tiny", "4"]),
        *(["other", "2"], ["other", "4"]),
    ]
    assert "over 6 random images of 3x4x4, batch 4" in done.stdout
    assert f"Written to {folder}: cost.json, cost.md, cost.png" in done.stdout
    loads.clear()
    again = call(*COMMAND, "--output", str(folder))
    assert (again.stdout, loads) == (done.stdout, [])
    other = call(*COMMAND, "--output", str(folder), "--decay", "0.9")
    assert other.exit_code == 2
    assert "output: expected a folder without results, or with results of" in message_of(other)


def test_the_command_s_options_reach_the_protocol(tmp_path, loads):
    options = (
        *("--rules", "hart, stbp", "--eps", "8/255", "--eps-step", "0.01", "--iterations", "7"),
        *("--width", "0.5", "--decay", "1", "--keep-memory"),
    )
    done = call(*COMMAND, *options, "--output", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    changes = {"rules": ("hart", "stbp"), "width": 0.5, "decay": 1.0, "keep_memory": True}
    asked = protocol(models=("tiny", "other"), samples=6, channels=3, **changes)
    attack = replace(table_s2.PGD, eps=8 / 255, eps_step=0.01, iterations=7)
    assert loads[0].protocol == replace(asked, attack=attack)


def test_the_command_attacks_in_the_folder_cost_as_the_paper_does(tmp_path, monkeypatch, loads):
    monkeypatch.chdir(tmp_path)
    done = call("cost", "--protocol", "table-s2", "--models", "tiny")
    assert done.exit_code == 0, done.output
    assert "Written to cost: " in done.stdout
    assert (tmp_path / "cost" / "cost.png").exists()
    found = replace(loads[0].protocol, threads=None)
    assert found == TableS2(models=("tiny",))
    assert {load.steps for load in loads} == {4, 8, 16, 32}


@pytest.mark.parametrize(("samples", "count"), [("all", 6), ("5", 5)])
def test_the_command_takes_the_images_of_a_data_set(samples, count, tmp_path, loads):
    data = photographs()
    images = {"x_train": data.x_train[:, :1], "x_test": data.x_test[:, :1]}
    np.savez(tmp_path / "photos.npz", **images, y_train=data.y_train, y_test=data.y_test)
    size = ("--batch", "4", "--samples", samples)
    start = ("cost", "--protocol", "table-s2", "--models", "tiny", "--steps", "2", *size)
    done = call(*start, "--data", str(tmp_path / "photos.npz"), "--output", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert f"over {count} test images of photos of 1x3x5" in done.stdout
    assert max(len(load.x) for load in loads) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "tiny"), "model: expected no --model with --protocol table-s2, which takes"),
        (("--models", "vgg7"), "models: expected names out of tiny, other, got 'vgg7'"),
        (("--steps", "4,x"), "steps: expected whole numbers such as 4,8, got '4,x'"),
        (("--steps", "0"), "steps: expected a whole number >= 1, got 0"),
        (("--samples", "some"), "samples: expected a whole number such as 8, got 'some'"),
        (("--samples", "all"), "samples: expected a number, for random images have no end"),
        (("--eps", "x"), "eps: expected a number such as 0.03 or 8/255, got 'x'"),
        (("--iterations", "0"), "iterations: expected a whole number >= 1, got 0"),
        (("--data", "digits"), "image_size: expected None for digits, whose images have the size"),
        (("--rules", "cba"), "gradient: expected a rule that applies to every neuron"),
        (("--repeats", "0"), "repeats: expected a whole number >= 1, got 0"),
        (("--protocol", "s2"), "protocol: expected gradient or table-s2, got 's2'"),
        (("--output", "cost.json"), "output: expected a folder, for table, chart and figures"),
    ],
)
def test_a_protocol_that_makes_no_sense_is_a_usage_error(options, message, tmp_path, loads):
    done = call(*COMMAND, "--output", str(tmp_path / "out"), *options)
    assert done.exit_code == 2, done.output
    assert message in message_of(done)
    assert not loads


def test_a_data_set_that_does_not_exist_is_a_usage_error():
    done = call("cost", "--protocol", "table-s2", "--models", "tiny", "--data", "none.npz")
    assert done.exit_code == 2
    assert "data: expected a .npz file, but none.npz does not exist" in message_of(done)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--models", "vgg5"), ("--samples", "32"), ("--data", "digits"), ("--width", "1")),
        *(("--eps", "0.1"), ("--eps-step", "0.1"), ("--iterations", "5")),
    ],
)
def test_an_option_of_the_other_protocol_is_a_usage_error(option, value):
    done = call("cost", option, value)
    assert done.exit_code == 2
    assert f"expected no {option} with --protocol gradient. Leave it out." in message_of(done)


def test_one_gradient_has_one_number_of_steps_and_a_file(tmp_path):
    done = call("cost", "--steps", "4,8")
    assert done.exit_code == 2
    assert "steps: expected a whole number such as 8, got '4,8'" in message_of(done)
    done = call("cost", "--output", str(tmp_path))
    assert done.exit_code == 2
    assert "output: expected a JSON file, got the folder" in message_of(done)
