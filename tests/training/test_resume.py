"""Runs that are killed go on exactly; files of other runs and damaged files are refused."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, STBP, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.checkpoint import CheckpointError
from art_snn.dynamics import Dynamics
from art_snn.neurons import Neuron
from art_snn.training import AdversarialTraining, Recipe, train
from art_snn.training.defences import MPDSGR, MPPD, RAT, SR, TGO, TRADES, StoG
from tests.architectures import Switch
from tests.seeds import varied
from tests.training.runs import (
    SETTINGS,
    Killed,
    assert_same_state,
    build,
    kill_at,
    samples,
    trained,
    watch,
)

HELD = samples(10)
FGSM = AdversarialTraining(attack="fgsm", eps=0.1, share=0.75)
DEFENCES = {"TRADES": TRADES(), "RAT": RAT(orthogonality=0.02), "SR": SR(sparsity=0.1)}
DEFENCES |= {"MPDSGR": MPDSGR(), "TGO": TGO(), "MPPD": MPPD(), "StoG": StoG()}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "validation": {"validation": HELD},
    "adversarial": {"validation": HELD, "adversary": FGSM},
    **{k: {"adversary": replace(FGSM, defence=defence)} for k, defence in DEFENCES.items()},
}


def killed(path: Path, step: int, seed: int = 0, recipe: Recipe = SETTINGS, **how: Any) -> None:
    net, state = build(seed), torch.get_rng_state()
    kill_at(net, step)
    with pytest.raises(Killed):
        train(net, *samples(), recipe, path, **how)
    assert torch.equal(torch.get_rng_state(), state)


KILLED = [("adversarial", None)]
KILLED += [
    pytest.param(way, dtype, marks=pytest.mark.slow)
    for way in WAYS
    for dtype in (None, "bfloat16")
    if (way, dtype) != KILLED[0]
]


@pytest.mark.parametrize(("way", "dtype"), KILLED)
def test_a_killed_run_gives_the_history_and_weights_of_one_that_was_not(way, dtype, tmp_path):
    how, recipe = WAYS[way], replace(SETTINGS, train_dtype=dtype)
    whole, passes, path = build(), [], tmp_path / "state.pt"
    watch(whole, passes.append)
    history = train(whole, *samples(), recipe, **how)
    epoch = len(passes) // 3
    # The first pass, one in the middle and the last of an epoch.
    for step in (epoch + 1, epoch + epoch // 2 + 1, 3 * epoch):
        killed(path, step, recipe=recipe, **how)
        resumed, rest = build(seed=1), []
        watch(resumed, rest.append)
        assert train(resumed, *samples(), recipe, path, **how) == history
        assert len(rest) == len(passes) - (step - 1) // epoch * epoch
        assert_same_state(resumed, whole)
        assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]
        path.unlink()


def test_a_run_killed_while_writing_goes_on_from_the_state_before(tmp_path, monkeypatch):
    path, save = tmp_path / "state.pt", torch.save

    def half(progress, stream):
        save(progress, stream)
        if progress["epochs_done"] == 2:
            stream.truncate(stream.tell() // 2)
            raise Killed

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Killed):
        train(build(), *samples(), SETTINGS, path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True)["epochs_done"] == 1
    assert_same_state(trained(path, seed=1), trained())
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpikingNetwork, bytes]:
    """The network of a run, and the state that the run left."""
    path = tmp_path_factory.mktemp("run") / "state.pt"
    return trained(path), path.read_bytes()


@pytest.fixture
def path(finished: tuple[SpikingNetwork, bytes], tmp_path: Path) -> Path:
    """The file of that run."""
    file = tmp_path / "state.pt"
    file.write_bytes(finished[1])
    return file


def test_a_finished_run_is_loaded_and_not_trained_on(finished, path):
    first, again = finished[0], build(seed=1).train()
    kill_at(again, 1)
    train(again, *samples(), SETTINGS, path)
    assert_same_state(again, first)
    assert not any(module.training for module in again.modules())
    progress = torch.load(path, weights_only=True)
    assert progress["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-12)
    assert progress["optimizer"]["state"][0]["step"].item() == 9


@pytest.mark.slow
def test_the_recipe_resumes_exactly_with_its_momentum_and_its_augmentation(tmp_path):
    recipe = Recipe(epochs=3, batch_size=4, learning_rate=0.05, cutout=2, crop_padding=1)
    x = np.random.default_rng(varied()).random((10, 1, 4, 4), dtype=np.float32)
    y, path = np.arange(10) % 3, tmp_path / "state.pt"

    def fresh(seed: int) -> SpikingNetwork:
        torch.manual_seed(varied(seed))
        layers = [Switch(), Timed(nn.Flatten(), nn.Linear(16, 10)), LIF(), Timed(nn.Linear(10, 3))]
        return SpikingNetwork(layers, Poisson(3), "stbp")

    unbroken, broken, resumed = fresh(0), fresh(0), fresh(1)
    train(unbroken, x, y, recipe)
    kill_at(broken, 8)  # Three steps are an epoch.
    with pytest.raises(Killed):
        train(broken, x, y, recipe, path)
    train(resumed, x, y, recipe, path)
    assert_same_state(resumed, unbroken)


def test_a_run_whose_encoder_is_a_function_is_resumed_although_it_lies_elsewhere(tmp_path):
    path = tmp_path / "state.pt"

    def run(encoder: Callable[[Tensor], Tensor]) -> SpikingNetwork:
        net = build()
        net.encoder = encoder
        train(net, *samples(), SETTINGS, path)
        return net

    encoders = [lambda x, steps=steps: x.expand(steps, *x.shape) for steps in (2, 2)]
    assert repr(encoders[0]) != repr(encoders[1])
    assert_same_state(run(encoders[0]), run(encoders[1]))


def changed(change: Callable[[SpikingNetwork], Any]) -> SpikingNetwork:
    net = build(seed=1)
    change(net)
    return net


def fire_by(net: SpikingNetwork, **settings: Any) -> None:
    net.layers[2] = Neuron(Dynamics(**settings))


X, Y = samples()
OTHER_RUN, OTHER_SAMPLES, OTHER_CODE = r"a run of", r"these samples", r"code or training gradient"
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"recipe": replace(SETTINGS, epochs=4)}, rf"{OTHER_RUN} .*epochs=4"),
    "rate": ({"recipe": replace(SETTINGS, learning_rate=0.02)}, rf"{OTHER_RUN} .*rate=0\.02"),
    "precision": ({"recipe": replace(SETTINGS, train_dtype="bfloat16")}, rf"{OTHER_RUN} .*bfloat"),
    "validation": ({"validation": HELD}, rf"{OTHER_RUN} .*validation"),
    "adversary": ({"adversary": AdversarialTraining(rule=STBP())}, rf"{OTHER_RUN} .*STBP"),
    "x": ({"x": X + 1}, OTHER_SAMPLES),
    "y": ({"y": Y[::-1].copy()}, OTHER_SAMPLES),
    "steps": ({"network": changed(lambda n: setattr(n, "encoder", Poisson(4)))}, OTHER_CODE),
    "decay": ({"network": changed(lambda n: n.layers.__setitem__(2, LIF(decay=0.9)))}, OTHER_CODE),
    "decays": ({"network": changed(lambda n: fire_by(n, decay=[0.5] * 3))}, OTHER_CODE),
    "amplitude": ({"network": changed(lambda n: fire_by(n, amplitude=0.5))}, OTHER_CODE),
    "gradient": (
        {"network": changed(lambda n: setattr(n, "training_gradient", "rga"))},
        OTHER_CODE,
    ),
    "width": ({"network": build(seed=1, hidden=11)}, "this network"),
}


def refused(path: Path, message: str, **change: Any) -> None:
    """Training from the file is refused, with the advice to delete it, and changes no weight."""
    run = {"network": build(seed=1), "x": X, "y": Y, "recipe": SETTINGS, "resume": path} | change
    before = copy.deepcopy(run["network"])
    with pytest.raises(CheckpointError, match=rf"^resume: .*{message}.*state\.pt"):
        train(**run)
    assert_same_state(run["network"], before)


@pytest.mark.parametrize("other", OTHERS)
def test_the_state_of_another_run_is_refused(other, path):
    change, message = OTHERS[other]
    refused(path, message, **change)


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFENCES)
def test_a_run_with_another_defence_or_other_validation_samples_is_another(name, tmp_path):
    path, adversary = tmp_path / "state.pt", WAYS[name]["adversary"]
    train(build(), *samples(), SETTINGS, path, validation=HELD, adversary=adversary)
    refused(path, rf"AT\(\).*, got .*{name}\(", validation=HELD, adversary=FGSM)
    other = (HELD[0], HELD[1][::-1].copy())
    refused(path, OTHER_SAMPLES, validation=other, adversary=adversary)


DAMAGE: list[Callable[[bytes], bytes]] = [
    lambda content: b"",
    lambda content: b"no state at all",
    lambda content: content[: len(content) // 2],
    lambda content: content[:-10],
    lambda content: pickle.dumps({"settings": {}}),
]


def test_a_damaged_state_and_a_file_that_is_none_are_refused(path):
    whole = path.read_bytes()
    for damage in DAMAGE:
        path.write_bytes(damage(whole))
        refused(path, r"the state of this training run, got .*state\.pt")
    for content in ({}, {"settings": None}, [1, 2], torch.zeros(3), 5):
        torch.save(content, path)
        refused(path, "")


def test_a_state_that_lacks_a_part_or_whose_parts_do_not_fit_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    train(build(), *samples(), SETTINGS, path, validation=HELD)
    content = path.read_bytes()

    def without(message: str, change: Callable[[Any], Any]) -> None:
        path.write_bytes(content)
        progress = torch.load(path, weights_only=True)
        change(progress)
        torch.save(progress, path)
        refused(path, message, validation=HELD)

    for part in torch.load(path, weights_only=True):
        without(part, lambda progress, part=part: progress.pop(part))
    without("weight .missing", lambda progress: progress["best"].pop("layers.1.module.0.weight"))
    without("another number of epochs", lambda progress: progress["history"].pop())
