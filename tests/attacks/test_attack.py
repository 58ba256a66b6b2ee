"""The attacks by name: classes with the options that the names promise."""

from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    FastGradientMethod,
    MomentumIterativeMethod,
    ProjectedGradientDescent,
)

from art_snn.attacks import ATTACKS, Attack, StableAdaptivePGD
from art_snn.gradients import ASSG, STBP
from tests.gradients.adaptive import restarts
from tests.small import classifier, pgd_by_hand, samples

KINDS = {
    "fgsm": (FastGradientMethod, {"num_random_init": 0, "minimal": False}),
    "pgd": (ProjectedGradientDescent, {"eps_step": 0.02, "max_iter": 7, "num_random_init": 0}),
    "pgd-7": (ProjectedGradientDescent, {"eps_step": 0.05 * 2.55 / 8, "max_iter": 7}),
    "mim": (MomentumIterativeMethod, {"eps_step": 0.02, "max_iter": 7, "num_random_init": 0}),
    "apgd": (
        AutoProjectedGradientDescent,
        {"eps_step": 0.1, "max_iter": 7, "nb_random_init": 1, "loss_type": "cross_entropy"},
    ),
    "sa-pgd": (StableAdaptivePGD, {"max_iter": 7, "num_random_init": 1}),
}


FIXED = ("fgsm", "pgd-7")
"""Those whose steps are settled."""


def steps(name: str, count: int) -> dict[str, int]:
    """So many iterations, where they can be chosen."""
    return {} if name in FIXED else {"iterations": count}


def test_every_name_has_its_row_here():
    assert set(KINDS) == set(ATTACKS)


@pytest.mark.parametrize("name", KINDS)
def test_a_name_builds_the_class_with_the_options_that_were_given(name):
    kind, options = KINDS[name]
    step = {"eps_step": 0.02} if name in ("pgd", "mim") else {}
    attack = Attack(name=name.upper(), eps=0.05, **step, **steps(name, 7))
    assert attack.name == name
    method = attack.method(classifier(), batch_size=6)
    assert type(method) is kind
    expected = options | {"eps": 0.05, "norm": np.inf, "targeted": False, "batch_size": 6}
    assert {option: getattr(method, option) for option in expected} == expected
    assert getattr(method, "verbose", False) is False


@pytest.mark.parametrize(
    ("name", "step", "iterations"),
    [
        ("fgsm", None, None),
        ("pgd", 0.05, 10),
        ("pgd-7", 0.2 * 2.55 / 8, 7),
        ("mim", 0.05, 10),
        ("apgd", 0.4, 10),
        ("sa-pgd", None, 10),
    ],
)
def test_steps_and_iterations_are_the_usual_ones_unless_given(name, step, iterations):
    attack = Attack(name=name, eps=0.2)
    method = attack.method(classifier(), 1)
    assert attack.iterations == (None if name in FIXED else iterations)
    assert getattr(method, "max_iter", None) == iterations
    if step is not None:
        assert attack.step == method.eps_step == pytest.approx(step)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_samples_stay_within_the_budget_and_the_range_of_the_images(name):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, 40, wrong=0)
    before = x.copy()
    adversarial = Attack(name=name, eps=0.05, **steps(name, 4)).craft(wrapped, x, y)
    assert adversarial.shape == x.shape
    distance = np.abs(adversarial - x).reshape(len(x), -1).max(1)
    assert distance.max() <= 0.05 + 1e-6
    # APGD returns what resists it as it came, or at its random start.
    assert distance.max() > 0.04
    assert 0 <= adversarial.min() <= adversarial.max() <= 1
    assert np.array_equal(x, before)


