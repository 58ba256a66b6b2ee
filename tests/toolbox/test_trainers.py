"""ART's adversarial trainers craft by the attack gradient and update by the training gradient."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent
from art.data_generators import NumpyDataGenerator
from art.defences.preprocessor import Mixup
from art.defences.trainer import (
    AdversarialTrainer,
    AdversarialTrainerAWPPyTorch,
    AdversarialTrainerCertifiedIBPPyTorch,
    AdversarialTrainerCertifiedPytorch,
    AdversarialTrainerFBFPyTorch,
    AdversarialTrainerMadryPGD,
    AdversarialTrainerOAATPyTorch,
    AdversarialTrainerTRADESPyTorch,
    DPInstaHideTrainer,
)

from art_snn import RGA, STBP, PyTorchSpikingClassifier
from tests.conftest import seed_everything
from tests.networks import CLASSES, Counted, build
from tests.toolbox.promises import BOTH, FIT, NOTHING, TRAINING_GRADIENT, WEIGHTS, promises

SAMPLES, BATCH = 16, 8
BATCHES = SAMPLES // BATCH
STEPS = {"eps": 0.1, "eps_step": 0.05, "max_iter": 2, "verbose": False}


class Setup:
    """A classifier to train, its counting rules, and few samples."""

    def __init__(self, layers: Any, data: Any, **options: Any) -> None:
        self.attack_rule, self.training_rule = Counted(RGA()), Counted(STBP())
        self.layers = copy.deepcopy(layers)
        self.classifier = build(
            self.layers, gradient=self.attack_rule, training_gradient=self.training_rule, **options
        )
        self.x, self.y = data.x_train[:SAMPLES].copy(), data.y_train[:SAMPLES].copy()
        self.one_hot = np.eye(CLASSES, dtype=np.float32)[self.y]
        self.before = copy.deepcopy(self.classifier.model.state_dict())
        self.classifiers = [self.classifier]

    def pgd(self) -> ProjectedGradientDescent:
        return ProjectedGradientDescent(self.classifier, **STEPS)

    def twin(self) -> PyTorchSpikingClassifier:
        """Another classifier of the same architecture and rules, with an optimizer of its own."""
        twin = build(
            copy.deepcopy(self.layers),
            gradient=self.attack_rule,
            training_gradient=self.training_rule,
        )
        self.classifiers.append(twin)
        return twin

    def save(self, folder: Path) -> None:
        """Write weights and optimizers of the classifier and its twins, as ART saves them."""
        for number, classifier in enumerate(self.classifiers):
            classifier.save(str(number), str(folder))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; ART saves, and leaves reading to torch."""
        for number, classifier in enumerate(self.classifiers):
            for part in ("model", "optimizer"):
                state = torch.load(folder / f"{number}.{part}", weights_only=part == "model")
                getattr(classifier, part).load_state_dict(state)

    def weights(self) -> dict[str, torch.Tensor]:
        return copy.deepcopy(self.classifier.model.state_dict())

    def assert_trained(self, crafted: int, updated: int) -> None:
        """Backward passes of both rules, and that all weights have moved."""
        counts = (self.attack_rule.tally.backwards, self.training_rule.tally.backwards)
        assert counts == (crafted, updated)
        for name, weight in self.classifier.model.state_dict().items():
            assert torch.isfinite(weight).all(), name
            assert not torch.equal(weight, self.before[name]), name


@pytest.fixture
def setup(trained_layers: Any, data: Any) -> Setup:
    return Setup(trained_layers, data)


def awp(setup: Setup, mode: str) -> AdversarialTrainerAWPPyTorch:
    options = {"mode": mode, "gamma": 0.01, "beta": 6.0, "warmup": 0}
    return AdversarialTrainerAWPPyTorch(setup.classifier, setup.twin(), setup.pgd(), **options)


