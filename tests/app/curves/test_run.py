"""One network's recording against its curves, and recordings of several networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from art_snn import RGA, Direct, SpikingNetwork, TimeDistributed, checkpoint
from art_snn.app import trained
from art_snn.app.curves import Settings, recorded, run
from art_snn.app.curves.result import fit
from art_snn.app.resume import read_result
from art_snn.app.trained import Trained
from art_snn.curves import curves_of, record
from art_snn.data import Dataset, Source, from_npz
from art_snn.dynamics import Dynamics
from art_snn.models import Architecture
from art_snn.neurons import Neuron
from tests.command import forbidden
from tests.conftest import varied
from tests.datasets import images

TITLE = "vgg5 of width 0.1, T = 2, decay {}, threshold 0.25, direct encoding on mine.npz"


@pytest.fixture(scope="module")
def samples() -> Dataset:
    draw = np.random.default_rng(varied())
    x, y = draw.random((6, 1, 4, 4), dtype=np.float32), np.arange(6) % 3
    return Dataset("mine", x[:2], y[:2], x[2:], y[2:])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images(tmp_path_factory.mktemp("data") / "mine.npz")


def asked(output: Path, data: Path, **change: Any) -> Settings:
    architecture = {"steps": 2, "width": 0.1, "threshold": 0.25} | change.pop("architecture", {})
    given: dict[str, Any] = {"epochs": 1, "architecture": Architecture(**architecture)}
    fixed: dict[str, Any] = {"source": Source(data=str(data)), "pairs": 40, "device": "cpu"}
    return Settings(output=output, **fixed | given | change)


def panels(folder: Path) -> list[dict[str, Any]]:
    return read_result(folder / "curves.json")["panels"]


@pytest.fixture(scope="module")
def both(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks of decay 0.9 and 0.5 with their recordings, for reading only."""
    folder = tmp_path_factory.mktemp("curves") / "new"
    run(asked(folder, data, decays=(0.9, 0.5)))
    return folder


def test_a_recording_holds_the_pairs_of_the_test_samples_against_the_network_s_curves(samples):
    architecture = Architecture(steps=3, decay=0.9, threshold=0.1)
    settings = Settings(layer=2, pairs=50, batch_size=3, seed=5, rule=RGA(beta=3, gamma=0.1))
    network = architecture.build(samples)
    found = recorded(settings, network, samples, "a title", {"steps": 3})
    expected = record(network, samples.x_test, 2, pairs=50, batch_size=3, seed=5)
    for name in ("layer", "places", "sample", "neuron", "current", "rate"):
        assert np.array_equal(getattr(found.pairs, name), getattr(expected, name))
    assert found.pairs.sample.max() == 3
    curves = curves_of(0.9, 0.1, RGA(beta=3, gamma=0.1))
    assert found.panel == fit("a title", 0.9, expected, curves)
    assert (found.name, found.subject) == ("decay-0.9", {"steps": 3})


@pytest.mark.parametrize(
    ("settings", "neurons", "message"),
    [
        ({}, {"reset": "soft"}, r"^reset: expected 'hard', got 'soft'\. The static curve is that"),
        ({"layer": 4}, {}, r"^layer: expected one of layers\.1, layers\.4, layers\.6, layers\.9,"),
        ({"layer": "layers.3"}, {}, r"^layer: .*got 'layers\.3'\. Only layers of neurons have"),
        ({"rule": RGA(beta=0.5)}, {}, r"^beta: expected more than 1 - decay = 0\.5"),
        ({"rule": RGA(gamma=2)}, {}, r"^gamma: expected gamma \* threshold"),
    ],
)
def test_networks_that_cannot_be_recorded_so_are_refused_before_any_training(
    settings, neurons, message, samples, data, tmp_path, monkeypatch
):
    network = Architecture(**neurons).build(samples)
    with pytest.raises(ValueError, match=message):
        recorded(Settings(**settings), network, samples, "a title")
    monkeypatch.setattr(trained, "train", forbidden)
    of_data = {"decays": (1.0, 0.5), "architecture": {"threshold": 1.0} | neurons}
    with pytest.raises(ValueError, match=message):
        run(asked(tmp_path / "out", data, **of_data, **settings))
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Refractory(Dynamics):
    """Fires at most at every second step: other equations than those of LIF."""

    def simulate(self, current, potential=None, spikes=None):
        spikes = super().simulate(current, potential, spikes)
        spikes[1::2] = 0
        return spikes


