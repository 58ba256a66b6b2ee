"""Networks of the zoo on the command line: the table of them, and zoo:NAME in place of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from art_snn.app import compare, curves, inspect, sweep
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluate.target import Target
from art_snn.app.trained import Trained
from art_snn.app.zoo import Listed
from art_snn.checks import ArgumentError
from art_snn.data import RANDOM, Source
from art_snn.metrics import Share
from art_snn.models import Architecture
from art_snn.team import Team
from art_snn.zoo import Standard, Zoo
from art_snn.zoo.entry import MANIFEST, as_text, from_text
from art_snn.zoo.networks import CACHE, FETCHED, VARIABLE
from tests.command import call
from tests.zoo.shelf import added
from tests.zoo.test_manifest import ENTRY, STANDARD

NAME = "zoo:small-plain"


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """A zoo of one network in the folder that ART_SNN_ZOO names, in a folder to work in."""
    added(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "zoo"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "zoo"


def cells(line: str) -> list[str]:
    return [cell for cell in line.split("  ") if cell]


def test_the_table_has_a_row_for_every_network_and_budget(shelf):
    done = call("zoo")
    assert (done.status, done.stderr) == (0, "")
    heads, row = (cells(line) for line in done.stdout.strip().splitlines())
    assert [head.strip() for head in heads][-3:] == ["budget", "standard", "certified"]
    assert [cell.strip() for cell in row[:4]] == ["small-plain", "pictures", "none", "8"]
    assert row[6].strip() == VARIABLE


def test_a_budget_has_its_bound_and_what_is_certified():
    others = replace(
        ENTRY, name="b", standard=(Standard(8 / 255, "inf", Share(1, 2), False, None, ""),)
    )
    rows = Listed([ENTRY, others], {"a-plain": CACHE, "b": FETCHED}).table().rows
    assert [row[0] for row in rows] == ["a-plain", "", "b"]
    assert [row[-3:] for row in rows] == [
        ["0.1 (inf)", "≤ 75.0 %", ""],
        ["0.2 (inf)", "≤ 75.0 %", "25.0 %"],
        ["8/255 (inf)", "50.0 %", ""],
    ]
    assert [row[6] for row in rows] == [CACHE, "", FETCHED]


COMMANDS = {"compare": compare, "curves": curves}
COMMANDS |= {"inspect": inspect, "sweep": sweep}


def settings(command: str, tmp_path: Path, model: str = NAME, **options):
    """The settings of a command about a network, as it is typed."""
    flat = command in ("inspect", "curves")
    trained = {k: options.pop(k) for k in ("checkpoint", "epochs") if k in options}
    architecture = Architecture(model=model, **options.pop("architecture", {}))
    given = {"architecture": architecture, **trained}
    given = given if flat else {"network": Trained(**given)}
    return COMMANDS[command].Settings(output=tmp_path / "out", **given, **options)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_network_brings_its_architecture_its_weights_and_its_data(command, shelf, tmp_path):
    one = settings(command, tmp_path)
    (network,) = one.networks() if command == "curves" else [one.network]
    assert network.checkpoint == shelf / "small-plain.safetensors"
    data = one.source.load()
    assert (data.input_shape, len(data.x_test)) == ((1, 4, 6), 24)
    architecture = network.on(data).architecture
    assert (architecture.model, architecture.width, architecture.steps) == ("cnn4", 0.1, 8)


@pytest.mark.parametrize("command", COMMANDS)
def test_data_that_are_named_and_other_steps_come_first(command, shelf, tmp_path):
    source = Source(data=str(tmp_path / "pictures.npz"))
    one = settings(command, tmp_path, source=source, architecture={"steps": 3})
    (network,) = one.networks() if command == "curves" else [one.network]
    assert one.source == source
    assert network.on(source.load()).architecture.steps == 3


def test_random_samples_of_a_size_remain(shelf, tmp_path):
    source = Source(data=RANDOM, image_size=8)
    assert settings("inspect", tmp_path, source=source, channels=1).source == source


@pytest.fixture
def recorded(shelf) -> Path:
    """The same zoo, with records of its network at two budgets and one in another norm."""
    file = shelf / MANIFEST
    zoo = from_text(file.read_text("utf-8"), file)
    records = (STANDARD, replace(STANDARD, eps=0.2), replace(STANDARD, eps=1.5, norm="2"))
    changed = Zoo((replace(zoo.networks[0], standard=records),), zoo.data)
    file.write_text(as_text(changed), encoding="utf-8")
    return shelf


def target(tmp_path: Path, model: str | None = NAME, **options) -> Target:
    """What an evaluation of the network is about."""
    return Target.resolve(Evaluate(output=tmp_path / "out", model=model, **options), Team())


def test_the_budgets_of_its_record_are_taken_where_none_are_given(recorded, tmp_path):
    one = target(tmp_path)
    assert (one.settings.norm, one.budgets) == ("inf", (0.1, 0.2))
    assert target(tmp_path, norm="2").budgets == (1.5,)
    assert target(tmp_path, eps=(0.3,)).budgets == (0.3,)
    other = target(tmp_path, data=str(tmp_path / "pictures.npz"))
    assert (other.settings.norm, other.budgets) == ("inf", (8 / 255,))


def test_a_network_without_a_record_has_the_usual_budget(shelf, tmp_path):
    one = target(tmp_path)
    assert (one.settings.norm, one.budgets) == ("inf", (8 / 255,))


def test_the_record_stands_below_the_result(recorded):
    given = ("--eps", "0.1", "--attack", "fgsm", "--samples", "6")
    done = call("evaluate", "--model", NAME, *given, "--device", "cpu", "--quiet")
    assert done.status == 0
    _, line = " ".join(done.stdout.split()).split("The zoo's ")
    words = "record at eps 0.1: standard leaves at most 75.0 % (3) of the first 4 test samples."
    assert line.startswith(words)
    assert "on pictures\n" in done.stdout
    assert "zoo's record" not in Path("evaluation/evaluation.md").read_text("utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_weights_next_to_a_network_of_the_zoo_are_refused(command, shelf, tmp_path):
    path = tmp_path / "weights.pt"
    given = (path,) if command == "curves" else path
    with pytest.raises(ArgumentError, match=r"^checkpoint: expected None next to zoo:small-plain"):
        settings(command, tmp_path, checkpoint=given)


def test_the_command_line_runs_it_and_names_the_option_in_complaints(shelf):
    done = call("inspect", "--model", NAME, "--rules", "rga", "--device", "cpu", "--quiet")
    assert (done.status, done.stderr) == (0, "")
    assert "cnn4 of width 0.1, T = 8" in done.stdout
    done = call("inspect", "--model", "zoo:smal-plain")
    assert done.status == 2
    assert "error: --model: expected one of small-plain, got 'smal-plain'. Did you" in done.stderr
    (shelf / "small-plain.safetensors").write_bytes(b"")
    done = call("inspect", "--model", NAME)
    assert (done.status, "error: --model: expected the file of the" in done.stderr) == (2, True)


def test_data_that_the_zoo_does_not_hold_are_to_be_made(tmp_path, monkeypatch):
    added(tmp_path, hold=False)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "zoo"))
    (tmp_path / "pictures.npz").unlink()
    done = call("evaluate", "--model", NAME, "--output", str(tmp_path / "out"))
    assert done.status == 2
    words = "--data: expected samples of pictures, which the zoo does not hold (CC0). Make the file"
    assert words in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", ["train", "harden", "cost", "demo"])
def test_commands_that_take_no_weights_refuse_it(command, shelf):
    done = call(command, "--model", NAME, "--device", "cpu", "--quiet")
    assert (done.status, done.stdout) == (2, "")
    assert f"--model: expected a model to build, got {NAME}, which names a trained" in done.stderr
