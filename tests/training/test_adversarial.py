"""Adversarial training: ART crafts by the chosen rule, STBP trains, and it resumes exactly."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import FastGradientMethod
from art.defences.trainer import AdversarialTrainer

from art_snn import RGA, STBP
from art_snn.attacks import craft_batch, parse_stage
from art_snn.training import TRADES, AdversarialTraining, Recipe, adversarial, loop as module, train
from tests.classifiers import CLASSES, SHAPE, Counted, Tally, around, classifier, samples
from tests.training.runs import assert_same_state

PGD: dict[str, Any] = {"attack": "pgd(max_iter=3)", "eps": 0.1}
SETTINGS = Recipe.short(epochs=2, batch_size=4, learning_rate=0.01)


def network() -> Any:
    return classifier().model


def pairs(count: int = 10) -> tuple[np.ndarray, np.ndarray]:
    return samples(classifier(), count)


def crafting(network: Any, **options: Any) -> Any:
    """What the training does to clean samples, as numpy arrays."""
    craft = AdversarialTraining(**PGD | options).against(network, SHAPE, CLASSES)
    return lambda x, y: craft(torch.as_tensor(x), torch.as_tensor(y)).numpy()


def test_every_step_trains_on_what_the_attack_crafts_against_the_network_as_it_is(monkeypatch):
    x, y = pairs()
    net, seen = network(), []
    step = module._step

    def checked(state: Any, clean: Any, batch: Any, labels: Any) -> float:
        twin = copy.deepcopy(state.network)
        assert state.network.training
        rows = [int(np.abs(x - sample).sum((1, 2, 3)).argmin()) for sample in batch.numpy()]
        stage, wrapped = parse_stage(PGD["attack"], np.inf, 0.1), around(twin)
        expected = craft_batch(stage, wrapped, x[rows], labels.numpy(), norm=np.inf, eps=0.1)
        np.testing.assert_array_equal(batch.numpy(), expected)
        assert np.abs(batch.numpy() - x[rows]).max() <= 0.1 + 1e-6
        seen.append(len(batch))
        return step(state, clean, batch, labels)

    monkeypatch.setattr(module, "_step", checked)
    train(net, x, y, SETTINGS, adversary=AdversarialTraining(**PGD))
    assert seen == [4, 4, 2] * 2


def test_one_epoch_gives_the_weights_of_art_s_adversarial_trainer():
    x, y = pairs(8)
    settings = Recipe.short(epochs=1, batch_size=8, learning_rate=0.01)
    ours = network()
    train(ours, x, y, settings, adversary=AdversarialTraining(attack="fgsm", eps=0.1))
    theirs = network()
    before, wrapped = copy.deepcopy(theirs.state_dict()), around(theirs, lr=0.01)
    trainer = AdversarialTrainer(wrapped, FastGradientMethod(wrapped, eps=0.1), ratio=1.0)
    trainer.fit(x, y, batch_size=8, nb_epochs=1)
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=0, atol=1e-5)
        assert not torch.equal(tensor, before[name]), name


def test_the_attack_differentiates_by_its_rule_and_the_weights_by_the_training_gradient():
    crafting, own, training = Tally(), Tally(), Tally()
    net = network()
    net.gradient, net.training_gradient = Counted(STBP(), own), Counted(STBP(), training)
    adversary = AdversarialTraining(**PGD, rule=Counted(RGA(), crafting))
    train(net, *pairs(8), SETTINGS, adversary=adversary)
    assert (crafting.backwards, own.backwards, training.backwards) == (2 * 2 * 3, 0, 2 * 2)
    assert isinstance(net.gradient, Counted)


def test_adversarial_samples_stay_in_the_value_range_and_are_not_rounded_to_bytes():
    x, y = pairs(8)
    crafted = crafting(network(), attack="pgd", eps=5.0, value_range=(-1.0, 3.0))(x, y)
    assert (crafted.min(), crafted.max()) == (-1, 3)
    numbers = (3 * x).astype(np.uint8)
    crafted = crafting(network(), attack="fgsm", eps=0.3, value_range=(0, 255))(numbers, y)
    assert (crafted - numbers).max() == pytest.approx(0.3, abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_rule_of_the_network_are_left_as_they_were(training):
    net = network().train(training)
    net.layers[0].eval()
    net.gradient = rule = STBP()
    craft = crafting(net)
    for _ in range(2):
        modes = [module.training for module in (net, *net.layers[:2])]
        assert modes == [training, False, training]
        assert net.gradient is rule
        craft(*pairs(4))


def test_validation_is_under_the_attack():
    x, y = pairs()
    settings = Recipe.short(epochs=1, batch_size=16, learning_rate=1e-9)
    strong = AdversarialTraining(eps=0.5)
    (plain,) = train(network(), x, y, settings, validation=(x, y))
    (under,) = train(network(), x, y, settings, validation=(x, y), adversary=strong)
    assert plain.validation == pytest.approx(0.8)
    assert under.validation < plain.validation


def test_the_adversary_knows_classes_that_no_training_sample_has():
    x, y = pairs(8)
    net, seen = network(), []

    class Watched(AdversarialTraining):
        def against(self, network: Any, shape: Any, classes: int) -> Any:
            seen.append(classes)
            return super().against(network, shape, classes)

    train(net, x, y * 0, SETTINGS, validation=(x, y), adversary=Watched(**PGD))
    assert seen == [CLASSES]


def test_samples_outside_the_value_range_are_refused_and_not_clipped():
    x, y = pairs(8)
    net = network()
    with pytest.raises(ValueError, match=r"^x: .*within"):
        train(net, 5 * x, y, SETTINGS, adversary=AdversarialTraining(**PGD))
    assert_same_state(net, network())


def test_a_rule_that_does_not_apply_is_refused_before_anything_is_trained(tmp_path):
    adversary = AdversarialTraining(**PGD, rule="cba")
    with pytest.raises(ValueError, match=r"^gradient: .*applies.*CBA\("):
        train(network(), *pairs(4), SETTINGS, tmp_path / "new" / "s.pt", adversary=adversary)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        *(("attack", "cw", "the class of an evasion attack"), ("attack", 7, "a text")),
        *(("eps", 0, "above 0"), ("norm", 1, "numpy.inf or 2"), ("rule", "sgd", "one of")),
        ("rule", RGA, r"a gradient rule such as RGA\(\)"),
        ("value_range", (1, 0), r"\(low, high\)"),
        *(("share", value, "above 0 and at most 1") for value in (0, -0.5, 1.5, "half")),
        *(("defence", value, r"such as AT\(\)") for value in (None, "trades", TRADES)),
    ],
)
def test_settings_outside_their_range_are_refused(name, value, word):
    with pytest.raises((ValueError, TypeError), match=rf"^{name}: expected .*{word}"):
        AdversarialTraining(**{name: value})


def test_a_share_is_of_different_samples_each_with_its_own_label(monkeypatch):
    x, y = pairs(8)
    given = []
    crafted = crafting(network(), share=0.3)(x, y)
    assert (crafted != x).reshape(8, -1).any(1).sum() == 3
    monkeypatch.setattr(adversarial, "craft_batch", lambda *o, **_: given.append(o[2:]) or o[2])
    craft = crafting(network(), share=0.75)
    for seed in range(5):
        np.random.seed(seed)  # noqa: NPY002
        craft(x, y)
    for samples_, labels in given:
        rows = [int(np.abs(x - sample).sum((1, 2, 3)).argmin()) for sample in samples_]
        assert len(set(rows)) == 6
        assert labels.tolist() == y[rows].tolist()
    assert len({batch[0].tobytes() for batch in given}) > 1


def test_what_a_rule_remembers_is_of_one_batch():
    net = network()
    craft, batch = crafting(net, rule="assg"), pairs(4)
    net.body.memory[STBP()] = "an older word"
    crafted = [craft(*batch) for _ in range(2)]
    np.testing.assert_array_equal(*crafted)
    assert net.body.memory == {}
