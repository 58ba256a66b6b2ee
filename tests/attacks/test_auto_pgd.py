"""APGD against its equations, and its losses."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from art_snn.attacks import AutoPGD
from art_snn.seeding import uniform_noise
from tests.attacks.classifiers import linear, project, smooth

QUIET = {"verbose": False}
MARKS = [13, 25, 36, 46, 55]
"""Of sixty steps: stretches of 13, 12, 11, 10 and 9 steps."""


def naive(module, x, eps, norm, seed):
    """Algorithm 1 of Croce and Hein (2020) for one sample [D]: the best of sixty-one points."""

    def asked(z):
        leaf = z.clone().requires_grad_()
        loss = functional.cross_entropy(module(leaf[None]), torch.tensor([0]))
        (g,) = torch.autograd.grad(loss, leaf)
        return loss.item(), g.sign() if norm == np.inf else g / g.norm()

    t = uniform_noise(x[None], seed)[0]
    length = t.abs().max() if norm == np.inf else t.norm()
    here = project(x + eps * t / length, x, norm, eps)
    eta, points, losses, directions, before = 2 * eps, [], [], [], here
    since, then, halved = 0, None, True
    for k in range(60):
        loss, direction = asked(here)
        points.append(here)
        losses.append(loss)
        directions.append(direction)
        if k in MARKS:
            top = int(np.argmax(losses))
            rises = sum(losses[i] > losses[i - 1] for i in range(since + 1, k + 1))
            halved = rises < 0.75 * (k - since) or (not halved and losses[top] == then)
            if halved:
                eta, here, direction = eta / 2, points[top], directions[top]
            since, then = k, losses[top]
        z = project(here + eta * direction, x, norm, eps)
        moved = z if k == 0 else here + 0.75 * (z - here) + 0.25 * (here - before)
        before, here = here, project(moved, x, norm, eps)
    points.append(here)
    losses.append(asked(here)[0])
    return points[int(np.argmax(losses))]


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("seed", range(3))
def test_runs_are_those_of_a_naive_loop(norm, seed):
    classifier, module, x = smooth(seed)
    attack = AutoPGD(classifier, norm, eps=0.3, max_iter=60, seed=seed, **QUIET)
    found = attack.generate(x.numpy(), np.zeros(3))
    for sample, adversarial in zip(x, found, strict=True):
        expected = naive(module, sample, 0.3, norm, seed)
        np.testing.assert_allclose(adversarial, expected.numpy(), atol=1e-7)
    np.testing.assert_array_equal(attack.forwards, [62, 62, 62])
    np.testing.assert_array_equal(attack.backwards, [60, 60, 60])


@pytest.mark.parametrize(
    ("logits", "of", "value"),
    [
        # -(4 - 3) / (4 - 2) and (8 - 4) / (8 - 2).
        ([4.0, 1.0, 3.0, 2.0], 0, -0.5),
        ([1.0, 2.0, 4.0, 8.0], 2, 4 / 6),
        # Of two classes there is the margin alone.
        ([1.0, 3.0], 1, -2),
        ([1.0, 3.0, 2.0], 1, -0.5),
        ([1.0, 1.0, 1.0], 0, 0),
    ],
)
def test_the_ratio_of_logits_by_hand(logits, of, value):
    given, classes = torch.tensor([logits]), torch.tensor([of])
    attack = AutoPGD(linear([[1, 1], [0, 0]]), loss_type="difference_logits_ratio", **QUIET)
    assert attack.objective(given, classes).item() == pytest.approx(value)
    if len(logits) >= 4:
        assert attack.objective(10 * given + 7, classes).item() == pytest.approx(value)
