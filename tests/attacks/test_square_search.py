"""SquareSearch against a naive loop, and what it promises of samples, budgets and labels."""

import numpy as np
import pytest
import torch
from art.attacks.evasion import SquareAttack

from art_snn.attacks import SquareSearch, square_search
from art_snn.attacks.measures import Ball, require_measure
from art_snn.attacks.square_search import SQUARES
from art_snn.seeding import uniform_noise
from tests.attacks.classifiers import project, stock
from tests.classifiers import build

QUIET = {"verbose": False}
RACE = {0.25: 0.25, 0.5: 0.15, 0.75: 0.1}
"""After these shares of a run a race gives up what lacks more than such a part of its height."""


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


def naive(classifier, x, norm, eps, steps, share, seed, halving=False, racing=False):
    """The steps, for one sample [2, 5, 6] of class 0: the point with the largest margin.

    And how many squares it took."""

    def margin(z):
        logits = classifier.predict(z[None].numpy())[0]
        return logits[1:].max() - logits[0]

    drawn = uniform_noise(x[None], seed, SQUARES, (steps, 4))[0]
    current, best = x, margin(x)
    logits = classifier.predict(x[None].numpy())[0]
    limits = {int(done * steps): lack * (logits[0] - logits.mean()) for done, lack in RACE.items()}
    theirs = SquareAttack(build(), max_iter=steps, p_init=min(share, 0.8), **QUIET)
    for step in range(steps):
        if best > 0 or (racing and best < -limits.get(step, np.inf)):
            return current, step
        halved = theirs._get_percentage_of_elements(step)
        filled = halved if halving else share * (1 - step / steps)
        side = max(1, round((30 * filled) ** 0.5))
        height, width = min(side, 5), min(side, 6)
        top = int((drawn[step, 0] + 1) / 2 * (5 - height + 1))
        left = int((drawn[step, 1] + 1) / 2 * (6 - width + 1))
        change = torch.zeros_like(x)
        for channel in range(2):
            sign = -1.0 if drawn[step, 2 + channel] < 0 else 1.0
            change[channel, top : top + height, left : left + width] = sign
        change *= 2 * eps if norm == np.inf else eps / float(change.norm())
        found = project(current + change, x, norm, eps)
        if margin(found) > best:
            current, best = found, margin(found)
    return current, steps


@pytest.mark.parametrize(
    ("share", "halving"), [(1.0, False), (0.3, False), (0.01, False), (0.8, True)]
)
@pytest.mark.parametrize("norm", [np.inf, 2])
def test_runs_are_those_of_a_naive_loop(norm, share, halving):
    # Squares are halved as those of SquareAttack, first after a thousandth of the steps.
    count, steps = (1, 1000) if halving else (3, 30)
    classifier, x = stock(Steps(), (2, 5, 6), 3), images(count)
    options = {"eps": 0.2, "max_iter": steps, "num_random_init": 0, "seed": 5, "share": share}
    attack = SquareSearch(classifier, norm, halving=halving, **options, **QUIET)
    found = attack.generate(x.numpy(), np.zeros(count))
    for sample, adversarial in zip(x, found, strict=True):
        expected, _ = naive(classifier, sample, norm, 0.2, steps, share, 5, halving)
        np.testing.assert_allclose(adversarial, expected.numpy(), atol=1e-12)
    # The prediction before it, the sample itself, and the squares.
    np.testing.assert_array_equal(attack.forwards, [steps + 2] * count)
    assert not attack.backwards.any()
    assert (found != x.numpy()).any()


@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 0.1), (2, 0.5)])
def test_a_race_gives_up_what_is_far_and_changes_nothing_for_the_others(norm, eps):
    classifier, x = stock(Steps(ahead=100.0), (2, 5, 6), 3), images(40)
    x, steps = x[classifier.predict(x.numpy()).argmax(1) == 0], 60
    options = {"eps": eps, "max_iter": steps, "num_random_init": 0, "seed": 5, "share": 0.3}
    whole, race = (
        SquareSearch(classifier, norm, racing=racing, **options, **QUIET)
        for racing in (False, True)
    )
    alone, found = (attack.generate(x.numpy(), np.zeros(len(x))) for attack in (whole, race))
    # Without the predictions before it and of the sample itself.
    squares, all_squares = race.forwards - 2, whole.forwards - 2
    for row, sample in enumerate(x):
        point, count = naive(classifier, sample, norm, eps, steps, 0.3, 5, racing=True)
        np.testing.assert_allclose(found[row], point.numpy(), atol=1e-12)
        assert squares[row] == count
    left = squares < all_squares
    np.testing.assert_array_equal(found[~left], alone[~left])
    assert steps * min(RACE) in set(squares[left]) <= {steps * share for share in RACE}
    assert (squares[~left] > steps * min(RACE)).any()
    assert (classifier.predict(found).argmax(1) != 0).any()


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
    found = SquareSearch(classifier, eps=0.5, max_iter=300, **QUIET).generate(x.numpy(), y)
    assert (classifier.predict(found).argmax(1) != y).all()


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("last", [False, True])
def test_stripes_reach_from_edge_to_edge_at_the_rim(norm, last):
    shape = (6, 5, 3) if last else (3, 6, 5)
    classifier = build()
    classifier._channels_first = not last
    attack = SquareSearch(classifier, norm, eps=0.1, stripes=True, **QUIET)
    x = 0.5 + 0.01 * torch.rand(4, *shape)
    ball = Ball(require_measure(norm), 0.1, x, torch.tensor(0.0), torch.tensor(1.0))
    change = attack._cold(ball, 0) - x
    rows = 1 if last else 2
    torch.testing.assert_close(change, change.narrow(rows, 0, 1).expand_as(change))
    torch.testing.assert_close(ball.measure.length(change).flatten(), torch.full((4,), 0.1))
    assert change.min() < 0 < change.max()
    assert not torch.equal(attack._cold(ball, 1) - x, change)
