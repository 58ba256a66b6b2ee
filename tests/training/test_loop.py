"""Training: it learns, leaves everything else alone, and keeps the best epoch by validation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import Direct, SpikingNetwork
from art_snn.seeding import fix_seed
from art_snn.training import (
    AdversarialTraining,
    Recipe,
    accuracy,
    best_epoch,
    loop as module,
    train,
)
from art_snn.training.defences import TRADES
from art_snn.training.state import Epoch, describe_stall
from tests.architectures import same, weights
from tests.training.runs import (
    SETTINGS,
    STEPS_PER_EPOCH,
    assert_same_state,
    build,
    samples,
    trained,
    watch,
)


class Doubled(Recipe):
    def augment(self, batch: Tensor) -> Tensor:
        return 2 * batch


@pytest.mark.parametrize(("recipe", "factor"), [(Recipe, 1), (Doubled, 2)])
def test_every_sample_is_seen_augmented_once_an_epoch_in_another_order_each_time(recipe, factor):
    net = build()
    net.encoder = Direct(1)
    seen = []
    watch(net, lambda x: seen.append(x[0]))
    x, y = samples()
    train(net, x, y, recipe.short(3, batch_size=8))
    assert [len(batch) for batch in seen] == [8, 8, 4] * 3
    epochs = torch.cat(seen).view(3, 20, 6)
    for epoch in epochs:
        assert torch.equal(epoch.sort(0).values, factor * torch.as_tensor(x).sort(0).values)
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])


@pytest.fixture(scope="module")
def first() -> SpikingNetwork:
    """The network of an undisturbed training."""
    return trained()


def test_the_outcome_depends_on_the_seed_of_the_settings_and_not_on_the_random_states(first):
    net = build()
    torch.manual_seed(99)
    state, array = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    train(net, *samples(), SETTINGS)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], array)  # noqa: NPY002
    assert_same_state(net, first)
    other = trained(settings=replace(SETTINGS, seed=5))
    assert not torch.equal(other.layers[1].module[0].weight, first.layers[1].module[0].weight)


def test_read_only_and_reversed_arrays_and_small_integers_are_trained_on(first):
    x, y = samples()
    turned, labels = x[::-1].copy()[::-1], y.astype(np.uint8)
    for array in (turned, labels):
        array.setflags(write=False)
    net = build()
    train(net, turned, labels, SETTINGS, validation=(turned, labels))
    assert not any(module.training for module in net.modules())
    net = build()
    train(net, turned, labels, SETTINGS)
    assert_same_state(net, first)


def test_what_the_settings_leave_open_is_fitted_to_samples_that_are_no_images():
    open_, settled = (
        Recipe(epochs=1, learning_rate=0.01, **change)
        for change in ({}, {"crop_padding": 0, "flip": False, "cutout": 0})
    )
    assert_same_state(trained(settings=open_), trained(settings=settled))


def test_training_gives_bit_for_bit_the_weights_of_a_loop_by_hand():
    net = build()
    x, y = (torch.as_tensor(a) for a in samples())
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2 * STEPS_PER_EPOCH)
    net.train()
    for epoch in range(2):
        with fix_seed(4 * 100_003 + epoch):
            for rows in torch.randperm(20).split(8):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
    ours = trained(settings=Recipe.short(2, seed=4, batch_size=8))
    assert_same_state(ours, net)
    after, before = (one.state_dict() for one in (ours, build()))
    assert not any(torch.equal(after[name], before[name]) for name, _ in net.named_parameters())


X, Y = samples()
HELD = samples(10)
BAD: list[tuple[dict[str, Any], str]] = [
    ({"x": np.full((20, 6), np.nan)}, "x, y: .*finite"),
    ({"y": np.arange(20) % 4}, "x, y: .*labels from 0 to 2"),
    ({"y": Y[:19]}, r"x, y: .*20 class indices .*\(19,\)"),
    ({"x": X[:0], "y": Y[:0]}, r"x, y: .*samples .*\(0, 6\)"),
    ({"y": torch.zeros(20)}, "x, y: .*numpy array, got Tensor"),
    ({"validation": (HELD[0], HELD[1][:4])}, r"validation: .*10 class indices .*\(4,\)"),
    ({"validation": (HELD[0][:, :5], HELD[1])}, r"validation: .*shape \[6\].*\[5\]"),
    ({"validation": (HELD[0], HELD[1] * 0 + 5)}, "validation: .*labels from 0 to 2"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_bad_samples_are_refused_before_anything_is_trained(change, words, tmp_path):
    net, before = build().train(), build()
    net.layers[1].eval()
    with pytest.raises(ValueError, match=f"^{words}"):
        train(net, **{"x": X, "y": Y} | change, recipe=SETTINGS, resume=tmp_path / "new" / "s.pt")
    assert_same_state(net, before)
    assert (net.training, net.layers[1].training) == (True, False)
    assert list(tmp_path.iterdir()) == []


def diverge(net: SpikingNetwork, step: int) -> float | None:
    return float("nan") if step == STEPS_PER_EPOCH + 2 else None


def overflow(net: SpikingNetwork, step: int) -> None:
    if step == 3 * STEPS_PER_EPOCH:
        net.layers[1].module[0].weight.data[0, 0] = float("inf")


@pytest.mark.parametrize(
    ("damage", "epochs", "message"),
    [(diverge, 1, "loss of nan in epoch 2"), (overflow, 2, "finite weights, .* in layers")],
)
def test_a_run_that_diverges_keeps_its_epochs(damage, epochs, message, tmp_path, monkeypatch):
    path, losses, step = tmp_path / "state.pt", [], module._step

    def damaged(state: Any, *given: Any) -> float:
        losses.append(step(state, *given))
        return damage(state.network, len(losses)) or losses[-1]

    monkeypatch.setattr(module, "_step", damaged)
    with pytest.raises(ValueError, match=rf"^learning_rate: .*{message}"):
        train(build(), X, Y, SETTINGS, path)
    assert torch.load(path, weights_only=True)["epochs_done"] == epochs


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


def test_without_validation_samples_the_last_weights_stay_and_the_history_has_no_accuracy(first):
    net = build()
    history = train(net, *samples(), SETTINGS)
    assert [epoch.number for epoch in history] == [1, 2, 3]
    assert [epoch.validation for epoch in history] == [None] * 3
    assert best_epoch(history) is None
    assert_same_state(net, first)


def test_validation_does_not_change_the_training(first, tmp_path):
    path = tmp_path / "state.pt"
    train(build(), *samples(), SETTINGS, path, validation=HELD)
    assert same(torch.load(path, weights_only=True)["network"], weights(first))


def test_the_loss_of_an_epoch_is_the_mean_over_its_samples_not_over_its_steps(monkeypatch):
    losses = iter([1.0, 2.0, 6.0])
    monkeypatch.setattr(module, "_step", lambda *_: next(losses))
    (epoch,) = train(build(), *samples(20), Recipe.short(epochs=1, batch_size=8))
    assert epoch.loss == pytest.approx((8 * 1 + 8 * 2 + 4 * 6) / 20)


def test_of_equal_epochs_the_first_is_best():
    history = [Epoch(1, 1.0, 0.2), Epoch(2, 1.0, 0.7), Epoch(3, 0.5, 0.7)]
    assert best_epoch(history) is history[1]
    assert best_epoch([]) is None


@pytest.mark.parametrize(
    ("loss", "validation", "epochs", "adversary", "stalled"),
    [
        # ln 10 is 2.303.
        *((2.19, 0.5, 3, None, True), (9.0, None, 3, None, True), (2.18, 0.1, 3, None, False)),
        *((2.3, 0.1, 2, None, False), (2.3, 0.4, 3, AdversarialTraining(), True)),
        *((2.3, v, 3, AdversarialTraining(defence=TRADES()), v == 0.1) for v in (0.1, 0.4, None)),
    ],
)
def test_a_loss_of_guessing_has_not_learnt(loss, validation, epochs, adversary, stalled):
    history = [Epoch(1, 0.5, 0.9), Epoch(2, loss, validation)]
    sentence = describe_stall(history, epochs, 10, adversary)
    expected = f"the loss of epoch 2 is {loss:.3f}, and guessing gives ln 10 = 2.303."
    assert sentence == (f"did not learn: {expected}" if stalled else "")


def test_accuracy_counts_the_samples_of_every_batch():
    x, y = samples(7)
    answers = iter([[0, 1, 2], [0, 0, 0], [0]])

    class Answering(torch.nn.Linear):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.tensor(next(answers)), 3).float()

    network: Any = Answering(1, 1)
    assert accuracy(network, x, y, batch_size=3) == pytest.approx(5 / 7)
    assert next(answers, None) is None


def test_accuracy_makes_no_graph_and_is_refused_for_no_sample():
    net, graphs = build(), []
    net.layers[0].action = lambda _: graphs.append(torch.is_grad_enabled())
    accuracy(net, *HELD)
    assert graphs == [False]
    with pytest.raises(ValueError, match=r"^x: .*\(0, 6\)"):
        accuracy(net, *samples(0))
