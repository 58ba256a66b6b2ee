"""Whoever gets an evaluation checks with one command that it is of these weights and samples."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch

from art_snn.app.evaluation.record import read_excerpt
from art_snn.files import read_json, write_arrays, write_json
from tests.command import call, complain
from tests.records import NETWORK, evaluate


@pytest.fixture(scope="module")
def evaluated(trained):
    """A folder with a network, and an evaluation of it that broke samples at both budgets."""
    with pytest.MonkeyPatch.context() as patch:
        words = ("--eps", "0.1,0.3", "--bounds", "--output", "record")
        evaluate(patch, trained, *words, plan=None, training="60 steps")
    return trained


@pytest.fixture
def folder(evaluated, here):
    return shutil.copytree(evaluated, here, dirs_exist_ok=True)


def verify(*words):
    return call("report", "record", "--verify", *NETWORK, *words)


def test_an_evaluation_as_it_was_written_passes(folder):
    excerpt = read_excerpt(folder / "record")
    assert (len(excerpt["x"]), len(excerpt["eps"])) == (20, 2)
    assert excerpt["broken"].any(1).all()
    changed = (excerpt["adversarial"] != excerpt["x"]).any((2, 3, 4))
    np.testing.assert_array_equal(changed, excerpt["broken"])
    done = verify()
    assert (done.status, done.stderr) == (0, "")
    assert "All checks pass." in done.stdout
    names = ("weights", "samples", "summary", "fields", "predictions", "broken samples", "ball")
    for name in (*names, "adversarials", "standing", "certified"):
        assert f"\n{name} " in done.stdout
    assert "A pass does not mean that the number is right" in done.stdout
    assert "Written to" not in done.stdout


def swap(folder, **changes):
    excerpt = read_excerpt(folder / "record")
    arrays = excerpt | {name: change(excerpt) for name, change in changes.items()}
    write_arrays(folder / "record" / "first.npz", **arrays)


def other_weights(folder):
    weights = torch.load(folder / "weights.pt", weights_only=True)
    weights = {name: tensor.flip(0) for name, tensor in weights.items()}
    torch.save(weights, folder / "weights.pt")


def forge(folder, change):
    """Change the content of evaluation.json, whose checksum anybody can compute."""
    file = folder / "record" / "evaluation.json"
    content = read_json(file)
    change(content)
    write_json(file, content)


def other_classes(content):
    """Samples that are right become wrong and back: the form fits, the classes do not."""
    content["clean"] = [(guess + 1) % 10 for guess in content["clean"]]
    content["labels"] = content["clean"]
    for trial in content["trials"]:
        trial["outcome"]["stage"] = [-1] * 30
        # Without bounds all were attacked.
        trial["outcome"]["forwards"] = [max(1, n) for n in trial["outcome"]["forwards"]]
    content["bounds"] = []


def stand(content, first=0):
    """Nothing from that sample on is broken."""
    for outcome in (trial["outcome"] for trial in content["trials"]):
        outcome["stage"][first:] = [max(-2, min(s, -1)) for s in outcome["stage"][first:]]
        outcome["distance"][first:] = [0.0] * (30 - first)
        outcome["votes"] = [int(stage != -1) for stage in outcome["stage"]]
        outcome["forwards"] = [max(9, passes) for passes in outcome["forwards"]]


def certify_all(content):
    right = [a == b for a, b in zip(content["labels"], content["clean"], strict=True)]
    for bounds in content["bounds"]:
        bounds["margin"] = [1.0 if one else -1.0 for one in right]


def forge_all(folder, certified=False):
    forge(folder, stand)
    if certified:
        forge(folder, certify_all)
    swap(folder, broken=lambda one: one["broken"] & False)


def change_one(content, name, value):
    right = content["labels"].index(content["clean"][0])
    content[name][right] = value


def other_plan(content):
    content["plan"] = "mine"
    for trial in content["trials"]:
        trial["name"] = trial["name"].replace("fast", "mine")


FAR = {"adversarial": lambda one: (one["adversarial"] <= 0.5).astype(np.float32)}
TEXTS = {"adversarial": lambda one: one["adversarial"].astype("U8")}
SINGLE = {name: partial(lambda name, one: one[name][0], name) for name in ("eps", "broken")}
SINGLE["adversarial"] = lambda one: one["adversarial"][0]
HARMLESS = {"adversarial": lambda one: np.stack([one["x"], one["x"]])}
FIRST = "record/first.npz"
CONTENTS = {
    "summary": (lambda c: c["summary"][0].update(robust=1.0), "summary: not what trials"),
    "classes": (other_classes, "predictions: "),
    "honest first 20": (lambda c: stand(c, 20), "standing: "),
    "misclassified": (lambda c: change_one(c, "clean", -1), "1 whose class and result"),
    "labels of none": (lambda c: change_one(c, "labels", 99), "1 samples with a class"),
    "size": (lambda c: c["provenance"].update(parameters=10**9), "; another form"),
    "plan": (other_plan, "standing: expected one of"),
}
CASES = {
    **{name: (partial(forge, change=one), line) for name, (one, line) in CONTENTS.items()},
    "weights": (other_weights, "weights: digest "),
    "nothing broken": (forge_all, "standing: "),
    "margins of 1": (lambda folder: forge_all(folder, True), "certified: "),
    "missing": (lambda folder: (folder / FIRST).unlink(), "first.npz: expected"),
    "damaged": (lambda folder: (folder / FIRST).write_bytes(b"PK"), "first.npz: expected"),
    "far": (lambda folder: swap(folder, **FAR), "ball: "),
    "harmless": (lambda folder: swap(folder, **HARMLESS), "fool the network"),
    "flags": (lambda folder: swap(folder, broken=lambda one: ~one["broken"]), "broken samples: "),
    "texts": (lambda folder: swap(folder, **TEXTS), "of other samples or"),
    "no list of budgets": (lambda folder: swap(folder, **SINGLE), "first.npz: expected"),
    "others": (lambda folder: swap(folder, x=lambda one: one["x"][::-1]), "of other samples or"),
}


@pytest.mark.parametrize(("change", "line"), CASES.values(), ids=CASES)
def test_what_does_not_repeat_fails_with_status_3_and_is_named(change, line, folder):
    change(folder)
    done = verify()
    assert done.status == 3
    assert line in done.stderr
    assert done.stderr.startswith("art-snn report: ")
    assert "FAIL" in done.stdout


@pytest.fixture(scope="module")
def drawn(evaluated, tmp_path_factory):
    """The same network with Poisson encoding, certified by draws."""
    folder = tmp_path_factory.mktemp("drawn")
    shutil.copytree(evaluated, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "record")
    model = folder / "model.py"
    model.write_text(model.read_text("utf-8").replace("Direct", "Poisson"), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        words = ("--eps", "0.1", "--bounds", "--draws", "200", "--output", "record")
        evaluate(patch, folder, *words, plan=None)
    return folder


@pytest.mark.parametrize("factor", [1, 2])
def test_certificates_by_draws_of_twice_their_size_fail(factor, drawn, here):
    shutil.copytree(drawn, here, dirs_exist_ok=True)

    def enlarge(content):
        region = content["certificate"]["region"]
        assert max(region["radius"]) > 0
        region["radius"] = [factor * radius for radius in region["radius"]]

    forge(here, enlarge)
    done = verify()
    assert ("certified: 0 of 4" in done.stderr) == (factor == 2), done.stdout
    assert ("certified" not in done.stderr) == (factor == 1)


def test_other_data_fail(folder, data):
    arrays = {"x_train": data.x_train, "y_train": data.y_train}
    np.savez("other.npz", **arrays, x_test=data.x_test[10:25], y_test=data.y_test[10:25])
    done = verify("--data", "other.npz")
    assert done.status == 3
    assert "samples: 0 of 30 are the same; 15 test samples, not 30" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere", "--verify"), "--files: expected an evaluation, as art-snn evaluate writes it"),
        (("record", "--verify"), "--model: expected a network with weights, got none"),
        (("record", "record", "--verify"), "--files: expected one result, got 2"),
        (("record", "--verify", "--output", "a.html"), "--output: expected None with --verify"),
        (("record", "--model", "zoo:digits-at"), "--model: expected None without --verify"),
    ],
)
def test_what_cannot_be_verified_is_refused(words, message, folder):
    assert message in complain("report", *words)