def test_fgsm_takes_the_whole_budget_along_the_sign_of_the_gradient_at_the_given_labels():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, wrong=5)
    gradient = wrapped.loss_gradient(x, y)
    expected = np.clip(x + 0.1 * np.sign(gradient), 0, 1)
    assert np.allclose(Attack(name="fgsm", eps=0.1).craft(wrapped, x, y), expected, atol=1e-6)
    predicted = wrapped.predict(x).argmax(1)
    at_predictions = np.clip(x + 0.1 * np.sign(wrapped.loss_gradient(x, predicted)), 0, 1)
    assert not np.allclose(expected[:5], at_predictions[:5])


@pytest.mark.parametrize("eps_step", [None, 0.04])
def test_pgd_follows_the_loop_of_its_paper_from_the_sample_itself(eps_step):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    attack = Attack(name="pgd", eps=0.06, eps_step=eps_step, iterations=3)
    with wrapped.model.using(STBP()):
        adversarial = attack.craft(wrapped, x, y)
    expected = pgd_by_hand(wrapped.model, STBP(), attack, x, y)
    assert np.allclose(adversarial, expected, atol=1e-6)


def test_mim_moves_on_along_its_velocity():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    # A step that moves spikes, since the gradient of the same spikes is nearly the same.
    adversarial = Attack(name="mim", eps=0.5, eps_step=0.1, iterations=2).craft(wrapped, x, y)
    first = wrapped.loss_gradient(x, y)
    moved = np.clip(x + 0.1 * np.sign(first), 0, 1)
    second = wrapped.loss_gradient(moved, y)
    velocity = sum(g / np.abs(g).sum(axis=(1, 2, 3), keepdims=True) for g in (first, second))
    expected = np.clip(moved + 0.1 * np.sign(velocity), 0, 1)
    assert np.allclose(adversarial, expected, atol=1e-6)
    assert not np.allclose(adversarial, np.clip(moved + 0.1 * np.sign(second), 0, 1), atol=1e-6)


LEAPS = {
    "pgd": {"eps": 0.5, "eps_step": 0.5, "iterations": 4},
    "mim": {"eps": 0.5, "eps_step": 0.5, "iterations": 4},
    "apgd": {"eps": 0.5, "iterations": 6},
    "sa-pgd": {"eps": 0.5, "iterations": 6},
}


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("name", LEAPS)
def test_no_sample_starts_afresh_inside_an_attack_and_every_one_does_with_it(
    name, dtype, monkeypatch
):
    wrapped = classifier(seed=1)
    wrapped.gradient = ASSG(restart=0.25)
    x, y = samples(wrapped, 6, wrong=0)
    attack, seen = Attack(name=name, attack_dtype=dtype, **LEAPS[name]), restarts(monkeypatch)
    for batches in (1, 2):
        attack.craft(wrapped, x, y)
        assert seen == ["all"] * batches
        assert wrapped.model.memory == {}
    # What an attack of ART does without telling its budget; ours tell it themselves.
    attack.method(wrapped, len(x)).generate(x, y)
    assert any(entry != "all" for entry in seen) == (name != "sa-pgd")


@pytest.mark.parametrize(
    ("preprocessing", "radius"),
    [(None, 0.1), ((0.0, 1.0), 0.1), ((0.5, 0.125), None)],
    ids=["none", "no change", "scaled"],
)
def test_an_attack_is_one_attack_behind_any_preprocessing(preprocessing, radius, monkeypatch):
    wrapped = classifier(seed=1)
    wrapped.gradient = "assg"
    if preprocessing is not None:
        wrapped.set_params(preprocessing=preprocessing)
    x, y = samples(wrapped, 6, wrong=0)
    told, seen = [], restarts(monkeypatch)
    attacking = wrapped.model.attacking
    monkeypatch.setattr(wrapped.model, "attacking", lambda r: told.append(r) or attacking(r))
    attack = Attack(name="apgd", eps=0.1, iterations=4)
    attack.craft(wrapped, x, y)
    assert (told, seen) == ([radius], ["all"])
    # By the budget in the unit of the samples the scaled ones would start afresh.
    seen.clear()
    with wrapped.model.using(ASSG(restart=0.2)):
        attack.method(wrapped, len(x)).generate(x, y)
    assert any(entry != "all" for entry in seen) == (radius is None)


