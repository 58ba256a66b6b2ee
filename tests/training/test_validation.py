"""The best epoch is chosen by validation samples, and survives a kill."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from art_snn.training import Epoch, Recipe, Validation, accuracy, best_epoch, loop as module, train
from tests.tiny import same, weights
from tests.training.runs import SETTINGS, assert_same_state, build, samples, trained

HELD = Validation(*samples(10))


def test_the_network_has_the_weights_of_the_best_epoch_afterwards(monkeypatch):
    net, seen, scores = build(), [], iter([0.5, 0.75, 0.25])
    monkeypatch.setattr(module, "accuracy", lambda *_: next(scores))
    finish = module.State.finish

    def note(state: Any, epoch: Epoch) -> None:
        seen.append(weights(state.network))
        finish(state, epoch)

    monkeypatch.setattr(module.State, "finish", note)
    history = train(net, *samples(), SETTINGS, validation=HELD)
    assert [epoch.validation for epoch in history] == [0.5, 0.75, 0.25]
    assert best_epoch(history) is history[1]
    assert same(weights(net), seen[1])
    assert not same(weights(net), seen[2])


def test_without_validation_samples_the_last_weights_stay_and_the_history_has_no_accuracy():
    net = build()
    history = train(net, *samples(), SETTINGS)
    assert [epoch.number for epoch in history] == [1, 2, 3]
    assert [epoch.validation for epoch in history] == [None] * 3
    assert best_epoch(history) is None
    assert_same_state(net, trained())


def test_validation_does_not_change_the_training(tmp_path):
    path = tmp_path / "state.pt"
    train(build(), *samples(), SETTINGS, path, validation=HELD)
    assert same(torch.load(path, weights_only=True)["network"], weights(trained()))


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples_not_over_its_steps(monkeypatch):
    losses = iter([1.0, 2.0, 6.0])
    monkeypatch.setattr(module, "_step", lambda *_: next(losses))
    settings = Recipe.short(epochs=1, batch_size=8)
    (epoch,) = train(build(), *samples(20), settings)
    assert epoch.loss == pytest.approx((8 * 1 + 8 * 2 + 4 * 6) / 20)


def test_of_equal_epochs_the_first_is_best():
    history = [Epoch(1, 1.0, 0.2), Epoch(2, 1.0, 0.7), Epoch(3, 0.5, 0.7)]
    assert best_epoch(history) is history[1]
    assert best_epoch([]) is None


def test_accuracy_counts_the_samples_of_every_batch():
    x, y = samples(7)
    answers = iter([[0, 1, 2], [0, 0, 0], [0]])

    class Answering(torch.nn.Linear):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.tensor(next(answers)), 3).float()

    network: Any = Answering(1, 1)
    assert accuracy(network, Validation(x, y), batch_size=3) == pytest.approx(5 / 7)
    assert next(answers, None) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, y[:4]), "5 samples and 4 labels"),
        (lambda x, y: (x[:, :5], y), r"samples of shape \[6\].*\[5\]"),
        (lambda x, y: (x, y * 0 + 5), "labels from 0 to 2"),
    ],
)
def test_bad_validation_samples_are_refused_before_anything_is_trained(change, message, tmp_path):
    held = Validation(*change(*samples(5)))
    with pytest.raises(ValueError, match=rf"^validation: expected .*{message}"):
        train(build(), *samples(), SETTINGS, tmp_path / "s.pt", validation=held)
    assert list(tmp_path.iterdir()) == []


def test_accuracy_makes_no_graph_and_is_refused_for_no_sample():
    net, graphs = build(), []
    net.layers[0].action = lambda _: graphs.append(torch.is_grad_enabled())
    accuracy(net, HELD)
    assert graphs == [False]
    with pytest.raises(ValueError, match=r"^samples: .*at least one"):
        accuracy(net, Validation(*samples(0)))
