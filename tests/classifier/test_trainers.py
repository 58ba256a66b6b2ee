"""ART's adversarial trainers craft by the attack gradient and update by the training gradient."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent
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

    @property
    def crafted(self) -> int:
        return self.attack_rule.tally.backwards

    @property
    def updated(self) -> int:
        return self.training_rule.tally.backwards

    def pgd(self) -> ProjectedGradientDescent:
        return ProjectedGradientDescent(self.classifier, **STEPS)

    def twin(self) -> PyTorchSpikingClassifier:
        """Another classifier of the same architecture and rules, with an optimizer of its own."""
        return build(
            copy.deepcopy(self.layers),
            gradient=self.attack_rule,
            training_gradient=self.training_rule,
        )

    def assert_all_weights_moved(self) -> None:
        for name, weight in self.classifier.model.state_dict().items():
            assert torch.isfinite(weight).all(), name
            assert not torch.equal(weight, self.before[name]), name


@pytest.fixture
def setup(trained_layers: Any, data: Any) -> Setup:
    return Setup(trained_layers, data)


def test_adversarial_trainer_crafts_every_batch_anew_with_pgd(setup: Setup) -> None:
    trainer = AdversarialTrainer(setup.classifier, setup.pgd(), ratio=1.0)
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    assert setup.crafted == BATCHES * 2
    assert setup.updated == BATCHES
    assert trainer._precomputed_adv_samples == [None]
    setup.assert_all_weights_moved()


@pytest.mark.parametrize("loss_type", ["cross_entropy", "difference_logits_ratio"])
def test_adversarial_trainer_crafts_every_batch_anew_with_an_attack_that_wraps_the_network_again(
    setup: Setup, loss_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = AutoProjectedGradientDescent(
        setup.classifier, loss_type=loss_type, nb_random_init=1, batch_size=BATCH, **STEPS
    )
    assert attack.estimator is not setup.classifier
    batches = []
    generate = attack.generate

    def recorded(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        weights = next(iter(setup.classifier.model.parameters())).detach().clone()
        batches.append((len(x), weights))
        return generate(x, y)

    monkeypatch.setattr(attack, "generate", recorded)
    trainer = AdversarialTrainer(setup.classifier, attack, ratio=1.0)
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    assert [size for size, _ in batches] == [BATCH] * BATCHES
    assert not torch.equal(batches[0][1], batches[1][1]), "the second batch saw stale weights"
    assert setup.crafted > 0
    assert setup.updated == BATCHES
    setup.assert_all_weights_moved()


def test_adversarial_trainer_runs_from_a_generator(setup: Setup) -> None:
    from art.data_generators import NumpyDataGenerator

    generator = NumpyDataGenerator(setup.x, setup.one_hot, batch_size=BATCH)
    trainer = AdversarialTrainer(setup.classifier, setup.pgd(), ratio=0.5)
    trainer.fit_generator(generator, nb_epochs=1)
    assert setup.crafted == BATCHES * 2
    assert setup.updated == BATCHES
    setup.assert_all_weights_moved()


def test_madry_pgd_crafts_by_the_attack_rule_and_updates_by_the_training_rule(setup: Setup) -> None:
    trainer = AdversarialTrainerMadryPGD(
        setup.classifier, nb_epochs=1, batch_size=BATCH, eps=0.1, eps_step=0.05, max_iter=3
    )
    trainer.fit(setup.x, setup.y, validation_data=(setup.x, setup.y))
    assert setup.crafted == BATCHES * 3
    assert setup.updated == BATCHES
    setup.assert_all_weights_moved()


@pytest.mark.parametrize("eps", [0.1, np.float64(0.1)], ids=["float", "numpy float64"])
def test_fast_is_better_than_free_crafts_once_per_batch(setup: Setup, eps: float) -> None:
    trainer = AdversarialTrainerFBFPyTorch(setup.classifier, eps=eps)
    trainer.fit(setup.x, setup.one_hot, batch_size=BATCH, nb_epochs=3)
    assert setup.crafted == 3 * BATCHES
    assert setup.updated == 3 * BATCHES
    setup.assert_all_weights_moved()


def test_trades_updates_on_clean_and_adversarial_samples(setup: Setup) -> None:
    trainer = AdversarialTrainerTRADESPyTorch(setup.classifier, setup.pgd(), beta=6.0)
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    assert setup.crafted == BATCHES * 2
    assert setup.updated == BATCHES * 2
    setup.assert_all_weights_moved()


@pytest.mark.parametrize(("mode", "forwards"), [("PGD", 1), ("TRADES", 2)])
def test_adversarial_weight_perturbation_updates_by_the_training_rule(
    setup: Setup, mode: str, forwards: int
) -> None:
    trainer = AdversarialTrainerAWPPyTorch(
        setup.classifier, setup.twin(), setup.pgd(), mode=mode, gamma=0.01, beta=6.0, warmup=0
    )
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    assert setup.crafted == BATCHES * 2
    # The classifier and its proxy update once each.
    assert setup.updated == BATCHES * forwards * 2
    setup.assert_all_weights_moved()


def oaat(setup: Setup, folder: Path, **changes: Any) -> AdversarialTrainerOAATPyTorch:
    parameters = {
        "models_path": str(folder),
        "swa_save_epoch": 0,
        "list_swa_tau": [0.995],
        "list_swa_epoch": [0],
        "load_swa_model_tau": 0.995,
        "layer_names_activation": ["layers.1"],
        "i_epsilon": 0.05,
        "epsilon": 0.1,
        "alternate_iter_eps": 1.0,
        "max_iter": 2,
        "mixup_epsilon": 0.1,
        "mixup_alpha": 0.2,
        "alpha": 1.0,
        "lpips_weight": 1.0,
        "i_lpips_weight": 0.0,
        "beta": 2.0,
        "beta_final": 3.0,
        "awp_warmup": 0,
        "awp_gamma": 0.005,
        "oaat_warmup": 0,
        "lr": 0.1,
        "lr_schedule": "cosine",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "norm": "inf",
    }
    return AdversarialTrainerOAATPyTorch(
        setup.classifier,
        setup.twin(),
        setup.twin(),
        [setup.twin()],
        setup.pgd(),
        parameters | changes,
    )


def test_oracle_aligned_training_updates_by_the_training_rule(setup: Setup, tmp_path: Path) -> None:
    oaat(setup, tmp_path).fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    assert setup.crafted == BATCHES * 5
    # Clean and adversarial samples, in the classifier and in its proxy.
    assert setup.updated == BATCHES * 2 * 2
    assert (tmp_path / "oaat_swa_tau_0.995.model").is_file()
    setup.assert_all_weights_moved()


def test_oracle_aligned_training_runs_its_perceptual_phase(setup: Setup, tmp_path: Path) -> None:
    averaged = tmp_path / "oaat_swa_tau_0.995.model"
    torch.save(setup.classifier.model.state_dict(), averaged)
    trainer = oaat(setup, tmp_path, alternate_iter_eps=0.0)
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=1)
    assert trainer._apply_lpips_pert
    assert setup.crafted > 0
    assert setup.updated > 0
    setup.assert_all_weights_moved()


def test_the_perceptual_distance_of_oracle_aligned_training_is_zero_by_a_defect_of_art(
    setup: Setup,
) -> None:
    # Both activations are one dictionary, so the second input overwrites the first.
    distance = AdversarialTrainerOAATPyTorch.calculate_lpips_distance(
        setup.twin(), torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8), ["layers.1"]
    )
    assert (distance == 0).all()


def test_adversarial_trainer_crafts_anew_by_the_rule_of_a_classifier_on_the_same_layers(
    setup: Setup,
) -> None:
    other = Counted(STBP(detach_reset=True))
    twin = build(setup.layers, gradient=other, training_gradient=setup.training_rule)
    attack = ProjectedGradientDescent(twin, **STEPS)
    generated = []
    generate = attack.generate
    attack.generate = lambda *args, **kwargs: generated.append(1) or generate(*args, **kwargs)
    trainer = AdversarialTrainer(setup.classifier, attacks=attack, ratio=1.0)
    trainer.fit(setup.x, setup.y, batch_size=BATCH, nb_epochs=3)
    assert len(generated) == 3 * BATCHES
    assert other.tally.backwards > 0
    assert setup.crafted == 0
