"""HART: the surrogate slope averaged over time, together with the gradient that it multiplies."""

import pytest
import torch
from torch import nn

from art_snn import HART, Frames
from art_snn.dynamics import Dynamics
from art_snn.gradients import ATan, Trace, Triangle
from tests.architectures import network
from tests.gradients.ways import by_collapse, by_steps, on_the_check_vector

TABLE = [
    (1.0, "hard", 1.0, 0.3125),
    (1.0, "hard", 0.5, 0.175),
    (0.5, "hard", 1.0, 0.275),
    (0.5, "hard", 0.5, 0.025),
    (1.0, "soft", 1.0, 0.58125),
    (0.5, "soft", 1.0, 0.34375),
]


@pytest.mark.parametrize(("decay", "reset", "width", "d"), TABLE)
def test_the_gradient_is_the_one_computed_by_hand_at_every_step(decay, reset, width, d):
    rule = HART(surrogate=Triangle(width))
    got = on_the_check_vector(rule, decay=decay, reset=reset)
    assert got == pytest.approx([d] * 4, rel=1e-12)


def test_the_slope_is_the_surrogates_at_every_step():
    potential = torch.tensor([0.6, 1.5, 2.0, 5.0], dtype=torch.float64).view(4, 1, 1)
    mean = potential.mean(0, keepdim=True)
    slope = HART(surrogate=ATan()).slope(Trace(Dynamics(0.5, 2.0), mean, mean, potential.clone()))
    assert slope.flatten().tolist() == ATan()(potential - 2).flatten().tolist()


def test_a_layer_of_many_blocks_has_the_gradient_of_its_samples_one_by_one():
    # Four steps of one sample fill a block.
    def bare(neuron):
        return nn.Sequential(neuron())

    net = network(bare, encoder=Frames(4), gradient=HART())
    frames = torch.rand(3, 4, 2**18)

    def gradient(samples):
        leaf = samples.clone().requires_grad_()
        (grad,) = torch.autograd.grad(by_collapse(net, HART())(net.body.encode(leaf)).sum(), leaf)
        return grad

    together = gradient(frames)
    assert torch.equal(together, torch.cat([gradient(sample[None]) for sample in frames]))
    leaf = frames.clone().requires_grad_()
    (resolved,) = torch.autograd.grad(by_steps(net, HART())(net.body.encode(leaf)).sum(), leaf)
    torch.testing.assert_close(together, resolved)