def test_an_attack_that_is_broken_off_leaves_no_memory(monkeypatch):
    wrapped = classifier(seed=1)
    wrapped.gradient = "assg"
    x, y = samples(wrapped)

    def broken(*_: Any, **__: Any) -> None:
        wrapped.loss_gradient(x, y)
        raise ArithmeticError("broken off")

    monkeypatch.setattr(ProjectedGradientDescent, "generate", broken)
    with pytest.raises(ArithmeticError, match="broken off"):
        Attack(name="pgd").craft(wrapped, x, y)
    assert wrapped.model.memory == {}


def test_only_apgd_and_sa_pgd_draw_at_random():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, wrong=0)
    drew = []
    for name in ATTACKS:
        results = []
        for seed in range(2):
            np.random.seed(seed)  # noqa: NPY002 (ART draws from numpy's global state)
            torch.manual_seed(seed)
            results.append(Attack(name=name, eps=0.05, **steps(name, 2)).craft(wrapped, x, y))
        drew.append(not np.array_equal(*results))
    assert drew == [name in ("apgd", "sa-pgd") for name in ATTACKS]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cw"}, r"attack:.*one of fgsm, pgd, pgd-7, mim, apgd, sa-pgd, got 'cw'\."),
        ({"name": 7}, r"attack:.*got 7"),
        ({"eps": 0}, r"eps:.*above 0, got 0\. A usual budget is 8/255"),
        ({"eps": float("nan")}, r"eps:.*above 0, got nan"),
        ({"eps": "8/255"}, r"eps:.*above 0, got '8/255'"),
        ({"eps_step": -0.1}, r"eps_step:.*above 0, got -0\.1\. A usual step"),
        ({"iterations": 0}, r"iterations:.*>= 1, got 0\. Ten are usual"),
        ({"iterations": 2.5}, r"iterations:.*>= 1, got 2\.5"),
        ({"name": "fgsm", "eps_step": 0.1}, r"eps_step:.*None for fgsm.*got 0\.1\. Leave it out"),
        ({"name": "apgd", "eps_step": 0.1}, r"eps_step:.*None for apgd"),
        ({"name": "fgsm", "iterations": 10}, r"iterations:.*None for fgsm.*got 10\. Leave it"),
        ({"name": "pgd-7", "iterations": 10}, r"iterations:.*None for pgd-7, which has its own"),
    ],
)
def test_attacks_that_make_no_sense_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"^{message}"):
        Attack(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "fgsm", "eps": 0.1}, "FGSM, eps 0.1"),
        ({"name": "PGD-7", "eps": 0.1}, "PGD-7, eps 0.1"),
        ({"name": "pgd", "eps": 0.1}, "PGD, eps 0.1, 10 steps of 0.025"),
        ({"name": "mim", "eps_step": 0.01, "iterations": 3}, "MIM, eps 0.03137, 3 steps of 0.01"),
        ({"name": "apgd", "eps": 0.1, "iterations": 20}, "APGD, eps 0.1, 20 steps"),
        ({"name": "sa-pgd", "eps": 0.1}, "SA-PGD, eps 0.1, 10 steps"),
    ],
)
def test_an_attack_says_what_it_is(options, words):
    assert str(Attack(**options)) == words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name='pgd', eps=0.03137254901960784, eps_step=None, iterations=10"),
        ({"name": "mim", "eps_step": 0.1}, "name='mim', eps=0.1, eps_step=0.1, iterations=10"),
        ({"name": "apgd", "iterations": 3}, "name='apgd', eps=0.1, eps_step=None, iterations=3"),
    ],
)
def test_fingerprints_of_earlier_results_find_the_attack_in_the_words_of_their_version(
    options, words
):
    usual = {"eps": 0.1} if options else {}
    assert repr(Attack(**usual | options)) == f"Attack({words})"
