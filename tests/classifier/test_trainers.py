"""ART's adversarial trainers craft by the attack gradient and update by the training gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent
from art.data_generators import NumpyDataGenerator
from art.defences.trainer import (
    AdversarialTrainer,
    AdversarialTrainerAWPPyTorch,
    AdversarialTrainerFBFPyTorch,
    AdversarialTrainerMadryPGD,
    AdversarialTrainerOAATPyTorch,
    AdversarialTrainerTRADESPyTorch,
)

from art_snn import RGA, STBP, PyTorchSpikingClassifier
from tests.networks import CLASSES, Counted, build

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

    def pgd(self) -> ProjectedGradientDescent:
        return ProjectedGradientDescent(self.classifier, **STEPS)

    def twin(self) -> PyTorchSpikingClassifier:
        """Another classifier of the same architecture and rules, with an optimizer of its own."""
        return build(
            copy.deepcopy(self.layers),
            gradient=self.attack_rule,
            training_gradient=self.training_rule,
        )

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
}
"""Trainers with the crafting and updating backward passes of a batch."""


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_crafts_with_the_attack_rule_and_updates_with_the_training_rule(setup, name):
    make, crafted, updated = TRAINERS[name]
    trainer, options = make(setup), {"batch_size": BATCH, "nb_epochs": 1}
    if name == "MadryPGD":
        options = {"validation_data": (setup.x, setup.y)}
    trainer.fit(setup.x, setup.one_hot if "FBF" in name else setup.y, **options)
    setup.assert_trained(BATCHES * crafted, BATCHES * updated)
    assert getattr(trainer, "_precomputed_adv_samples", [None]) == [None]


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


def test_oracle_aligned_training_updates_by_the_training_rule(setup, tmp_path):
    oaat(setup, tmp_path).fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    # Clean and adversarial samples, in the classifier and in its proxy.
    setup.assert_trained(BATCHES * 5, BATCHES * 2 * 2)
    assert (tmp_path / "oaat_swa_tau_0.995.model").is_file()


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
