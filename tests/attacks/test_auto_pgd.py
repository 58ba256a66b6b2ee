"""APGD against its equations, and its losses."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from art_snn.attacks import AutoPGD
from art_snn.attacks.auto_pgd import _logits_ratio, _logits_ratio_towards
from art_snn.attacks.queries import Queries
from art_snn.seeding import uniform_noise
from tests.attacks.classifiers import linear, smooth

QUIET = {"verbose": False}
MARKS = [13, 25, 36, 46, 55]
"""Of sixty steps: stretches of 13, 12, 11, 10 and 9 steps."""


def naive(module, x, eps, norm, seed):
    """Algorithm 1 of Croce and Hein (2020) for one sample [D]: the best of sixty-one points."""

    def project(z):
        delta = z - x
        if norm == np.inf:
            delta = delta.clamp(-eps, eps)
        else:
            delta = delta * min(1, eps / float(delta.norm()))
        return (x + delta).clamp(0, 1)

    def asked(z):
        leaf = z.clone().requires_grad_()
        loss = functional.cross_entropy(module(leaf[None]), torch.tensor([0]))
        (g,) = torch.autograd.grad(loss, leaf)
        return loss.item(), g.sign() if norm == np.inf else g / g.norm()

    t = uniform_noise(x[None], seed)[0]
    here = project(x + eps * t / (t.abs().max() if norm == np.inf else t.norm()))
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
        z = project(here + eta * direction)
        moved = z if k == 0 else here + 0.75 * (z - here) + 0.25 * (here - before)
        before, here = here, project(moved)
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


FOUR, FIVE = [4.0, 1.0, 3.0, 2.0], [4.0, 1.0, 3.0, 2.0, -50.0]


@pytest.mark.parametrize(
    ("ratio", "logits", "aims", "value"),
    [
        # -(4 - 3) / (4 - 2) and (8 - 4) / (8 - 2).
        (_logits_ratio, FOUR, 0, -0.5),
        (_logits_ratio, [1.0, 2.0, 4.0, 8.0], 2, 4 / 6),
        # Of two classes there is the margin alone.
        (_logits_ratio, [1.0, 3.0], 1, -2),
        (_logits_ratio, [1.0, 3.0, 2.0], 1, -0.5),
        (_logits_ratio, [1.0, 1.0, 1.0], 0, 0),
        # (3 - 4) / (4 - (2 + 1) / 2), and others alike.
        (_logits_ratio_towards, FOUR, [0, 2], -1 / 2.5),
        (_logits_ratio_towards, [1.0, 2.0, 4.0, 8.0], [2, 3], 4 / 6.5),
        (_logits_ratio_towards, [9.0, 1.0, 3.0, 5.0], [1, 2], 2 / 7),
        (_logits_ratio_towards, FIVE, [0, 2], -1 / 2.5),
        # Of fewer than four classes there is the difference alone.
        (_logits_ratio_towards, [1.0, 3.0], [1, 0], -2),
        (_logits_ratio_towards, [1.0, 3.0, 9.0], [1, 0], -2),
        (_logits_ratio_towards, [1.0, 1.0, 1.0, 1.0], [1, 0], 0),
    ],
)
def test_the_ratios_of_logits_by_hand(ratio, logits, aims, value):
    given, aims = torch.tensor([logits]), torch.tensor([aims])
    assert ratio(given, aims).item() == pytest.approx(value)
    if len(logits) >= 4:
        assert ratio(10 * given + 7, aims).item() == pytest.approx(value)


DLR = {"loss_type": "difference_logits_ratio"}


def aimed(logits, classes, targets):
    classifier = linear(np.zeros((len(logits[0]), 2)), clip_values=None)
    queries = Queries(classifier, len(logits), 4)
    queries.logits = lambda x, rows: torch.tensor(logits)
    attack = AutoPGD(classifier, targets=targets, **DLR, **QUIET)
    found = attack.aims(queries, torch.zeros(len(logits), 2), torch.tensor(classes))
    return [aims.tolist() for aims in found]


def test_every_other_class_is_aimed_at_the_likeliest_first():
    logits = [[1.0, 5.0, 3.0, 2.0], [1.0, 5.0, 3.0, 2.0]]
    found = [[[1, 2], [0, 1]], [[1, 3], [0, 2]], [[1, 0], [0, 3]]]
    assert aimed(logits, [1, 0], 9) == aimed(logits, [1, 0], 3) == found
    assert aimed(logits, [1, 0], 2) == found[:2]
    assert aimed([[1.0, 5.0]], [1], 9) == [[[1, 0]]]


@pytest.mark.parametrize(("targets", "runs"), [(1, 1), (2, 2), (9, 2)])
def test_every_target_is_a_run_from_every_start(targets, runs):
    classifier, _, x = smooth()
    options = {"max_iter": 5, "num_random_init": 3, "targets": targets} | DLR
    attack = AutoPGD(classifier, eps=0.3, **options, **QUIET)
    attack.generate(x.numpy(), np.zeros(3))
    assert attack.backwards.tolist() == [5 * 3 * runs] * 3
    # The sample, the ranking of classes, and the end of every run.
    assert attack.forwards.tolist() == [2 + 6 * 3 * runs] * 3


def test_any_misclassification_on_the_way_to_a_target_counts():
    # At .3 the second class is likelier than the third, which overtakes the first one sooner.
    classifier = linear([[0], [1], [3], [0]], [0.5, 0, -0.9, -9])
    attack = AutoPGD(classifier, eps=0.17, max_iter=9, targets=1, **DLR, **QUIET)
    found = attack.generate(np.array([[0.3]]), [0])
    assert classifier.predict(found).argmax(1) == 2
    assert attack.backwards[0] < 9