MADRY = {"nb_epochs": 1, "batch_size": BATCH, "eps": 0.1, "eps_step": 0.05, "max_iter": 3}
TRAINERS: dict[str, tuple[Callable[[Setup], Any], int, int]] = {
    "AdversarialTrainer": (lambda s: AdversarialTrainer(s.classifier, s.pgd(), ratio=1.0), 2, 1),
    "MadryPGD": (lambda s: AdversarialTrainerMadryPGD(s.classifier, **MADRY), 3, 1),
    "FBF": (lambda s: AdversarialTrainerFBFPyTorch(s.classifier, eps=0.1), 1, 1),
    "FBF, numpy": (lambda s: AdversarialTrainerFBFPyTorch(s.classifier, eps=np.float64(0.1)), 1, 1),
    # Updates on clean and adversarial samples.
    "TRADES": (lambda s: AdversarialTrainerTRADESPyTorch(s.classifier, s.pgd(), beta=6.0), 2, 2),
    # The classifier and its proxy update once each.
    "AWP, PGD": (lambda s: awp(s, "PGD"), 2, 2),
    "AWP, TRADES": (lambda s: awp(s, "TRADES"), 2, 4),
    # Mixes samples and adds noise, and crafts nothing.
    "DPInstaHide": (lambda s: DPInstaHideTrainer(s.classifier, Mixup(CLASSES)), 0, 1),
}
"""Trainers with the crafting and updating backward passes of a batch."""


def fit(setup: Setup, name: str, trainer: Any, nb_epochs: int = 1) -> None:
    options = {"batch_size": BATCH, "nb_epochs": nb_epochs}
    if name == "MadryPGD":
        options = {"validation_data": (setup.x, setup.y)}
    one_hot = "FBF" in name or "DP" in name
    trainer.fit(setup.x, setup.one_hot if one_hot else setup.y, **options)


CRAFTS = "crafts with the attack gradient, and updates with the training gradient, batch by batch"


@promises(CRAFTS, "AdversarialTrainer", "AdversarialTrainerMadryPGD", uses=FIT, rule=BOTH)
@promises(
    CRAFTS,
    "AdversarialTrainerFBFPyTorch",
    "AdversarialTrainerTRADESPyTorch",
    "AdversarialTrainerAWPPyTorch",
    uses=WEIGHTS,
    rule=BOTH,
)
@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_crafts_with_the_attack_rule_and_updates_with_the_training_rule(setup, name):
    make, crafted, updated = TRAINERS[name]
    trainer = make(setup)
    fit(setup, name, trainer)
    setup.assert_trained(BATCHES * crafted, BATCHES * updated)
    assert getattr(trainer, "_precomputed_adv_samples", [None]) == [None]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


REPEATS = "an epoch repeats bit for bit, also from weights and optimizers that `save` wrote"
SECOND = "; two epochs of one call are others than two calls, which start ART's order anew"


