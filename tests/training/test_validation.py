"""The best epoch is chosen by validation samples, and survives a kill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from art_snn.checkpoint import CheckpointError
from art_snn.training import Epoch, Recipe, Validation, accuracy, best, loop as module, train
from tests.conftest import varied
from tests.training.runs import (
    SETTINGS,
    Killed,
    assert_same_state,
    build,
    kill_at,
    samples,
    trained,
)

HELD = Validation(*samples(10))


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Validation accuracies that are given out in turn, whatever the network."""
    left = [0.5, 0.75, 0.25]
    monkeypatch.setattr(module, "accuracy", lambda *_: left.pop(0))
    return left


def snapshot(net: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def test_the_network_has_the_weights_of_the_best_epoch_afterwards(scores, monkeypatch):
    net, seen = build(), []
    finish = module.State.finish

    def note(state: Any, epoch: Epoch) -> None:
        seen.append(snapshot(state.network))
        finish(state, epoch)

    monkeypatch.setattr(module.State, "finish", note)
    history = train(net, *samples(), SETTINGS, validation=HELD)
    assert [epoch.validation for epoch in history] == [0.5, 0.75, 0.25]
    assert best(history) is history[1]
    final = net.state_dict()
    assert all(torch.equal(final[name], seen[1][name]) for name in final)
    assert not torch.equal(final["layers.1.module.0.weight"], seen[2]["layers.1.module.0.weight"])


def test_without_validation_samples_the_last_weights_stay_and_the_history_has_no_accuracy():
    net = build()
    history = train(net, *samples(), SETTINGS)
    assert [epoch.number for epoch in history] == [1, 2, 3]
    assert [epoch.validation for epoch in history] == [None] * 3
    assert best(history) is None
    assert_same_state(net, trained())


def test_validation_does_not_change_the_training(tmp_path):
    path = tmp_path / "state.pt"
    train(build(), *samples(), SETTINGS, path, validation=HELD)
    last = torch.load(path, weights_only=True)["network"]
    for name, tensor in trained().state_dict().items():
        assert torch.equal(last[name], tensor), name


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples_not_over_its_steps(monkeypatch):
    losses = iter([1.0, 2.0, 6.0])
    monkeypatch.setattr(module, "_step", lambda *_: next(losses))
    settings = Recipe.plain(epochs=1, batch_size=8)
    (epoch,) = train(build(), *samples(20), settings)
    assert epoch.loss == pytest.approx((8 * 1 + 8 * 2 + 4 * 6) / 20)


def test_of_equal_epochs_the_first_is_best():
    history = [Epoch(1, 1.0, 0.2), Epoch(2, 1.0, 0.7), Epoch(3, 0.5, 0.7)]
    assert best(history) is history[1]
    assert best([]) is None


@pytest.mark.parametrize("step", [7, 9, 10, 12])
def test_a_run_that_was_killed_and_taken_up_again_has_the_same_history_and_best_weights(
    step, tmp_path
):
    path = tmp_path / "state.pt"
    net = build()
    # An epoch passes through the network five times, the last two for validation.
    kill_at(net, step)
    with pytest.raises(Killed):
        train(net, *samples(), SETTINGS, path, validation=HELD)
    resumed, unbroken = build(seed=1), build()
    history = train(resumed, *samples(), SETTINGS, path, validation=HELD)
    assert history == train(unbroken, *samples(), SETTINGS, validation=HELD)
    assert_same_state(resumed, unbroken)


def test_the_recipe_resumes_exactly_with_its_momentum_and_its_augmentation(tmp_path):
    settings = Recipe(epochs=3, batch_size=4, learning_rate=0.05, cutout=2, crop_padding=1)
    x = np.random.default_rng(varied()).random((10, 1, 4, 4), dtype=np.float32)
    y = np.arange(10) % 3

    class Flat(torch.nn.Flatten):
        def forward(self, input):
            return input.flatten(2)

    def fresh(seed: int) -> Any:
        net = build(seed)
        net.layers[0] = Flat()
        net.layers[1].module[0] = torch.nn.Linear(16, 10)
        torch.nn.init.constant_(net.layers[1].module[0].weight, 0.1 * (seed + 1))
        torch.nn.init.zeros_(net.layers[1].module[0].bias)
        return net

    path = tmp_path / "state.pt"
    unbroken = fresh(0)
    train(unbroken, x, y, settings)
    broken = fresh(0)
    finish = module.State.put_down

    def killed(state: Any, file: Any) -> None:
        finish(state, file)
        if len(state.history) == 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.State, "put_down", killed)
        with pytest.raises(Killed):
            train(broken, x, y, settings, path)
    resumed = fresh(1)
    train(resumed, x, y, settings, path)
    assert_same_state(resumed, unbroken)


def test_a_run_with_validation_samples_is_another_run(tmp_path):
    path = tmp_path / "state.pt"
    trained(path)
    message = r"^resume: expected a run of .*, best by validation samples, got one of Recipe"
    with pytest.raises(CheckpointError, match=message):
        train(build(), *samples(), SETTINGS, path, validation=HELD)


def test_accuracy_counts_the_samples_of_every_batch():
    x, y = samples(7)
    answers = iter([[0, 1, 2], [0, 0, 0], [0]])

    class Answering(torch.nn.Linear):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.tensor(next(answers)), 3).float()

    network: Any = Answering(1, 1)
    assert accuracy(network, Validation(x, y), batch_size=3) == pytest.approx(5 / 7)
    assert next(answers, None) is None


def test_validation_samples_without_labels_are_refused():
    x, y = samples(5)
    message = r"^validation: expected as many labels as samples, .*got 5 samples and 4 labels\."
    with pytest.raises(ValueError, match=message):
        train(build(), *samples(), SETTINGS, validation=Validation(x, y[:4]))


def test_validation_samples_of_another_shape_are_refused_before_anything_is_trained(tmp_path):
    x, y = samples(5)
    message = (
        r"^validation: expected samples of shape \[6\], as those that are trained on, got \[5\]\. "
        r"Bring all samples to one size\."
    )
    with pytest.raises(ValueError, match=message):
        train(build(), *samples(), SETTINGS, tmp_path / "s.pt", validation=Validation(x[:, :5], y))
    message = r"^validation: expected labels from 0 to 2, .*has 3 classes, got 5\. Build the"
    with pytest.raises(ValueError, match=message):
        train(build(), *samples(), SETTINGS, tmp_path / "s.pt", validation=Validation(x, y * 0 + 5))
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_other_validation_samples_is_another_run(tmp_path):
    path = tmp_path / "state.pt"
    train(build(), *samples(), SETTINGS, path, validation=HELD)
    other = Validation(HELD.x, HELD.y[::-1].copy())
    with pytest.raises(CheckpointError, match=r"^resume: expected a run on these samples"):
        train(build(), *samples(), SETTINGS, path, validation=other)


def test_the_accuracy_on_no_sample_is_refused():
    x, y = samples(0)
    with pytest.raises(ValueError, match=r"^samples: expected as many labels as samples, and at"):
        accuracy(build(), Validation(x, y))


def test_accuracy_makes_no_graph():
    net, graphs = build(), []
    net.layers[0].action = lambda _: graphs.append(torch.is_grad_enabled())
    accuracy(net, HELD)
    assert graphs == [False]
