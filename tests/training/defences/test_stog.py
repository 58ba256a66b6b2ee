"""StoG: how rho moves in the first half of a training, and what is refused."""

from __future__ import annotations

import pytest
import torch

from art_snn.modulation import gates_of
from art_snn.training import AT, AdversarialTraining, Learner, StoG, train
from tests.training.runs import SETTINGS, build, samples, watch


def step(progress: float, share: float, **strengths: float):
    """rho before and after a step of the defence, and the gradient of the loss at it."""
    net, x, y = build(), *map(torch.as_tensor, samples(8))
    (gates,) = gates_of(net)
    rho = gates.rho.uniform_(0.3, 1).clone()
    defence, learner = StoG(**strengths), Learner(network=net, progress=progress)
    torch.manual_seed(1)
    loss = defence.loss(learner, x, x, y)
    torch.manual_seed(1)
    assert torch.equal(loss, AT().loss(learner, x, x, y))
    loss.backward()
    gradient = gates.rho.grad
    defence.after_step(net, share)
    assert not gates.rho.requires_grad
    assert gates.rho.grad is None
    return rho, gates.rho, gradient


def test_rho_follows_the_prior_and_the_gradient_of_the_cross_entropy():
    rho, moved, gradient = step(0.4, 0.1, opening=0.5, rate=2.0)
    assert gradient.abs().max() > 0
    torch.testing.assert_close(moved, 0.5**0.2 * rho - 2 * gradient)


def test_rho_stays_in_the_second_half():
    rho, moved, gradient = step(0.6, 0.1)
    assert gradient is None
    assert torch.equal(moved, rho)


def test_the_prior_alone_brings_rho_to_the_opening_in_half_of_a_training_of_any_length():
    for epochs in (2, 6):
        net, seen = build(), []
        recipe = SETTINGS.short(epochs=epochs, batch_size=8)
        watch(net, lambda _, net=net, seen=seen: seen.append(gates_of(net)[0].rho.mean().item()))
        adversary = AdversarialTraining(attack="fgsm", defence=StoG(opening=0.6, rate=1e-6))
        train(net, *samples(), recipe, adversary=adversary)
        assert seen[0] == 1
        assert gates_of(net)[0].rho.tolist() == pytest.approx([0.6] * 10, abs=1e-3)
        assert seen[len(seen) // 4] == pytest.approx(0.6**0.5, abs=0.06)


def test_a_network_without_gates_is_refused_before_it_is_trained():
    net = build()
    net.layers[3] = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"^network: expected a network with gates for StoG, got"):
        train(net, *samples(), SETTINGS, adversary=AdversarialTraining(defence=StoG()))
