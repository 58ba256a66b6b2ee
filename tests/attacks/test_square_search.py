"""SquareSearch against a naive loop, and what it promises of samples, budgets and labels."""

import numpy as np
import pytest
import torch

from art_snn.attacks import SquareSearch, square_search
from art_snn.attacks.randomness import uniform_noise
from art_snn.attacks.square_search import SQUARES
from tests.attacks.classifiers import stock

QUIET = {"verbose": False}


class Steps(torch.nn.Module):
    """Logits that are steps of their input, so that gradients vanish; class 0 is far ahead."""

    def __init__(self, seed=0, ahead=1000.0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weights = torch.randn(3, 2 * 5 * 6, generator=generator, dtype=torch.float64)
        self.ahead = torch.tensor([ahead, 0, 0], dtype=torch.float64)

    def forward(self, x):
        return (x.flatten(1) * 8).floor() @ self.weights.T + self.ahead


def images(count=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, 5, 6, generator=generator, dtype=torch.float64)


def naive(classifier, x, norm, eps, steps, share, seed):
    """The steps, for one sample [2, 5, 6] of class 0: the point with the largest margin."""

    def margin(z):
        logits = classifier.predict(z[None].numpy())[0]
        return logits[1:].max() - logits[0]

    def project(z):
        change = z - x
        if norm == 2:
            return (x + change * min(1, eps / max(float(change.norm()), 1e-12))).clamp(0, 1)
        return x + change.clamp((-x).clamp(min=-eps), (1 - x).clamp(max=eps))

    drawn = uniform_noise(x[None], seed, SQUARES, (steps, 4))[0]
    current, best = x, margin(x)
    for step in range(steps):
        side = max(1, round((share * 30 * (1 - step / steps)) ** 0.5))
        height, width = min(side, 5), min(side, 6)
        top = int((drawn[step, 0] + 1) / 2 * (5 - height + 1))
        left = int((drawn[step, 1] + 1) / 2 * (6 - width + 1))
        change = torch.zeros_like(x)
        for channel in range(2):
            sign = -1.0 if drawn[step, 2 + channel] < 0 else 1.0
            change[channel, top : top + height, left : left + width] = sign
        change *= 2 * eps if norm == np.inf else eps / float(change.norm())
        found = project(current + change)
        if margin(found) > best:
            current, best = found, margin(found)
    return current


@pytest.mark.parametrize("share", [1.0, 0.3, 0.01])
@pytest.mark.parametrize("norm", [np.inf, 2])
def test_runs_are_those_of_a_naive_loop(norm, share):
    classifier, x = stock(Steps(), (2, 5, 6), 3), images()
    options = {"eps": 0.2, "max_iter": 30, "num_random_init": 0, "seed": 5, "share": share}
    attack = SquareSearch(classifier, norm, **options, **QUIET)
    found = attack.generate(x.numpy(), np.zeros(3))
    for sample, adversarial in zip(x, found, strict=True):
        expected = naive(classifier, sample, norm, 0.2, 30, share, 5)
        np.testing.assert_allclose(adversarial, expected.numpy(), atol=1e-12)
    # The prediction before it, the sample itself, and thirty squares.
    np.testing.assert_array_equal(attack.forwards, [32, 32, 32])
    assert not attack.backwards.any()
    assert (found != x.numpy()).any()


@pytest.mark.parametrize("norm", [np.inf, 2])
def test_channels_may_come_last(norm, monkeypatch):
    first, x = stock(Steps(), (2, 5, 6), 3), images()

    class Last(torch.nn.Module):
        def forward(self, z):
            return Steps()(z.movedim(-1, 1))

    last = stock(Last(), (5, 6, 2), 3, channels_first=False)
    # Starts and squares belong to a sample by its values in their order.
    noise = uniform_noise(x, 5, SQUARES, (20, 4))
    monkeypatch.setattr(square_search, "uniform_noise", lambda z, *_: noise[: len(z)])
    options = {"eps": 0.2, "max_iter": 20, "num_random_init": 0, "share": 0.3} | QUIET
    expected = SquareSearch(first, norm, **options).generate(x.numpy(), np.zeros(3))
    found = SquareSearch(last, norm, **options).generate(np.moveaxis(x.numpy(), 1, -1), np.zeros(3))
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), expected, atol=1e-12)


def test_it_breaks_what_no_gradient_tells_of():
    module, x = Steps(ahead=20.0), images(6)
    classifier = stock(module, (2, 5, 6), 3)
    y = classifier.predict(x.numpy()).argmax(1)
    leaf = x.clone().requires_grad_()
    (module(leaf).sum() + 0 * leaf.sum()).backward()
    assert not leaf.grad.any()
    attack = SquareSearch(classifier, eps=0.5, max_iter=300, **QUIET)
    found = attack.generate(x.numpy(), y)
    assert (classifier.predict(found).argmax(1) != y).all()
