"""The list of the zoo, and its networks in commands: their weights, data, records and training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from art_snn.app.evaluate.findings import judge_target
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.verdict import verdicts
from art_snn.app.network import resolve_network
from art_snn.app.settings import Compare
from art_snn.checks import ArgumentError
from art_snn.distributed import ProcessGroup
from art_snn.metrics import Share
from art_snn.zoo import Standard
from art_snn.zoo.entry import MANIFEST, from_text
from art_snn.zoo.networks import VARIABLE
from tests.command import call, complain, succeed
from tests.evaluations import RISES, STAGES, evaluation, save, trial
from tests.findings.conftest import require_plain
from tests.pages import tree
from tests.zoo.shelf import added, tool

NAME = "zoo:small-plain"
RECORD = Standard(8 / 255, "inf", "1101", True, Share(4, 4), Share(1, 4), "1")


@pytest.fixture
def shelf(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of one network with a record, in the present folder."""
    added(here)
    folder = here / "zoo"
    put(folder, RECORD, replace(RECORD, eps=1.5, norm="2", certified=None))
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


def put(folder: Path, *records: Standard) -> None:
    """Give the network of the zoo these records."""
    file = folder / MANIFEST
    zoo = from_text(file.read_text("utf-8"), file)
    changed = zoo._replace(networks=(replace(zoo.networks[0], standard=records),))
    file.write_text(tool.as_text(changed), encoding="utf-8")


def settings(tmp_path: Path, **options) -> Compare:
    return Compare(output=tmp_path / "out", **{"model": NAME} | options)


@pytest.mark.usefixtures("shelf")
def test_the_list_has_a_row_per_network_and_budget():
    head, first, second = succeed("zoo").strip().splitlines()
    assert head.split()[:5] == ["network", "here", "data", "training", "T"]
    assert first.split()[:3] == ["small-plain", "yes", "pictures"]
    assert first.split("  ")[-3:] == ["100.0 %", "at most 75.0 %", "at least 25.0 %"]
    assert first.split()[-13:-8] == ["8/255", "(inf)", "4", "100.0", "%"]
    assert "1.5 (2)" in second


def test_a_network_brings_its_architecture_its_weights_its_data_and_its_training(shelf, tmp_path):
    subject = resolve_network(settings(tmp_path))
    data = subject.load_data()
    assert subject.checkpoint == shelf / "small-plain.safetensors"
    assert (data.name, data.input_shape, len(data.x_test)) == ("pictures", (1, 4, 6), 24)
    settled = subject.settle(data).given
    assert (settled["model"], settled["width"], settled["steps"]) == ("cnn4", 0.1, 8)
    assert subject.entry.standard[0] == RECORD
    assert subject.training == subject.entry.training
    assert subject.classifier(data, "cpu").predict(data.x_test).shape == (24, 3)


def test_data_that_are_named_and_other_steps_come_first(shelf, tmp_path):
    subject = resolve_network(settings(tmp_path, data=str(tmp_path / "pictures.npz"), steps=3))
    assert subject.settle(subject.load_data()).given["steps"] == 3
    assert subject.entry is None


def test_complaints_name_the_option(shelf, tmp_path):
    with pytest.raises(ArgumentError, match=r"^checkpoint: expected None next to zoo:small-plain"):
        resolve_network(settings(tmp_path, checkpoint=tmp_path / "weights.safetensors"))
    words = "--model: expected one of small-plain, got 'smal-plain'. art-snn zoo"
    assert words in complain("inspect", "--model", "zoo:smal-plain")
    (shelf / "small-plain.safetensors").write_bytes(b"")
    complaints = dict.fromkeys(("inspect", "train"), "expected the file of the")
    for command, words in (complaints | {"cost": "expected a model to build, got"}).items():
        found = complain(command, "--model", NAME, "--device", "cpu", "--quiet")
        assert f"error: --model: {words}" in found


@pytest.mark.parametrize(
    ("options", "stage", "eps", "numbers"),
    [
        # The record broke the third sample at 8/255.
        ({}, (-1, -1, -1, -1), 8 / 255, (4, 1, 4)),
        ({}, (0, 0, -1, -1), 0.1, (2, 1, 4)),
        ({"samples": 3}, (-1, -1, -1), 8 / 255, (3, 1, 3)),
        ({"data": "pictures.npz"}, (-1, -1, -1, -1), 8 / 255, (4, 1, 4)),
        ({}, (-1, -1, 0, -1), 8 / 255, None),
        ({}, (-1, -1, -2, -1), 8 / 255, None),
        ({}, (-1, -1, -1, -1), 7 / 255, None),
        ({"norm": "2"}, (-1, -1, -1, -1), 1, None),
        ({"steps": 3}, (-1, -1, -1, -1), 8 / 255, None),
        ({"data": "others.npz"}, (-1, -1, -1, -1), 8 / 255, None),
    ],
)
@pytest.mark.usefixtures("shelf")
def test_a_record_that_broke_more_is_a_finding(options, stage, eps, numbers, tmp_path):
    arrays = dict(np.load(tmp_path / "pictures.npz"))
    np.savez(tmp_path / "others.npz", **(arrays | {"x_test": arrays["x_test"][::-1]}))
    given = {"model": NAME, "eps": (eps,), "samples": 4, "device": "cpu"} | options
    target = Target.resolve(Evaluate(output=tmp_path / "out", **given), ProcessGroup())
    found = list(judge_target(target, [trial("fast", eps, stage)]))
    assert [tuple(one.evidence.values()) for one in found] == [numbers] * (numbers is not None)
    for one in found:
        require_plain(one)
        assert "the record of zoo:small-plain broke 1 of these" in one.sentence
        assert one.sentence.endswith("Sample numbers: 2.")
        made = evaluation(trial("fast", eps, stage), plan="fast", findings=(one,))
        assert [verdict.open for verdict in verdicts(made)] == [True]


@pytest.mark.parametrize("findings", [(), (RISES,)], ids=["closed", "open"])
def test_an_upper_bound_has_one_sign_wherever_it_is_shown(findings, shelf, tmp_path):
    stage = trial("standard", 8 / 255, (-2, 1, -1, -1), STAGES[:2])
    made = evaluation(stage, plan="standard", findings=findings)
    save(made, tmp_path / "made")
    put(shelf, *tool.records(made))
    shown = [call("zoo").stdout, verdicts(made)[0].share]
    for name, more in (("a.html", ()), ("a.md", ()), ("a.tex", ()), ("b.html", ("--board",))):
        done = call("report", "made", "--output", name, *more)
        text = (tmp_path / name).read_text("utf-8")
        shown += [] if more else [done.stdout]  # That of a board counts alone.
        shown.append(tree(text).text if name.endswith("html") else text)
    shown.append((tmp_path / "b.md").read_text("utf-8"))
    for text in shown:
        words = " ".join(text.replace("\\", "").split())
        assert "50.0 %" in words
        assert ("at most 50.0 %" in words) == bool(findings)
        assert "≤" not in words
    (row,) = json.loads((tmp_path / "made" / "evaluation.json").read_text("utf-8"))["summary"]
    assert row["upper_bound"] == bool(findings)
