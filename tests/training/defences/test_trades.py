"""TRADES: its two terms, what they are differentiated through, and ART's trainer."""

import copy
from dataclasses import replace
from math import log

import pytest
import torch
from art.attacks.evasion import FastGradientMethod
from art.defences.trainer import AdversarialTrainerTRADESPyTorch

from art_snn.training import AT, TRADES, AdversarialTraining, Recipe, train
from tests.classifiers import around, classifier, samples
from tests.training.defences.affine import Affine, rows

CLEAN, ATTACKED = rows((log(3), 0), (log(3), 0)), rows((0, 0), (log(3), 0))
LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize("beta", [6, 0.5])
def test_it_is_cross_entropy_of_clean_samples_and_the_divergence_from_their_outputs(beta):
    loss = TRADES(beta=beta).loss(Affine(torch.eye(2).double()), CLEAN, ATTACKED, LABELS)
    # Softmax of (log 3, 0) is (3/4, 1/4), that of (0, 0) is even; the second sample is left alone.
    entropy = (-log(0.75) - log(0.25)) / 2
    divergence = (0.75 * log(0.75 / 0.5) + 0.25 * log(0.25 / 0.5)) / 2
    assert loss.item() == pytest.approx(entropy + beta * divergence, rel=1e-14)


def test_it_is_differentiated_through_both_outputs_and_finite_where_they_are_certain():
    weight = torch.eye(2).double().requires_grad_()

    def loss(weight: torch.Tensor) -> torch.Tensor:
        return TRADES().loss(Affine(weight), CLEAN, ATTACKED, LABELS)

    assert torch.autograd.gradcheck(loss, weight)
    certain = TRADES().loss(Affine(weight), 1e4 * CLEAN, ATTACKED - 1e4, LABELS)
    certain.backward()
    assert certain.isfinite()
    assert weight.grad.isfinite().all()


def test_one_epoch_gives_the_weights_of_art_s_trainer():
    given = classifier()
    x, y = samples(given, 8)
    ours, theirs = given.model, copy.deepcopy(given.model)
    settings = Recipe.short(epochs=1, batch_size=8, learning_rate=0.01)
    adversary = AdversarialTraining(attack="fgsm", eps=0.1, defence=TRADES(beta=3))
    train(ours, x, y, settings, adversary=adversary)
    wrapped = around(theirs, lr=0.01)
    attack = FastGradientMethod(wrapped, eps=0.1)
    AdversarialTrainerTRADESPyTorch(wrapped, attack, beta=3.0)._batch_process(x, y)
    plain = classifier().model
    train(plain, x, y, settings, adversary=replace(adversary, defence=AT()))
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=0, atol=1e-5)
        assert not torch.equal(tensor, plain.state_dict()[name]), name
