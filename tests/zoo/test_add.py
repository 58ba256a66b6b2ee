"""How a training becomes an entry of the zoo."""

import pytest

from art_snn.app.results import weights_digest
from art_snn.checks import ArgumentError
from art_snn.classifier import wrap
from art_snn.data import Source
from art_snn.files import digest
from art_snn.metrics import Share
from art_snn.zoo.entry import MANIFEST, from_text
from tests.evaluations import evaluation, proven, provenance, save, trial
from tests.zoo.shelf import SMALL, added, correct, pictures, tool


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_an_entry_says_what_the_network_is_and_is_made_again_byte_for_byte(tmp_path):
    entry, there = added(tmp_path), data(tmp_path)
    before = files(tmp_path / "zoo")
    assert set(before) == {MANIFEST, "small-plain.safetensors", "samples-pictures.npz"}
    assert entry.architecture == SMALL.fit_to(there).given
    assert (entry.input_shape, entry.classes, entry.recipe["epochs"]) == ((1, 4, 6), 3, 1)
    right = correct(SMALL.build_for(there).eval(), there.x_test, there.y_test)
    assert entry.clean == entry.clean_first == Share(right, 24)
    assert entry.bytes == len(before["small-plain.safetensors"])
    assert added(tmp_path) == entry
    assert files(tmp_path / "zoo") == before
    added(tmp_path, "another", seed=1)
    zoo = from_text((tmp_path / "zoo" / MANIFEST).read_text("utf-8"), "")
    assert [network.name for network in zoo.networks] == ["another", "small-plain"]
    assert tool.as_text(zoo) == (tmp_path / "zoo" / MANIFEST).read_text("utf-8")


def data(tmp_path):
    return Source(data=str(pictures(tmp_path))).load()


def evaluated(tmp_path, seed=0, plan="standard", samples=None):
    """An evaluation of the network with weights of that seed, on the first four test samples."""
    there = data(tmp_path)
    x, y = there.x_test[:4], there.y_test[:4]
    network = SMALL.build_for(there, seed).eval()
    form = weights_digest(wrap(network, there.input_shape, there.classes, (0.0, 1.0), "cpu"))
    content = provenance(weights=form, data=samples or digest("samples", x, y)[:16])
    trials = (trial(plan, 8 / 255, (-2, 0, -1, -1)),)
    bounds = (proven(-1, -1, -1, 2),)
    save(evaluation(*trials, plan=plan, provenance=content, bounds=bounds), tmp_path)
    return tmp_path


def test_the_plan_standard_is_noted_and_stays_with_the_weights(tmp_path):
    (standard,) = added(tmp_path, evaluation=evaluated(tmp_path)).standard
    assert (standard.robust, standard.certified) == (Share(2, 4), Share(1, 4))
    assert (standard.eps, standard.norm, standard.at_most) == (8 / 255, "inf", False)
    assert added(tmp_path).standard == (standard,)
    assert added(tmp_path, seed=1).standard == ()


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ({"seed": 1}, r"^evaluation: expected one of small-plain, got one of other weights"),
        ({"samples": "ab" * 8}, r"^evaluation: expected one of the first test samples of pict"),
        ({"plan": "fast"}, r"^evaluation: expected plan standard, got fast"),
    ],
)
def test_an_evaluation_of_other_weights_samples_or_attacks_is_refused(of, message, tmp_path):
    added(tmp_path, seed=2)
    before = files(tmp_path / "zoo")
    with pytest.raises(ArgumentError, match=message):
        added(tmp_path, evaluation=evaluated(tmp_path, **of))
    assert files(tmp_path / "zoo") == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commands": ("art-snn train --output /tmp/x",)}, "^commands: expected commands for any"),
        ({"licence": ""}, "^licence: expected words, got none"),
        ({"name": "../up"}, "^name: expected a short name"),
        ({"steps": 5}, r"^folder: expected accuracy .* as training\.json says"),
    ],
)
def test_what_no_other_machine_could_use_is_refused(changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "OFF", -1 if "steps" in changes else tool.OFF)
    with pytest.raises(ArgumentError, match=message):
        added(tmp_path, **changes)


def test_a_zoo_that_grows_too_large_and_data_of_other_arrays_are_refused(tmp_path, monkeypatch):
    entry = added(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(tool, "digest_of", lambda data: "ab" * 32)
        with pytest.raises(ArgumentError, match=r"^data: expected the arrays of pictures, got oth"):
            added(tmp_path)
    monkeypatch.setattr(tool, "LARGEST", entry.bytes)
    with pytest.raises(ArgumentError, match=r"^zoo: expected less than .* bytes, got "):
        added(tmp_path)