@promises(REPEATS + SECOND, "AdversarialTrainer", uses=FIT, rule=BOTH)
@promises(REPEATS, "AdversarialTrainerMadryPGD", uses=FIT, rule=BOTH)
@promises(
    REPEATS + SECOND,
    "AdversarialTrainerFBFPyTorch",
    "AdversarialTrainerTRADESPyTorch",
    "AdversarialTrainerAWPPyTorch",
    uses=WEIGHTS,
    rule=BOTH,
)
@promises(REPEATS + SECOND, "DPInstaHideTrainer", uses=FIT, rule=TRAINING_GRADIENT)
@pytest.mark.parametrize("name", TRAINERS)
def test_an_epoch_repeats_bit_for_bit_also_from_what_art_saved(
    trained_layers, data, tmp_path, name
):
    make = TRAINERS[name][0]
    runs = [Setup(trained_layers, data) for _ in range(2)]
    trainers = [make(run) for run in runs]
    for run, trainer in zip(runs, trainers, strict=True):
        seed_everything()
        fit(run, name, trainer)
    assert same(runs[0].weights(), runs[1].weights())
    runs[1].save(tmp_path)
    resumed = Setup(trained_layers, data)
    trainer = make(resumed)
    resumed.load(tmp_path)
    assert same(resumed.weights(), runs[1].weights())
    for run, second in ((runs[0], trainers[0]), (resumed, trainer)):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 (ART draws from numpy's global state)
        fit(run, name, second)
    assert same(runs[0].weights(), resumed.weights())
    assert not same(runs[0].weights(), runs[1].weights())


@pytest.mark.parametrize("name", [name for name in TRAINERS if name != "MadryPGD"])
def test_two_epochs_of_one_call_are_others_than_two_calls(trained_layers, data, name):
    """ART shuffles an order again in its second epoch; FBF's rate depends on their number, too."""
    runs = [Setup(trained_layers, data) for _ in range(2)]
    for run, calls in zip(runs, (1, 2), strict=True):
        seed_everything()
        trainer = TRAINERS[name][0](run)
        for _ in range(calls):
            fit(run, name, trainer, nb_epochs=2 // calls)
    assert not same(runs[0].weights(), runs[1].weights())


@promises(
    "leaves a numpy number as learning rate: `torch.load` reads the optimizer that `save` wrote "
    "with `weights_only=False` only",
    "AdversarialTrainerFBFPyTorch",
    uses=WEIGHTS,
    rule=BOTH,
)
def test_fast_training_leaves_a_learning_rate_that_only_pickle_reads(setup, tmp_path):
    fit(setup, "FBF", AdversarialTrainerFBFPyTorch(setup.classifier, eps=0.1))
    setup.save(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="numpy"):
        torch.load(tmp_path / "0.optimizer", weights_only=True)
    setup.load(tmp_path)


@promises(
    "trains on mixed and noisy samples within clip_values, with the training gradient",
    "DPInstaHideTrainer",
    uses=FIT,
    rule=TRAINING_GRADIENT,
)
def test_insta_hide_trains_on_mixed_and_noisy_samples(setup, monkeypatch):
    batches, train = [], setup.classifier.fit

    def recorded(x: np.ndarray, y: np.ndarray, **options: Any) -> None:
        batches.append((x, y))
        train(x, y, **options)

    monkeypatch.setattr(setup.classifier, "fit", recorded)
    trainer = DPInstaHideTrainer(setup.classifier, Mixup(CLASSES, alpha=8.0), scale=0.1)
    trainer.fit(setup.x, setup.one_hot, batch_size=BATCH, nb_epochs=1)
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert x.shape == setup.x.shape
    assert 0 <= x.min() < x.max() <= 1
    assert np.abs(x[:, None] - setup.x[None]).max(axis=(2, 3, 4)).min() > 0.05
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-5)
    assert ((y > 0).sum(1) == 2).any()
    setup.assert_trained(0, BATCHES)


@promises(
    "it trains a `PytorchDeepZ`, which takes ReLU networks; for spikes "
    "`art-snn harden --defence ibp` trains bounds",
    "AdversarialTrainerCertifiedPytorch",
    uses=NOTHING,
    error=True,
)
@promises(
    "it trains a `PyTorchIBPClassifier`, which takes ReLU networks; for spikes "
    "`art-snn harden --defence ibp` trains bounds",
    "AdversarialTrainerCertifiedIBPPyTorch",
    uses=NOTHING,
    error=True,
)
def test_certified_trainers_want_arts_own_bounds_of_relu_networks(classifier):
    for trainer, kind in (
        (AdversarialTrainerCertifiedPytorch, "PytorchDeepZ"),
        (AdversarialTrainerCertifiedIBPPyTorch, "PyTorchIBPClassifier"),
    ):
        with pytest.raises(ValueError, match=f"should be of type {kind}"):
            trainer(classifier)


OTHER = Counted(STBP(detach_reset=True))


@pytest.mark.parametrize("loss_type", ["cross_entropy", "difference_logits_ratio", None])
def test_adversarial_trainer_crafts_every_batch_anew_with_an_attack_on_another_classifier(
    setup, loss_type, monkeypatch
):
    """APGD wraps the network again; PGD is on a classifier of the same layers and another rule."""
    if loss_type:
        options = STEPS | {"nb_random_init": 1, "batch_size": BATCH}
        attack = AutoProjectedGradientDescent(setup.classifier, loss_type=loss_type, **options)
        crafting = setup.attack_rule
    else:
        twin = build(setup.layers, gradient=OTHER, training_gradient=setup.training_rule)
        attack, crafting = ProjectedGradientDescent(twin, **STEPS), OTHER
    assert attack.estimator is not setup.classifier
    batches = []
    generate = attack.generate

    def recorded(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        weights = next(iter(setup.classifier.model.parameters())).detach().clone()
        batches.append((len(x), weights))
        return generate(x, y)

    monkeypatch.setattr(attack, "generate", recorded)
    trainer = AdversarialTrainer(setup.classifier, attack, ratio=1.0)
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=2)
    assert [size for size, _ in batches] == [BATCH] * BATCHES * 2
    assert not torch.equal(batches[0][1], batches[1][1]), "the second batch saw stale weights"
    assert crafting.tally.backwards > 0
    setup.assert_trained(setup.attack_rule.tally.backwards if loss_type else 0, 2 * BATCHES)


def test_adversarial_trainer_runs_from_a_generator(setup):
    generator = NumpyDataGenerator(setup.x, setup.one_hot, batch_size=BATCH)
    trainer = AdversarialTrainer(setup.classifier, setup.pgd(), ratio=0.5)
    trainer.fit_generator(generator, nb_epochs=1)
    setup.assert_trained(BATCHES * 2, BATCHES)


AVERAGES = {"list_swa_tau": [0.995], "list_swa_epoch": [0], "load_swa_model_tau": 0.995}
PERCEPTUAL = {"layer_names_activation": ["layers.1"], "lpips_weight": 1.0, "i_lpips_weight": 0.0}
BUDGET = {"i_epsilon": 0.05, "epsilon": 0.1, "alternate_iter_eps": 1.0, "max_iter": 2, "alpha": 1.0}
LOSS = {"mixup_epsilon": 0.1, "mixup_alpha": 0.2, "beta": 2.0, "beta_final": 3.0, "norm": "inf"}
STARTS = {"swa_save_epoch": 0, "awp_warmup": 0, "oaat_warmup": 0}
UPDATE = {"awp_gamma": 0.005, "lr": 0.1, "lr_schedule": "cosine", "momentum": 0.9}
OAAT = AVERAGES | PERCEPTUAL | BUDGET | LOSS | STARTS | UPDATE | {"weight_decay": 0.0}


def oaat(setup: Setup, folder: Path, **changes: Any) -> AdversarialTrainerOAATPyTorch:
    networks = (setup.classifier, setup.twin(), setup.twin(), [setup.twin()])
    parameters = OAAT | {"models_path": str(folder)} | changes
    return AdversarialTrainerOAATPyTorch(*networks, setup.pgd(), parameters)


@promises(CRAFTS, "AdversarialTrainerOAATPyTorch", uses=WEIGHTS, rule=BOTH)
def test_oracle_aligned_training_updates_by_the_training_rule(setup, tmp_path):
    oaat(setup, tmp_path).fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    # Clean and adversarial samples, in the classifier and in its proxy.
    setup.assert_trained(BATCHES * 5, BATCHES * 2 * 2)
    assert (tmp_path / "oaat_swa_tau_0.995.model").is_file()


@promises(
    "an epoch repeats bit for bit from the same weights and an empty folder of averages",
    "AdversarialTrainerOAATPyTorch",
    uses=WEIGHTS,
    rule=BOTH,
)
def test_oracle_aligned_training_repeats_bit_for_bit(trained_layers, data, tmp_path):
    runs = [Setup(trained_layers, data) for _ in range(2)]
    for name, run in zip("ab", runs, strict=True):
        (tmp_path / name).mkdir()
        seed_everything()
        oaat(run, tmp_path / name).fit(run.x, run.y, batch_size=BATCH, nb_epochs=1)
    assert same(runs[0].weights(), runs[1].weights())


def test_oracle_aligned_training_runs_its_perceptual_phase(setup, tmp_path):
    averaged = tmp_path / "oaat_swa_tau_0.995.model"
    torch.save(setup.classifier.model.state_dict(), averaged)
    trainer = oaat(setup, tmp_path, alternate_iter_eps=0.0)
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    assert trainer._apply_lpips_pert
    counts = setup.attack_rule.tally.backwards, setup.training_rule.tally.backwards
    assert all(counts)
    setup.assert_trained(*counts)
    # By a bug of ART both activations are one dictionary, so the second input overwrites the first.
    inputs = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    distance = trainer.calculate_lpips_distance(setup.twin(), *inputs, ["layers.1"])
    assert (distance == 0).all()
