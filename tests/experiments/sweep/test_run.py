"""Sweeps over decays: plans, networks per decay, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_snn import strength, sweeping
from art_snn.data import Dataset
from art_snn.evaluation import compare, subject
from art_snn.attacks import Attack
from art_snn.evaluation.subject import Subject
from art_snn.evaluation.sweep import Sweep
from art_snn.gradients import RGA
from art_snn.sweeping import Plan, paper, planned, run
from tests.evaluation.test_compare import interrupt
from tests.evaluation.test_subject import images

COMMON: dict[str, Any] = {"attack": Attack(eps=0.1, iterations=1), "batch_size": 4}
SMALL = Subject(steps=2, epochs=1)


def plans(**change: Any) -> list[Plan]:
    return [
        Plan(sweep=Sweep(values=(1, 2), **COMMON), decays=(1, 0.5)),
        Plan(sweep=Sweep(field="gamma", values=(0, 0.2), **COMMON), **{"decays": (0.5,)} | change),
    ]


def forbidden(*_: Any, **__: Any) -> None:
    raise AssertionError("done although it must not be")


def content(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "sweep.json").read_text())["lines"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeping") / "new"
    run(plans(), SMALL, images(), folder, device_type="cpu")
    return folder


def test_the_paper_s_figure_is_the_plan_unless_something_else_is_asked_for():
    beta, gamma = planned(**COMMON)
    assert (beta.sweep.name, beta.decays) == ("rga.beta", (1, 0.5))
    assert beta.sweep.values == (1, 1.5, 2, 2.5, 3, 3.5, 4)
    assert (gamma.sweep.name, gamma.decays) == ("rga.gamma", (0.9, 0.5))
    assert gamma.sweep.values == (0, 0.1, 0.2, 0.3)
    assert {plan.sweep.attack for plan in (beta, gamma)} == {COMMON["attack"]}
    assert [plan.decays for plan in planned(decays=(0.25,))] == [(0.25,), (0.25,)]
    assert paper() == planned()


def test_a_field_and_its_values_make_a_single_plan():
    (plan,) = planned("hart", "surrogate.width", [0.5, 1], samples=7)
    assert plan.sweep == Sweep(rule="hart", field="surrogate.width", values=(0.5, 1), samples=7)
    assert plan.decays == (1, 0.5)
    (plan,) = planned(field="beta", values=(3,), decays=(0.9, 0.9))
    assert (plan.sweep.rule, plan.decays) == ("rga", (0.9,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rule": "rga"}, r"^field: expected a field and its values, got none\. Give both"),
        ({"values": (1,)}, r"^field: expected a field and its values, got none"),
        ({"field": "beta"}, r"^values: expected a field and its values, got none"),
        ({"decays": ()}, r"^decays: expected at least one, got none"),
        ({"field": "beta", "values": ()}, r"^values: expected at least one, got none"),
    ],
)
def test_half_a_plan_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        planned(**given)


def test_every_decay_has_one_network_and_all_sweeps_one_file(swept):
    assert {str(file.relative_to(swept)) for file in swept.rglob("*") if file.is_file()} == {
        "decay-1/network.pt",
        "decay-0.5/network.pt",
        "sweep.json",
        "sweep.md",
        "sweep.png",
    }
    assert list(content(swept)) == [
        "rga.beta at decay 1",
        "rga.beta at decay 0.5",
        "rga.gamma at decay 0.5",
    ]
    assert content(swept)["rga.beta at decay 1"]["title"].startswith("vgg5, T = 2, decay 1, ")
    text = (swept / "sweep.md").read_text()
    assert "beta of RGA(beta=2.0, gamma=0.2); PGD, eps 0.1, 1 steps of 0.025." in text
    assert "| decay 0.5 | 0.2 (default) |" in text
    assert (swept / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_default_is_as_strong_as_in_the_comparison_of_rules(swept, tmp_path):
    settings = compare.Settings(rules={"rga": RGA()}, repeats=1, **COMMON)
    compared = strength.run(settings, SMALL, images(), tmp_path, device_type="cpu")
    expected = compared.rows["rga"].outcome
    for place, value in (("rga.beta at decay 0.5", "2.0"), ("rga.gamma at decay 0.5", "0.2")):
        entry = content(swept)[place]
        assert entry["default"] == value
        assert entry["correct"] == "".join(str(int(one)) for one in expected.correct)
        assert entry["values"][value]["robust"] == "".join(str(int(o)) for o in expected.robust)


def test_a_run_that_was_killed_is_taken_up_without_training_and_attacking_again(
    swept, tmp_path, monkeypatch
):
    batches = len(range(0, len(images().x_test), 4))
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, at=3 * batches)
        with pytest.raises(KeyboardInterrupt):
            run(plans(), SMALL, images(), tmp_path, device_type="cpu")
    assert not (tmp_path / "sweep.md").exists()
    calls = []
    craft = Attack.craft
    monkeypatch.setattr(Attack, "craft", lambda *a: (calls.append(1), craft(*a))[1])
    monkeypatch.setattr(subject, "train", forbidden)
    run(plans(), SMALL, images(), tmp_path, device_type="cpu")
    assert len(calls) == 4 * batches
    for name in ("sweep.json", "sweep.md"):
        assert (tmp_path / name).read_bytes() == (swept / name).read_bytes()


def test_a_checkpoint_is_attacked_at_its_own_decay(swept, tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "train", forbidden)
    path = swept / "decay-0.5" / "network.pt"
    one = [plans()[1]]
    (panel,) = run(one, SMALL, images(), tmp_path, checkpoint=path, device_type="cpu")
    assert list(panel.lines) == ["decay 0.5"]
    place = "rga.gamma at decay 0.5"
    assert content(tmp_path) == {place: content(swept)[place]}
    assert not list(tmp_path.glob("decay-*"))
    message = r"^decays: expected 0\.5 alone, which the .* checkpoint has, got 1, 0\.5\. Leave out"
    with pytest.raises(ValueError, match=message):
        run(plans(), SMALL, images(), tmp_path, checkpoint=path, device_type="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sweep": Sweep(values=(2, 0.5), **COMMON), "decays": (1, 0.5)},
            r"^values: .*rga\.beta .*got 0\.5 \(beta: expected more than .* with decay 0\.5",
        ),
        (
            {"sweep": Sweep(field="gamma", values=(0.2, 5), **COMMON), "decays": (0.9, 0.75)},
            r"^values: .*rga\.gamma .*got 5\.0 \(gamma: .* a neuron with decay 0\.75",
        ),
        ({"decays": (0.5, 1.5)}, r"^decay: expected a number above 0 and at most 1, got 1\.5"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_training(change, message, tmp_path, monkeypatch):
    monkeypatch.setattr(subject, "train", forbidden)
    asked = [plans()[0], Plan(**{"sweep": plans()[1].sweep, "decays": (0.5,)} | change)]
    with pytest.raises(ValueError, match=message):
        run(asked, SMALL, images(), tmp_path / "out", device_type="cpu")
    assert not (tmp_path / "out").exists()


def test_the_check_of_values_leaves_no_trace_in_the_trained_network(swept, tmp_path):
    data: Dataset = images()
    alone = SMALL.build(data)
    SMALL.train(alone, data, tmp_path)
    trained = SMALL.build(data)
    SMALL.load(trained, swept / "decay-0.5" / "network.pt")
    for ours, theirs in zip(
        alone.state_dict().values(), trained.state_dict().values(), strict=True
    ):
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_a_device_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^device_type: expected 'gpu' or 'cpu', got 'tpu'"):
        sweeping.run(plans(), SMALL, images(), tmp_path, device_type="tpu")
