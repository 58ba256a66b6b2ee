"""Training: it learns, it leaves everything else alone, and it resumes exactly."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, STBP, Direct, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.checkpoint import CheckpointError
from art_snn.seeding import seeded
from art_snn.training import Recipe, Validation, loop as module, train
from art_snn.training.state import State
from tests.conftest import varied
from tests.faults.flips import flips
from tests.networks import Counted, Tally
from tests.training.runs import (
    SETTINGS,
    STEPS_PER_EPOCH,
    Killed,
    assert_same_state,
    build,
    kill_at,
    samples,
    trained,
    watch,
)


def test_training_lowers_the_loss():
    torch.manual_seed(varied())
    layers = [Timed(nn.Linear(6, 12)), LIF(), Timed(nn.Linear(12, 3))]
    net = SpikingNetwork(layers, Direct(4))
    x, y = (torch.as_tensor(a) for a in samples())

    def loss():
        with torch.no_grad():
            return nn.functional.cross_entropy(net(x), y).item()

    before = loss()
    train(net, *samples(), Recipe.plain(epochs=15, batch_size=8, learning_rate=0.03))
    assert loss() < 0.5 * before


def test_it_differentiates_by_the_training_gradient_in_training_mode():
    attack, training = Tally(), Tally()
    net = build(training_gradient=Counted(STBP(), training))
    net.gradient = Counted(STBP(), attack)
    modes = []
    watch(net, lambda _: modes.append(net.layers[1].training))
    train(net, *samples(), SETTINGS)
    assert (training.forwards, attack.forwards) == (3 * STEPS_PER_EPOCH, 0)
    assert modes == [True] * 3 * STEPS_PER_EPOCH


def test_every_sample_is_seen_once_an_epoch_in_another_order_each_time():
    net = build()
    net.encoder = Direct(1)
    seen = []
    watch(net, lambda x: seen.append(x[0]))
    x, y = samples()
    train(net, x, y, SETTINGS)
    assert [len(batch) for batch in seen] == [8, 8, 4] * 3
    epochs = torch.cat(seen).view(3, 20, 6)
    for epoch in epochs:
        assert torch.equal(epoch.sort(0).values, torch.as_tensor(x).sort(0).values)
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])


def test_the_network_is_in_evaluation_mode_afterwards():
    net = build().train()
    train(net, *samples(), SETTINGS)
    assert not any(module.training for module in net.modules())


def test_the_random_states_of_torch_and_numpy_are_left_as_they_were():
    net = build()
    state, array = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    train(net, *samples(), SETTINGS)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], array)  # noqa: NPY002


def test_the_random_state_is_left_as_it_was_by_a_run_that_is_killed(tmp_path):
    net = build()
    kill_at(net, 4)
    state = torch.get_rng_state()
    with pytest.raises(Killed):
        train(net, *samples(), SETTINGS, tmp_path / "state.pt")
    assert torch.equal(torch.get_rng_state(), state)


def test_the_outcome_depends_on_the_seed_of_the_settings_and_not_on_the_random_state():
    first = trained()
    net = build()
    torch.manual_seed(99)
    train(net, *samples(), SETTINGS)
    assert_same_state(net, first)
    other = trained(settings=Recipe.plain(epochs=3, batch_size=8, learning_rate=0.01, seed=5))
    assert not torch.equal(other.layers[1].module[0].weight, first.layers[1].module[0].weight)


def test_writing_the_state_does_not_change_the_outcome(tmp_path):
    assert_same_state(trained(tmp_path / "state.pt"), trained())


@pytest.mark.parametrize("step", [4, 5, 6, 7, 9])
def test_a_run_that_was_killed_and_taken_up_again_gives_the_weights_of_one_that_was_not(
    step, tmp_path
):
    path = tmp_path / "state.pt"
    net = build()
    kill_at(net, step)
    with pytest.raises(Killed):
        train(net, *samples(), SETTINGS, path)
    assert path.exists()
    resumed = build(seed=1)
    steps = []
    watch(resumed, steps.append)
    train(resumed, *samples(), SETTINGS, path)
    epochs_done = (step - 1) // STEPS_PER_EPOCH
    assert len(steps) == (3 - epochs_done) * STEPS_PER_EPOCH
    assert_same_state(resumed, trained())
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_run_that_was_killed_twice_gives_the_same_weights(tmp_path):
    path = tmp_path / "state.pt"
    for seed in range(2):
        net = build(seed)
        kill_at(net, STEPS_PER_EPOCH + 2)
        with pytest.raises(Killed):
            train(net, *samples(), SETTINGS, path)
    assert torch.load(path, weights_only=True)["epochs_done"] == 2
    assert_same_state(trained(path, seed=2), trained())


def test_a_run_that_was_killed_in_its_first_epoch_leaves_no_state(tmp_path):
    net = build()
    kill_at(net, 2)
    with pytest.raises(Killed):
        train(net, *samples(), SETTINGS, tmp_path / "state.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_while_writing_its_state_goes_on_from_the_state_before(
    tmp_path, monkeypatch
):
    path = tmp_path / "state.pt"
    save = torch.save

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


def test_a_finished_run_is_loaded_and_not_trained_on(tmp_path):
    path = tmp_path / "state.pt"
    first = trained(path)
    again = build(seed=1).train()
    kill_at(again, 1)
    train(again, *samples(), SETTINGS, path)
    assert_same_state(again, first)
    assert not any(module.training for module in again.modules())


def test_the_learning_rate_follows_a_cosine_to_zero_over_all_steps():
    rates = []
    adam = torch.optim.Adam.step

    class Noted(torch.optim.Adam):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return adam(self, closure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Noted)
        trained()
    expected = 0.01 * (1 + np.cos(np.pi * np.arange(9) / 9)) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-9)


def test_the_state_is_taken_up_on_a_network_of_any_weights_with_its_optimizer(tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    progress = torch.load(path, weights_only=True)
    assert progress["epochs_done"] == 3
    assert progress["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-12)
    assert progress["optimizer"]["state"][0]["step"].item() == 9


@pytest.mark.parametrize(
    "change", [{"epochs": 4}, {"batch_size": 9}, {"learning_rate": 0.02}, {"seed": 5}]
)
def test_the_state_of_other_settings_is_refused(change, tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    options = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "seed": 4} | change
    net, before = build(seed=1), build(seed=1)
    (name, value) = next(iter(change.items()))
    message = rf"^resume: expected a run of Recipe\(.*{name}={value}.*got one of .*Delete .*state"
    with pytest.raises(CheckpointError, match=message):
        train(net, *samples(), Recipe.plain(**options), path)
    assert_same_state(net, before)


@pytest.mark.parametrize(
    "number",
    [
        {"epochs": np.int64(3)},
        {"batch_size": np.int32(8)},
        {"learning_rate": np.float64(0.01)},
        {"seed": np.int64(4)},
    ],
    ids=str,
)
def test_a_run_with_settings_from_numpy_can_be_taken_up_again(number, tmp_path):
    path = tmp_path / "state.pt"
    options = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "seed": 4} | number
    first = trained(path, Recipe.plain(**options))
    assert_same_state(trained(path, Recipe.plain(**options), seed=1), first)


def damaged(content: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"no state at all",
        "truncated": content[: len(content) // 2],
        "without its end": content[:-10],
        "pickle": pickle.dumps({"settings": {}}),
    }


@pytest.mark.parametrize("kind", damaged(b""))
def test_a_damaged_state_is_refused_with_the_advice_to_delete_it(kind, tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    path.write_bytes(damaged(path.read_bytes())[kind])
    net, before = build(seed=1), build(seed=1)
    message = r"^resume: expected the state of this training run, got .*state\.pt.*Delete .*state"
    with pytest.raises(CheckpointError, match=message):
        train(net, *samples(), SETTINGS, path)
    assert_same_state(net, before)


@pytest.mark.parametrize("content", [{}, {"settings": None}, [1, 2], torch.zeros(3), 5])
def test_a_file_that_is_no_state_is_refused(content, tmp_path):
    path = tmp_path / "state.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"^resume: expected .*Delete .*state\.pt"):
        train(build(), *samples(), SETTINGS, path)


@pytest.mark.parametrize(
    "missing",
    [
        *("run", "samples", "form", "epochs_done", "history"),
        *("network", "best", "optimizer", "schedule"),
    ],
)
def test_a_state_that_lacks_a_part_is_refused_and_changes_nothing(missing, tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    progress = torch.load(path, weights_only=True)
    del progress[missing]
    torch.save(progress, path)
    net, before = build(seed=1), build(seed=1)
    with pytest.raises(CheckpointError, match=rf"^resume: .*{missing}.*Delete .*state\.pt"):
        train(net, *samples(), SETTINGS, path)
    assert_same_state(net, before)


def another_depth() -> SpikingNetwork:
    net = build(seed=1)
    net.layers.append(Timed(nn.Linear(3, 3)))
    return net


@pytest.mark.parametrize("other", [lambda: build(seed=1, hidden=11), another_depth])
def test_the_state_of_another_architecture_is_refused(other, tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    message = r"^resume: expected .* this .*, got .*state\.pt, which .*Delete .*state"
    with pytest.raises(CheckpointError, match=message):
        train(other(), *samples(), SETTINGS, path)


@pytest.mark.parametrize("other", [lambda: build(seed=1, hidden=11), another_depth])
def test_a_network_that_is_refused_a_state_keeps_its_weights(other, tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    net = other()
    before = copy.deepcopy(net)
    with pytest.raises(CheckpointError):
        train(net, *samples(), SETTINGS, path)
    assert_same_state(net, before)


@pytest.mark.parametrize(("of_x", "of_y"), [(20, 19), (19, 20), (0, 0), (0, 3), (3, 0)])
def test_samples_and_labels_of_unequal_number_and_none_at_all_are_refused(of_x, of_y):
    x, y = samples()
    message = (
        rf"^x, y: expected as many labels as samples, and at least one, got {of_x} samples and "
        rf"{of_y} labels\. Give one class index per sample\."
    )
    with pytest.raises(ValueError, match=message):
        train(build(), x[:of_x], y[:of_y], SETTINGS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"epochs": 0},
            r"^epochs: expected a whole number >= 1, got 0\. Use a whole number from 1",
        ),
        ({"epochs": 1.5}, r"^epochs: expected a whole number >= 1, got 1\.5\."),
        (
            {"batch_size": 0},
            r"^batch_size: expected a whole number >= 1, got 0\. Use a whole number from 1",
        ),
        ({"learning_rate": 0}, r"^learning_rate: expected a number above 0, got 0\. See table S1"),
        ({"learning_rate": -1.0}, r"^learning_rate: expected a number above 0, got -1\.0\."),
    ],
)
def test_settings_outside_their_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe.plain(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.eye(3, dtype=int)[np.arange(20) % 3]}, "int64 of shape [20, 3], from 0"),
        ({"y": np.arange(20) % 3 - 1}, "int64 of shape [20], from -1"),
        ({"y": np.zeros(20)}, "float64 of shape [20], from 0"),
        ({"x": np.full((20, 6), np.nan)}, "x, y: expected finite values, got NaN or infinity."),
        ({"x": np.full((20, 6), -np.inf)}, "x, y: expected finite values, got NaN or infinity."),
        (
            {"x": np.ma.masked_array(np.ones((20, 6)), mask=True)},
            "hides no values, got a masked one",
        ),
        (
            {"y": np.arange(20) % 4},
            "x, y: expected labels from 0 to 2, since the network has 3 classes, got 3. Build",
        ),
    ],
)
def test_samples_that_cannot_be_trained_on_are_refused_before_anything_is_trained(
    change, message, tmp_path
):
    x, y = samples()
    arrays = {"x": x, "y": y} | change
    net, before = build().train(), build()
    net.layers[1].eval()
    with pytest.raises(ValueError, match=rf"^x, y: expected .*{re.escape(message[-30:])}"):
        train(net, **arrays, recipe=SETTINGS, resume=tmp_path / "new" / "state.pt")
    assert_same_state(net, before)
    assert (net.training, net.layers[1].training) == (True, False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"x": [[0.0] * 6]}, {"y": [1, 2]}, {"y": torch.zeros(20)}])
def test_samples_that_are_no_arrays_are_refused(change):
    x, y = samples()
    with pytest.raises(TypeError, match=r"^x, y: expected numpy arrays, got (list|Tensor)\."):
        train(build(), **{"x": x, "y": y} | change, recipe=SETTINGS)


def test_read_only_and_reversed_arrays_and_small_integers_are_trained_on():
    x, y = samples()
    first = trained()
    turned, labels = x[::-1].copy()[::-1], y.astype(np.uint8)
    for array in (turned, labels):
        array.setflags(write=False)
    net = build()
    train(net, turned, labels, SETTINGS, validation=Validation(turned, labels))
    assert not any(module.training for module in net.modules())
    net = build()
    train(net, turned, labels, SETTINGS)
    assert_same_state(net, first)


@pytest.mark.parametrize("part", ["x", "y", "order of axes"])
def test_the_state_of_a_run_on_other_samples_is_refused(part, tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    x, y = samples()
    x, y = (x + (part == "x"), y) if part != "y" else (x, y[::-1].copy())
    if part == "order of axes":
        x = np.ascontiguousarray(x.T).reshape(x.shape)
    net, before = build(seed=1), build(seed=1)
    message = r"^resume: expected a run on these samples, got .*state\.pt, which is of others\. Del"
    with pytest.raises(CheckpointError, match=message):
        train(net, x, y, SETTINGS, path)
    assert_same_state(net, before)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net, "encoder", Poisson(4)),
        lambda net: net.layers.__setitem__(2, LIF(decay=0.9)),
        lambda net: setattr(net, "training_gradient", "rga"),
    ],
    ids=["steps", "decay", "training gradient"],
)
def test_the_state_of_a_network_that_has_the_same_weights_otherwise_is_refused(change, tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    net = build(seed=1)
    change(net)
    before = copy.deepcopy(net)
    message = (
        r"^resume: expected a run of this network, got .*state\.pt, which differs in encoder, "
        r"layers, neurons, code or training gradient\. Delete"
    )
    with pytest.raises(CheckpointError, match=message):
        train(net, *samples(), SETTINGS, path)
    assert_same_state(net, before)


def test_a_run_whose_encoder_is_a_function_is_taken_up_although_it_lies_elsewhere(tmp_path):
    path = tmp_path / "state.pt"

    def run(encoder: Callable[[Tensor], Tensor]) -> SpikingNetwork:
        net = build()
        net.encoder = encoder
        train(net, *samples(), SETTINGS, path)
        return net

    encoders = [lambda x, steps=steps: x.expand(steps, *x.shape) for steps in (2, 2)]
    assert repr(encoders[0]) != repr(encoders[1])
    assert_same_state(run(encoders[0]), run(encoders[1]))


def test_the_bar_of_a_resumed_run_begins_where_the_run_stopped(tmp_path, monkeypatch):
    path, net, given = tmp_path / "new" / "deep" / "state.pt", build(), []
    kill_at(net, 2 * STEPS_PER_EPOCH + 2)
    with pytest.raises(Killed):
        train(net, *samples(), SETTINGS, path)
    bar = module.tqdm

    def noted(**options: Any) -> Any:
        given.append(options)
        return bar(**options)

    monkeypatch.setattr(module, "tqdm", noted)
    trained(path)
    assert (given[0]["initial"], given[0]["total"]) == (2 * STEPS_PER_EPOCH, 3 * STEPS_PER_EPOCH)


def test_the_network_is_trained_on_what_the_settings_make_of_the_samples():
    class Doubled(Recipe):
        def augmented(self, batch: Tensor) -> Tensor:
            return 2 * batch

    net, seen = build(), []
    net.encoder = Direct(1)
    watch(net, lambda x: seen.append(x[0]))
    x, y = samples()
    train(net, x, y, Doubled.plain(1, batch_size=8))
    assert torch.equal(torch.cat(seen).sort(0).values, 2 * torch.as_tensor(x).sort(0).values)


def test_what_the_settings_leave_open_is_fitted_to_samples_that_are_no_images():
    open_, told = (
        Recipe(epochs=1, learning_rate=0.01, **change)
        for change in ({}, {"crop_padding": 0, "flip": False, "cutout": 0})
    )
    assert_same_state(trained(settings=open_), trained(settings=told))


def test_plain_training_gives_bit_for_bit_the_weights_of_a_loop_by_hand():
    net = build()
    x, y = (torch.as_tensor(a) for a in samples())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2 * STEPS_PER_EPOCH)
    net.train()
    for epoch in range(2):
        with seeded(4 * 100_003 + epoch):
            for rows in torch.randperm(20).split(8):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
    ours = trained(settings=Recipe.plain(2, seed=4, batch_size=8))
    assert_same_state(ours, net)
    first, untrained = (found.state_dict() for found in (ours, build()))
    assert not any(torch.equal(first[name], untrained[name]) for name, _ in net.named_parameters())


def test_settings_that_do_not_suit_the_samples_are_refused():
    with pytest.raises(ValueError, match=r"^x: expected samples \[C, H, W\] or \[T, C, H, W\]"):
        train(build(), *samples(), Recipe(epochs=1, flip=True))


def test_the_shape_of_the_samples_is_part_of_a_run():
    x, y = samples()
    one, other = (State(build(), SETTINGS, a, y, None, None) for a in (x, x.reshape(20, 3, 2)))
    assert one.samples != other.samples


@pytest.mark.parametrize("change", ["best", "history"])
def test_a_state_whose_best_weights_or_history_do_not_fit_changes_nothing(change, tmp_path):
    path = tmp_path / "state.pt"
    held = Validation(*samples(10))
    train(build(), *samples(), SETTINGS, path, validation=held)
    progress = torch.load(path, weights_only=True)
    if change == "best":
        del progress["best"]["layers.1.module.0.weight"]
    else:
        progress["history"].pop()
    torch.save(progress, path)
    net, before = build(seed=1), build(seed=1)
    words = {"best": "weight .missing", "history": "another number of epochs"}
    with pytest.raises(CheckpointError, match=rf"^resume: .*{words[change]}.*Delete"):
        train(net, *samples(), SETTINGS, path, validation=held)
    assert_same_state(net, before)


def test_a_run_that_diverges_ends_with_advice_and_keeps_the_epochs_before(tmp_path, monkeypatch):
    path, steps = tmp_path / "state.pt", []
    step = module._step

    def diverging(*arguments):
        steps.append(step(*arguments))
        return float("nan") if len(steps) > STEPS_PER_EPOCH + 1 else steps[-1]

    monkeypatch.setattr(module, "_step", diverging)
    message = r"^learning_rate: expected .*finite, got 0\.01, and a loss of nan in epoch 2\. Lower"
    with pytest.raises(ValueError, match=message):
        train(build(), *samples(), SETTINGS, path)
    assert torch.load(path, weights_only=True)["epochs_done"] == 1


def test_weights_that_overflow_in_the_last_step_are_found_before_they_are_kept(
    tmp_path, monkeypatch
):
    path, net, steps = tmp_path / "state.pt", build(), []
    step = module._step

    def overflowing(*arguments):
        steps.append(step(*arguments))
        if len(steps) == 3 * STEPS_PER_EPOCH:
            net.layers[1].module[0].weight.data[0, 0] = float("inf")
        return steps[-1]

    monkeypatch.setattr(module, "_step", overflowing)
    message = r"^learning_rate: expected a network of finite weights, got NaN or infinity in layers"
    with pytest.raises(ValueError, match=message):
        train(net, *samples(), SETTINGS, path)
    assert torch.load(path, weights_only=True)["epochs_done"] == 2


def test_every_flipped_bit_of_a_state_is_found_and_the_network_left_alone(tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    content, network = path.read_bytes(), build(seed=1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def unseen():
        try:
            train(network, *samples(), SETTINGS, path)
        except CheckpointError:
            return False
        return True

    assert flips(path, content, unseen) == []
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    with pytest.raises(CheckpointError, match=r"state\.pt, which is damaged.*Delete .*state"):
        train(network, *samples(), SETTINGS, path)


def test_a_state_of_an_earlier_version_is_taken_up(tmp_path):
    path = tmp_path / "state.pt"
    net = build()
    kill_at(net, STEPS_PER_EPOCH + 2)
    with pytest.raises(Killed):
        train(net, *samples(), SETTINGS, path)
    torch.save(torch.load(path, weights_only=True), path)
    assert_same_state(trained(path, seed=1), trained())
