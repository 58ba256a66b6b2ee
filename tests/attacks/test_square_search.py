"""SquareSearch against a naive loop, and what it promises of samples, budgets and labels."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.attacks import SquareSearch, square_search
from art_snn.attacks.randomness import uniform_noise
from art_snn.attacks.square_search import SQUARES
from tests.attacks.classifiers import linear, stock
from tests.networks import FORMS, build

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


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0.01, 2),
    st.sampled_from([np.inf, 2]),
    st.booleans(),
    st.integers(0, 2),
    st.floats(0.001, 1),
)
def test_nothing_leaves_the_budget_the_range_or_the_mask(seed, eps, norm, targeted, starts, share):
    rng = np.random.default_rng(seed)
    classifier = linear(rng.normal(size=(3, 4)))
    x, y, mask = rng.random((5, 4)), rng.integers(0, 3, 5), rng.random((5, 4)) < 0.6
    options = {"eps": eps, "max_iter": 4, "num_random_init": starts, "targeted": targeted}
    attack = SquareSearch(classifier, norm, share=share, **options, **QUIET)
    found = attack.generate(x, y, mask=mask)
    change = (found - x).reshape(5, -1)
    assert np.linalg.norm(change, ord=norm, axis=1).max() <= eps * (1 + 1e-9)
    assert 0 <= found.min() <= found.max() <= 1
    assert (change[~mask] == 0).all()
    before = (classifier.predict(x).argmax(1) == y) == targeted
    np.testing.assert_array_equal(found[before], x[before])


@pytest.mark.parametrize("form", ["grey", "frames"])
def test_a_sample_has_the_same_adversarial_alone_and_in_a_batch(form, trained_layers, known):
    # The weights of these layers are short, so that no spike depends on the order of a sum.
    classifier = build(copy.deepcopy(trained_layers), form)
    x, y = FORMS[form].present(known[0][:6]).astype(np.float64), known[1][:6]
    classifier.model.double()

    def adversarial(rows, size):
        attack = SquareSearch(classifier, eps=0.15, max_iter=20, batch_size=size, **QUIET)
        return attack.generate(x[rows], y[rows])

    together = adversarial(slice(None), 6)
    assert (together != x).any()
    np.testing.assert_allclose(adversarial(slice(None), 4), together, atol=1e-9)
    np.testing.assert_allclose(adversarial(slice(3, 4), 6), together[3:4], atol=1e-9)


def test_a_targeted_attack_comes_nearer_to_its_target(trained_layers, known):
    classifier = build(copy.deepcopy(trained_layers))
    x = known[0][:6]
    target = classifier.predict(x).argsort(1)[:, -2]
    attack = SquareSearch(classifier, eps=0.5, max_iter=60, targeted=True, **QUIET)
    found = attack.generate(x, target)
    before, after = (classifier.compute_loss(z, target, reduction="none") for z in (x, found))
    assert after.mean() < before.mean()


@pytest.mark.parametrize("share", [0, -1, 1.5, np.nan, "much"])
def test_a_share_that_is_none_is_refused_by_name(share):
    expected = r"^share: expected a number above 0 and at most 1, got "
    with pytest.raises(ValueError, match=expected):
        SquareSearch(linear([[1, 1], [0, 0]]), share=share)
    attack = SquareSearch(linear([[1, 1], [0, 0]]), **QUIET)
    with pytest.raises(ValueError, match=expected):
        attack.set_params(share=share)
