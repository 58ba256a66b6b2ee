"""What is recorded: settings, the networks of several decays, and one network's recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from art_snn import RGA, checkpoint
from art_snn.curves import curves_of, record
from art_snn.data import Dataset
from art_snn.evaluation.deviations import panel
from art_snn.evaluation.recording import Recording, Settings, label, subjects_of
from art_snn.evaluation.subject import Subject
from tests.conftest import varied


@pytest.fixture(scope="module")
def samples() -> Dataset:
    draw = np.random.default_rng(varied())
    x, y = draw.random((6, 1, 4, 4), dtype=np.float32), np.arange(6) % 3
    return Dataset("mine", x[:2], y[:2], x[2:], y[2:])


def test_a_recording_holds_the_pairs_of_the_test_samples_against_the_subject_s_curves(samples):
    subject = Subject(steps=3, decay=0.9, threshold=0.1)
    settings = Settings(layer=2, pairs=50, batch_size=3, seed=5, rule=RGA(beta=3, gamma=0.1))
    network = subject.build(samples)
    found = Recording.of(settings, subject, network, samples)
    expected = record(network, samples.x_test, 2, pairs=50, batch_size=3, seed=5)
    for name in ("layer", "places", "sample", "neuron", "current", "rate"):
        assert np.array_equal(getattr(found.pairs, name), getattr(expected, name))
    assert found.pairs.sample.max() == 3
    title = "vgg5, T = 3, decay 0.9, threshold 0.1, direct encoding on mine"
    curves = curves_of(0.9, 0.1, RGA(beta=3, gamma=0.1))
    assert found.panel == panel(title, 0.9, expected, curves)
    assert found.subject == subject


@pytest.mark.parametrize(
    ("decay", "word"), [(1, "1"), (1.0, "1"), (0.5, "0.5"), (0.1 + 0.2, "0.30000000000000004")]
)
def test_files_are_named_after_all_digits_of_the_decay(decay, word):
    assert label(decay) == word


def test_subjects_differ_in_their_decay_only():
    found = subjects_of([1.0, 0.5], steps=3, model=None, seed=2)
    assert found == [Subject(decay=1.0, steps=3, seed=2), Subject(decay=0.5, steps=3, seed=2)]


def test_what_is_not_told_comes_from_the_notes_of_the_checkpoints(samples, tmp_path):
    paths = []
    for decay in (0.9, 0.5):
        subject = Subject(decay=decay, steps=3)
        paths.append(tmp_path / f"{decay}.pt")
        checkpoint.save(subject.build(samples), paths[-1], subject={"decay": decay, "steps": 3})
    assert [(s.decay, s.steps) for s in subjects_of([None, None], paths)] == [(0.9, 3), (0.5, 3)]
    told = subjects_of([1.0, 0.25], paths, steps=4)
    assert [(s.decay, s.steps) for s in told] == [(1.0, 4), (0.25, 4)]


@pytest.mark.parametrize(
    ("decays", "files", "message"),
    [
        ([0.5, 0.5], 0, r"^decay: expected one or more different ones, got 0\.5, 0\.5\. One net"),
        ([], 0, r"^decay: expected one or more different ones, got none\."),
        ([1.0, 0.5], 1, r"^checkpoint: expected one file per decay, 2 in all, got 1\. Give them"),
        ([1.0], 2, r"^checkpoint: expected one file per decay, 1 in all, got 2\."),
    ],
)
def test_decays_that_make_no_sense_are_refused(decays, files, message, samples, tmp_path):
    paths = [tmp_path / f"{i}.pt" for i in range(files)]
    for path in paths:
        checkpoint.save(Subject().build(samples), path)
    with pytest.raises(ValueError, match=message):
        subjects_of(decays, paths)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 0}, r"^pairs: expected a whole number >= 1, got 0\. Use a whole number from 1"),
        ({"batch_size": 1.5}, r"^batch_size: expected a whole number >= 1, got 1\.5\."),
        ({"seed": -1}, r"^seed: expected a whole number >= 0, got -1\. Use 0\."),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


@pytest.mark.parametrize(
    ("settings", "subject", "message"),
    [
        ({}, {"reset": "soft"}, r"^reset: expected 'hard', got 'soft'\. The static curve is that"),
        ({"layer": 4}, {}, r"^layer: expected one of layers\.1, layers\.4, layers\.6, layers\.9,"),
        ({"layer": "layers.3"}, {}, r"^layer: .*got 'layers\.3'\. Only layers of neurons have"),
        ({"rule": RGA(beta=0.5)}, {}, r"^beta: expected more than 1 - decay = 0\.5"),
        ({"rule": RGA(gamma=2)}, {}, r"^gamma: expected gamma \* threshold"),
    ],
)
def test_networks_that_cannot_be_recorded_so_are_refused(
    settings: dict[str, Any], subject: dict[str, Any], message: str, samples: Dataset
):
    wanted = Subject(**subject)
    with pytest.raises(ValueError, match=message):
        Settings(**settings).check(wanted, wanted.build(samples))
