"""Whoever gets an evaluation checks with one command that it is of these weights and samples."""

import shutil

import numpy as np
import pytest
import torch

from art_snn.app.evaluate.result import SampleExcerpt as First
from art_snn.app.evaluation import Evaluation
from art_snn.app.resume import read_result
from art_snn.files import read_json, write_arrays, write_json
from tests.command import call
from tests.records import NETWORK, evaluate, train_into

EPS = "0.1,0.3"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A folder with a network, and an evaluation of it that broke samples at both budgets."""
    folder = tmp_path_factory.mktemp("evaluated")
    train_into(folder)
    with pytest.MonkeyPatch.context() as patch:
        done = evaluate(patch, folder, "--eps", EPS, "--output", "record", "--training", "60 steps")
    assert done.status == 0, done.stderr
    return folder


@pytest.fixture
def folder(evaluated, tmp_path, monkeypatch):
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*words):
    return call("check", "record", *NETWORK, *words)


def test_an_evaluation_as_it_was_written_passes(folder):
    first = First.read(folder / "record")
    assert (len(first.x), len(first.eps)) == (20, 2)
    assert first.broken.any(1).all()
    changed = (first.adversarial != first.x).any((2, 3, 4))
    np.testing.assert_array_equal(changed, first.broken)
    done = check()
    assert (done.status, done.stderr) == (0, "")
    assert "All checks pass." in done.stdout
    names = ["weights", "samples", "predictions", "broken samples", "ball", "adversarials"]
    content = read_json(folder / "check" / "check.json")
    assert [one["name"] for one in content["checks"]] == names


def test_the_evaluation_notes_what_a_row_of_the_leaderboard_needs(evaluated):
    noted = read_result(evaluated / "record" / "evaluation.json", Evaluation).provenance
    assert (noted.dataset, noted.training, noted.steps) == ("digits", "60 steps", 4)
    assert noted.parameters == 64 * 32 + 32 + 32 * 10 + 10


def swap(folder, **changes):
    first = First.read(folder / "record")
    arrays = vars(first) | {name: change(first) for name, change in changes.items()}
    write_arrays(folder / "record" / "first.npz", **arrays)


def other_weights(folder):
    weights = torch.load(folder / "weights.pt")
    weights = {name: tensor.flip(0) for name, tensor in weights.items()}
    torch.save(weights, folder / "weights.pt")


def other_classes(folder):
    file = folder / "record" / "evaluation.json"
    content = read_json(file)
    right = content["clean"].index(content["labels"][0])
    content["clean"][right] = (content["clean"][right] + 1) % 10
    write_json(file, content)


def far(first):
    return np.where(first.adversarial > 0.5, 0.0, 1.0).astype(np.float32)


CASES = {
    "weights": (other_weights, "weights: digest "),
    "classes": (other_classes, "predictions: 19 of the first 20 are the same (evaluated on"),
    "missing": (lambda folder: (folder / "record" / "first.npz").unlink(), "first.npz: expected"),
    "damaged": (
        lambda folder: (folder / "record" / "first.npz").write_bytes(b"PK"),
        "first.npz: expected the first samples with their adversarials",
    ),
    "far": (lambda folder: swap(folder, adversarial=far), "ball: "),
    "harmless": (
        lambda folder: swap(folder, adversarial=lambda one: np.stack([one.x, one.x])),
        "fool the network",
    ),
    "flags": (lambda folder: swap(folder, broken=lambda one: ~one.broken), "broken samples: "),
    "others": (
        lambda folder: swap(folder, x=lambda one: one.x[::-1]),
        "broken samples: first.npz is of other samples or budgets",
    ),
}


@pytest.mark.parametrize(("change", "line"), CASES.values(), ids=CASES)
def test_what_does_not_repeat_fails_with_status_3_and_is_named(change, line, folder):
    change(folder)
    done = check()
    assert done.status == 3
    assert line in done.stderr
    assert done.stderr.startswith("art-snn check: ")
    assert "FAIL" in done.stdout


def test_other_data_fail(folder, data):
    arrays = {"x_train": data.x_train, "y_train": data.y_train}
    np.savez("other.npz", **arrays, x_test=data.x_test[10:25], y_test=data.y_test[10:25])
    done = check("--data", "other.npz")
    assert done.status == 3
    assert "samples: 0 of the first 15 are the same; 15 test samples, not 30" in done.stderr


def test_what_is_no_evaluation_and_what_has_no_weights_is_refused(folder):
    done = call("check", "nowhere", *NETWORK)
    assert done.status == 2
    assert "folder: expected an evaluation, as art-snn evaluate writes it" in done.complaint
    done = call("check", "record")
    assert done.status == 2
    assert "--checkpoint: expected the weights that were evaluated, got none" in done.complaint