def test_neurons_of_other_equations_are_refused_as_what_they_are(samples):
    layers = [TimeDistributed(nn.Flatten(), nn.Linear(16, 3)), Neuron(Refractory())]
    network = SpikingNetwork(layers, Direct(2), "hart", "bptr")
    message = r"^reset: expected 'hard', got Refractory\(decay=0\.5.* The static curve is that of"
    with pytest.raises(ValueError, match=message):
        recorded(Settings(layer=0), network, samples, "a title")


def test_every_network_has_its_folder_its_panel_and_its_pairs(both):
    assert {str(file.relative_to(both)) for file in both.rglob("*") if file.is_file()} == {
        *("curves.json", "curves.md", "curves.png", "pairs.npz"),
        *("decay-0.9/network.safetensors", "decay-0.5/network.safetensors"),
    }
    assert [panel["title"] for panel in panels(both)] == [TITLE.format(d) for d in (0.9, 0.5)]
    for found, decay in zip(panels(both), (0.9, 0.5), strict=True):
        noted = checkpoint.notes(both / f"decay-{decay}" / "network.safetensors")["subject"]
        assert found["subject"] == noted
        assert (found["decay"], noted["decay"], noted["epochs"]) == (decay, decay, 1)


def test_what_is_not_told_comes_from_the_notes_of_the_checkpoints(
    both, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(trained, "train", forbidden)
    files = tuple(both / f"decay-{decay}" / "network.safetensors" for decay in (0.5, 0.9))
    source = Source(data=str(data))
    run(Settings(output=tmp_path, source=source, checkpoint=files, pairs=40, device="cpu"))
    assert [found["subject"] for found in panels(tmp_path)] == [
        checkpoint.notes(path)["subject"] for path in files
    ]
    assert sorted(map(str, panels(tmp_path))) == sorted(map(str, panels(both)))
    assert not list(tmp_path.rglob("network.safetensors"))


def test_weights_under_another_decay_than_they_were_trained_with_say_so(both, data, tmp_path):
    files = tuple(both / f"decay-{decay}" / "network.safetensors" for decay in (0.9, 0.5))
    options: dict[str, Any] = {"epochs": None, "decays": (1.0, 0.5), "checkpoint": files}
    run(asked(tmp_path, data, **options))
    words = f"{TITLE.format(1)}; its weights were trained with decay 0.9"
    assert [found["title"] for found in panels(tmp_path)] == [words, TITLE.format(0.5)]
    assert [found["decay"] for found in panels(tmp_path)] == [1.0, 0.5]
    assert f"{words}. layers.4: 40 of" in (tmp_path / "curves.md").read_text()


def test_checkpoints_of_one_decay_are_refused_unless_they_are_given_others(both, data, tmp_path):
    files = (both / "decay-0.9" / "network.safetensors",) * 2
    settings = asked(tmp_path / "out", data, checkpoint=files, epochs=None)
    message = r"^decays: expected one or more different ones, got 0\.9, 0\.9\. One network of"
    with pytest.raises(ValueError, match=message):
        run(settings)
    assert not (tmp_path / "out").exists()
    run(asked(tmp_path, data, checkpoint=files, epochs=None, decays=(0.9, 0.8)))
    assert [found["decay"] for found in panels(tmp_path)] == [0.9, 0.8]


def test_one_decay_is_one_network_of_that_decay(both, data, tmp_path):
    found = run(asked(tmp_path, data, architecture={"decay": 0.9}))
    assert [one.name for one in found.recordings] == ["decay-0.9"]
    assert panels(tmp_path) == panels(both)[:1]


def test_the_network_as_it_is_trained_is_the_one_that_is_told(data):
    one = Trained(architecture=Architecture(steps=2), epochs=3).on(from_npz(data))
    architecture = {"model": "vgg5", "width": 1.0, "steps": 2, "decay": 0.5, "threshold": 1.0}
    training = {"reset": "hard", "encoder": "direct", "readout": None, "epochs": 3, "seed": 5}
    training |= {"train_dtype": None}
    assert one.as_dict(5) == architecture | training
