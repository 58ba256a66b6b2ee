"""StoG: how rho moves in the first half of a training, and what is refused."""

import pytest
import torch
from torch import nn

from art_snn.modulation import gates_of
from art_snn.training import AT, AdversarialTraining, Learner, StoG, train
from tests.training.runs import SETTINGS, build, samples


@pytest.mark.parametrize(("progress", "moves"), [(0.4, True), (0.6, False)])
def test_rho_follows_the_prior_and_the_gradient_of_the_loss_in_the_first_half(progress, moves):
    net, (x, y) = build(), map(torch.as_tensor, samples(8))
    defence, learner = StoG(opening=0.5, rate=2.0), Learner(network=net, progress=progress)
    (gates,) = gates_of(net)
    rho, losses = gates.rho.uniform_(0.3, 1).clone(), []
    for each in (AT(), defence):
        torch.manual_seed(1)
        losses.append(each.loss(learner, x, x, y))
    assert torch.equal(*losses)
    losses[1].backward()
    gradient = gates.rho.grad
    defence.after_step(net, share=0.1)
    assert not gates.rho.requires_grad
    assert gates.rho.grad is None
    if moves:
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gates.rho, 0.5**0.2 * rho - 2 * gradient)
    else:
        assert torch.equal(gates.rho, rho)


@pytest.mark.parametrize("epochs", [2, 4])
def test_the_prior_alone_brings_rho_to_the_opening_in_a_training_of_any_length(epochs):
    net, recipe = build(), SETTINGS.short(epochs=epochs, batch_size=8)
    adversary = AdversarialTraining(attack="fgsm", defence=StoG(opening=0.6, rate=1e-6))
    train(net, *samples(), recipe, adversary=adversary)
    assert gates_of(net)[0].rho.tolist() == pytest.approx([0.6] * 10, abs=1e-3)


def test_a_network_without_gates_is_refused_before_it_is_trained():
    net = build()
    net.layers[3] = nn.Identity()
    with pytest.raises(ValueError, match=r"^network: .*gates"):
        train(net, *samples(), SETTINGS, adversary=AdversarialTraining(defence=StoG()))
