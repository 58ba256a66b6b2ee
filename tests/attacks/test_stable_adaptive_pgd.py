"""SA-PGD against its equations, and what it promises of samples, budgets and labels."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional

from art_snn import RGA, STBP
from art_snn.attacks import StableAdaptivePGD
from art_snn.attacks.iterated import checkpoints
from art_snn.attacks.randomness import uniform_noise
from art_snn.attacks.stable_adaptive_pgd import GradientMoments
from tests.attacks.classifiers import linear
from tests.attacks.smooth import smooth
from tests.networks import CLASSES, build

QUIET = {"verbose": False}


def test_steps_follow_the_values_of_the_paper():
    gradients = torch.tensor([[1.0, -0.1], [0.2, 0.3], [-1.0, 0.05]], dtype=torch.float64)
    moments, delta = GradientMoments.none(gradients[:1]), torch.zeros(1, 2, dtype=torch.float64)
    steps, path = [], []
    for gradient in gradients:
        moments = moments.after(gradient[None])
        steps.append(moments.direction().clamp(-1, 1))
        delta = (delta + steps[-1]).clamp(-1, 1)
        path.append(delta)
    expected = torch.tensor([[1, -1], [1, 0.9372], [-0.541994, 0.612526]]).double()
    torch.testing.assert_close(torch.cat(steps), expected, atol=5e-5, rtol=0)
    expected = torch.tensor([[1, -1], [1, -0.0628], [0.458006, 0.549726]]).double()
    torch.testing.assert_close(torch.cat(path), expected, atol=5e-5, rtol=0)


def test_a_step_is_halved_after_the_steps_of_the_paper():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(50) == [11, 21, 30, 38, 45]
    assert checkpoints(1) == []


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
def test_moments_do_not_depend_on_the_length_of_gradients(scale):
    gradient = torch.randn(2, 3, 4)
    found, expected = (
        GradientMoments.none(gradient).after(g) for g in (gradient * scale, gradient)
    )
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.square, expected.square)


def test_a_gradient_of_zero_moves_nothing():
    none = GradientMoments.none(torch.zeros(2, 3))
    gradient = torch.tensor([[0.0, 0, 0], [1, 0, -1]])
    after = none.after(gradient)
    assert torch.equal(after.direction()[0], torch.zeros(3))
    assert float(after.direction()[1, 0]) > 0.5
    assert bool(torch.isfinite(after.direction()).all())


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


def test_a_linear_classifier_is_broken_at_its_known_distance():
    # Two classes, x0 + x1 against 1: changes of .1 and more in both values flip (.4, .4).
    weights, bias, x = [[1, 1], [0, 0]], [0, 0.6], np.array([[0.4, 0.4]])
    for eps, flips in ((0.09, False), (0.11, True)):
        attack = StableAdaptivePGD(linear(weights, bias), eps=eps, max_iter=20, **QUIET)
        found = attack.generate(x, np.array([0]))
        assert (found.sum() < 0.6) == flips
        assert np.abs(found - x).max() <= eps + 1e-9
    for eps, flips in ((0.14, False), (0.15, True)):
        attack = StableAdaptivePGD(linear(weights, bias), norm=2, eps=eps, max_iter=20, **QUIET)
        found = attack.generate(x, np.array([0]))
        assert (found.sum() < 0.6) == flips
        assert np.linalg.norm(found - x) <= eps + 1e-9


@pytest.mark.parametrize("rule", [RGA(), STBP()], ids=["rga", "stbp"])
def test_spiking_networks_are_broken_within_the_budget(rule, trained_layers, known):
    classifier = build(copy.deepcopy(trained_layers), gradient=rule)
    x, y = known[0][:8], known[1][:8]
    found = StableAdaptivePGD(classifier, eps=0.5, max_iter=10, **QUIET).generate(x, y)
    assert np.abs(found - x).max() <= 0.5 + 1e-6
    assert (classifier.predict(found).argmax(1) != y).sum() >= 4


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0.01, 2),
    st.sampled_from([np.inf, 2]),
    st.booleans(),
    st.integers(0, 2),
)
def test_nothing_leaves_the_budget_the_range_or_the_mask(seed, eps, norm, targeted, starts):
    rng = np.random.default_rng(seed)
    classifier = linear(rng.normal(size=(3, 4)))
    x, y, mask = rng.random((5, 4)), rng.integers(0, 3, 5), rng.random((5, 4)) < 0.6
    options = {"eps": eps, "max_iter": 4, "num_random_init": starts, "targeted": targeted}
    attack = StableAdaptivePGD(classifier, norm, **options, **QUIET)
    found = attack.generate(x, y, mask=mask)
    change = (found - x).reshape(5, -1)
    assert np.linalg.norm(change, ord=norm, axis=1).max() <= eps * (1 + 1e-9)
    assert 0 <= found.min() <= found.max() <= 1
    assert (change[~mask] == 0).all()
    before = (classifier.predict(x).argmax(1) == y) == targeted
    np.testing.assert_array_equal(found[before], x[before])


@pytest.mark.parametrize("rule", ["rga", "assg", "assg-6-steps"])
@pytest.mark.parametrize("norm", [np.inf, 2])
def test_a_sample_has_the_same_adversarial_alone_and_in_a_batch(norm, rule, trained_layers, known):
    # The weights of these layers are short, so that no spike depends on the order of a sum.
    classifier = build(copy.deepcopy(trained_layers))
    classifier.gradient = rule
    x, y = known[0][:6].astype(np.float64), known[1][:6]
    classifier.model.double()
    # Some are broken on the way, and leave the batch.
    eps = 0.1 if norm == np.inf else 1.0

    def adversarial(rows, size):
        attack = StableAdaptivePGD(classifier, norm, eps=eps, max_iter=6, batch_size=size, **QUIET)
        return attack.generate(x[rows], y[rows])

    together = adversarial(slice(None), 6)
    np.testing.assert_allclose(adversarial(slice(None), 4), together, atol=1e-9)
    np.testing.assert_allclose(adversarial(slice(3, 4), 6), together[3:4], atol=1e-9)


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


def test_a_targeted_attack_leads_to_its_target(trained_layers, known):
    classifier = build(copy.deepcopy(trained_layers), gradient=RGA())
    x = known[0][:6]
    target = classifier.predict(x).argsort(1)[:, -2]
    attack = StableAdaptivePGD(classifier, eps=0.5, max_iter=20, targeted=True, **QUIET)
    found = attack.generate(x, np.eye(CLASSES, dtype=np.float32)[target])
    assert (classifier.predict(found).argmax(1) == target).sum() >= 3
    np.testing.assert_array_equal(found, attack.generate(x, target))


SETTINGS = {
    "norm": (1, "numpy.inf or 2"),
    "eps": (0, "a number above 0"),
    "max_iter": (0, "a whole number >= 1"),
    "num_random_init": (-1, "a whole number >= 0"),
    "seed": (-1, "a whole number >= 0"),
    "batch_size": (2.5, "a whole number >= 1"),
    "targeted": ("no", "True or False"),
    "verbose": (2, "True or False"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_settings_are_refused_by_name(name):
    value, expected = SETTINGS[name]
    classifier = linear([[1, 1], [0, 0]])
    with pytest.raises(ValueError, match=rf"^{name}: expected {expected}.*, got "):
        StableAdaptivePGD(classifier, **{name: value})
    attack = StableAdaptivePGD(classifier, **QUIET)
    with pytest.raises(ValueError, match=rf"^{name}: expected {expected}.*, got "):
        attack.set_params(**{name: value})


def test_the_settings_are_those_of_art(capsys):
    attack = StableAdaptivePGD(linear([[1, 1], [0, 0]]), "inf", eps=0.1)
    assert attack.norm == np.inf
    attack.set_params(eps=0.2, max_iter=3)
    assert "eps=0.2" in repr(attack)
    assert "max_iter=3" in repr(attack)
    attack.generate(np.array([[0.9, 0.9]]), np.array([0]))
    assert "StableAdaptivePGD" in capsys.readouterr().err
