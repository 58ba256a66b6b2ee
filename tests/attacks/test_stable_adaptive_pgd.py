"""SA-PGD against its equations, and what it promises of samples, budgets and labels."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from art_snn.attacks import StableAdaptivePGD
from art_snn.attacks.iterated import checkpoints
from art_snn.seeding import uniform_noise
from tests.attacks.classifiers import linear, smooth, stock

QUIET = {"verbose": False}


class Scripted(torch.nn.Module):
    """The n-th time that a gradient is asked for, that of class 1 is the n-th row of a script."""

    def __init__(self, script):
        super().__init__()
        self.script, self.points = script, []

    def forward(self, x):
        rows = self.script[min(len(self.points), len(self.script) - 1)]
        if x.requires_grad:
            self.points.append(x.detach())
        ahead = 9 + 0 * x.sum(1) - ((x - x.detach()) * rows).sum(1)
        return torch.stack([ahead, torch.zeros_like(ahead)], 1)


@pytest.mark.parametrize("length", [1.0, 1e-30, 1e30])
def test_points_follow_the_values_of_the_paper_whatever_the_length_of_gradients(length):
    script = torch.tensor([[1.0, -0.1], [0.2, 0.3], [-1.0, 0.05], [0, 0]]).double() * length
    # Of the second sample all gradients are zero.
    module = Scripted([torch.stack([row, 0 * row]) for row in script])
    wrapped = stock(module, (2,), 2, clip_values=(-9, 9))
    attack = StableAdaptivePGD(wrapped, eps=1, num_random_init=0, **QUIET)
    attack.generate(np.zeros((2, 2), np.float32), [0, 0])
    path = torch.stack(module.points[:4])
    expected = torch.tensor([[0, 0], [1, -1], [1, -0.0628], [0.458006, 0.549726]]).double()
    torch.testing.assert_close(path[:, 0], expected, atol=5e-5, rtol=0)
    assert not path[:, 1].any()


def test_a_step_is_halved_after_the_steps_of_the_paper():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(50) == [11, 21, 30, 38, 45]
    assert checkpoints(1) == []


def naive(module, x, eps, steps, norm, seed):
    """The equations, for one sample [D]: the iterate with the highest loss."""
    t = uniform_noise(x[None], seed)[0]
    delta = eps * t / (t.abs().max() if norm == np.inf else t.norm())
    m, v, eta = torch.zeros_like(x), torch.zeros_like(x), eps
    best, found = -np.inf, None
    for step in range(steps + 1):
        z = (x + delta).clamp(0, 1).requires_grad_()
        delta = (z - x).detach()
        loss = functional.cross_entropy(module(z[None]), torch.tensor([0]))
        if loss.item() > best:
            best, found = loss.item(), z.detach()
        (g,) = torch.autograd.grad(loss, z)
        m = 0.5 * m + g / g.abs().mean()
        v = 0.8 * v + g**2 / (g**2).mean()
        move = eta * m / (v.sqrt() + 1e-12)
        if norm == np.inf:
            delta = (delta + move.clamp(-eta, eta)).clamp(-eps, eps)
        else:
            delta = delta + move * min(1, eta / float(move.norm()))
            delta = delta * min(1, eps / float(delta.norm()))
        if step + 1 in (11, 21, 30, 38, 45):
            eta /= 2
    return found


@pytest.mark.parametrize("norm", [np.inf, 2])
def test_runs_are_those_of_a_naive_loop(norm):
    classifier, module, x = smooth()
    attack = StableAdaptivePGD(classifier, norm, eps=0.2, max_iter=50, seed=5, **QUIET)
    found = attack.generate(x.numpy(), np.zeros(3))
    for sample, adversarial in zip(x, found, strict=True):
        expected = naive(module, sample, 0.2, 50, norm, 5)
        np.testing.assert_allclose(adversarial, expected.numpy(), atol=1e-9)
    # Predictions first and last, and fifty gradients.
    np.testing.assert_array_equal(attack.forwards, [52, 52, 52])
    np.testing.assert_array_equal(attack.backwards, [50, 50, 50])


def test_restarts_attack_only_what_stands_and_keep_the_highest_loss():
    classifier, module, x = smooth()
    y = np.zeros(3)

    def losses(starts):
        attack = StableAdaptivePGD(classifier, eps=0.2, max_iter=2, num_random_init=starts, **QUIET)
        found = torch.as_tensor(attack.generate(x.numpy(), y))
        target = torch.zeros(3, dtype=torch.long)
        with torch.no_grad():
            return functional.cross_entropy(module(found), target, reduction="none"), attack

    (one, _), (three, attack) = losses(1), losses(3)
    assert bool((three >= one).all())
    np.testing.assert_array_equal(attack.backwards, [6, 6, 6])
    weak = linear([[1, 1], [0, 0]], [0, 0.6])
    attack = StableAdaptivePGD(weak, eps=0.3, max_iter=5, num_random_init=3, **QUIET)
    attack.generate(np.array([[0.4, 0.4]]), np.array([0]))
    assert attack.backwards[0] <= 5
