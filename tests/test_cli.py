"""The command line: exit codes, output and complaints."""

import json

import pytest
from typer.testing import CliRunner

from art_snn import __version__
from art_snn.cli import app


def call(*arguments: str):
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_the_version_is_printed():
    assert call("--version").stdout.strip() == __version__


def test_help_lists_the_commands():
    text = call("--help").stdout
    assert all(command in text for command in ("demo", "cost"))


def test_the_demo_prints_its_table_and_its_verdict(tmp_path):
    done = call(
        "demo", "--output", str(tmp_path), "--epochs", "1", "--test-images", "16", "--device", "cpu"
    )
    assert done.exit_code == 0, done.output
    assert "Attack success among the correctly classified" in done.output
    assert "Which gradient was stronger" in done.output
    assert json.loads((tmp_path / "results.json").read_text())["seed"] == 0


def test_the_cost_is_printed_and_written(tmp_path):
    done = call(
        *("cost", "--model", "vgg5", "--steps", "2", "--batch", "2", "--image-size", "8"),
        *("--repeats", "1", "--keep-memory", "--output", str(tmp_path / "cost.json")),
    )
    assert done.exit_code == 0, done.output
    assert "x inference" in done.output
    assert "freed memory kept" in done.output
    written = json.loads((tmp_path / "cost.json").read_text())
    assert (written["repeats"], written["workload"]["keep_memory"]) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cost", "--model", "vgg7"), "model: expected one of vgg5, vgg11, vgg16, got 'vgg7'"),
        (("cost", "--steps", "0"), "steps: expected a whole number >= 1, got 0"),
        (("demo", "--epochs", "0"), "epochs"),
        (("demo", "--device", "tpu"), "device_type: expected 'gpu' or 'cpu', got 'tpu'"),
        (("dmo",), "No such command"),
    ],
)
def test_bad_arguments_are_usage_errors(arguments, message):
    done = call(*arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())
