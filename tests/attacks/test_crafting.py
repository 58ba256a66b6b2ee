"""Attacks by text: classes with the options that names promise, and batches crafted with them."""

from typing import Any

import numpy as np
import pytest
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    FastGradientMethod,
    MomentumIterativeMethod,
    ProjectedGradientDescent,
    SquareAttack,
)
from numpy.typing import NDArray

from art_snn.attacks import FLIPS, SHIFT, AutoPGD, SparseDynamicAttack, craft, craft_batch
from art_snn.attacks.crafting import (
    SHORT_NAMES,
    attack_errors,
    check_stage,
    parse_stage,
    predict_logits,
)
from art_snn.attacks.spike_retiming import SpikeRetiming
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.attacks.stages import Stage
from art_snn.gradients import ASSG, RGA, STBP
from tests.classifiers import classifier, pgd_by_hand, samples
from tests.gradients.adaptive import restarts

PGD, MIM, APGD = (ProjectedGradientDescent, MomentumIterativeMethod, AutoProjectedGradientDescent)
ONE_RUN = {"nb_random_init": 1, "loss_type": "cross_entropy"}
INF = {"norm": np.inf, "eps": 0.2}


@pytest.mark.parametrize(
    ("text", "norm", "kind", "options"),
    [
        ("fgsm", np.inf, FastGradientMethod, {}),
        ("pgd", np.inf, PGD, {"max_iter": 10, "eps_step": 0.05}),
        ("PGD", 2.0, PGD, {"max_iter": 10, "eps_step": 0.05}),
        ("pgd-7", np.inf, PGD, {"max_iter": 7, "eps_step": 0.2 * 2.55 / 8}),
        ("mim", np.inf, MIM, {"max_iter": 10, "eps_step": 0.05}),
        ("apgd", np.inf, APGD, {"max_iter": 10, "eps_step": 0.4, **ONE_RUN}),
        ("sa-pgd", np.inf, StableAdaptivePGD, {"max_iter": 10}),
        ("pgd(max_iter=3, eps_step=8/255)", np.inf, PGD, {"max_iter": 3, "eps_step": 8 / 255}),
        ("apgd(loss_type=None)", np.inf, APGD, {"max_iter": 10, "eps_step": 0.4} | {
            "nb_random_init": 1, "loss_type": None}),
        ("AutoPGD(loss_type=margin)", np.inf, AutoPGD, {"loss_type": "margin"}),
        ("SquareAttack(max_iter=1000)", np.inf, SquareAttack, {"max_iter": 1000}),
        ("SparseDynamicAttack", FLIPS, SparseDynamicAttack, {}),
        ("SpikeRetiming(eta=0.5)", SHIFT, SpikeRetiming, {"eta": 0.5}),
        (None, SHIFT, SpikeRetiming, {}),
        (None, np.inf, PGD, {"max_iter": 7, "eps_step": 0.2 * 2.55 / 8}),
    ],
)  # fmt: skip
def test_a_text_is_a_class_with_its_options(text, norm, kind, options):
    stage = parse_stage(text, norm, 1 if norm in (FLIPS, SHIFT) else 0.2)
    assert stage == Stage(kind, None, stage.options)
    assert stage.options == pytest.approx(options)
    assert parse_stage(str(stage), norm, 1 if norm in (FLIPS, SHIFT) else 0.2) == stage


@pytest.mark.parametrize(
    ("text", "norm", "eps", "message"),
    [
        (7, np.inf, 0.1, "attack: expected a text"),
        ("", np.inf, 0.1, "attack: "),
        ("pgd(max_iter=3", np.inf, 0.1, "attack: .*name or name"),
        ("pgd(7)", np.inf, 0.1, "attack: .*name or name"),
        ("cw", np.inf, 0.1, "attack: .*class of an evasion attack, got 'cw'.*one of fgsm, pgd"),
        ("SpikingAutoAttack", np.inf, 0.1, "attack: .*class of an evasion attack"),
        ("__doc__", np.inf, 0.1, "attack: .*class of an evasion attack"),
        ("fgsm(max_iter=3)", np.inf, 0.1, "attack: .*options of fgsm: .*got max_iter"),
        ("SquareAttack(steps=3)", np.inf, 0.1, "attack: .*max_iter.*got steps"),
        ("SquareAttack(eps=3)", np.inf, 0.1, "attack: .*got eps.*apart from the attack"),
        ("SpikeRetiming(moved=3)", FLIPS, 5, "attack: .*got moved"),
        ("pgd", FLIPS, 5, "attack: .*in the norm 0.*SparseDynamicAttack in 0"),
        ("SparseDynamicAttack", 2.0, 0.1, "attack: .*in the norm 2"),
        ("pgd", np.inf, "8/255", "eps: .*above 0 .*, got '8/255'"),
    ],
)
def test_other_texts_and_budgets_are_refused(text, norm, eps, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_stage(text, norm, eps)


@pytest.mark.parametrize("kind", [PGD, AutoPGD])
def test_an_attack_that_cannot_be_built_is_refused_early(kind):
    wrapped = classifier()
    with pytest.raises(ValueError, match=f"^attack: .*got {kind.__name__}.*max_iter"):
        check_stage(Stage(kind, None, {"max_iter": -1}), wrapped, samples(wrapped)[0], **INF)


def test_errors_of_art_s_attacks_name_the_attack_and_others_pass():
    expected = r"attack: expected an attack that runs .*SquareAttack\(\), .* \(KeyError: 'x'\)"
    with pytest.raises(ValueError, match=expected), attack_errors(Stage(SquareAttack)):
        raise KeyError("x")
    for stage, error in ((Stage(AutoPGD), KeyError), (Stage(SquareAttack), KeyboardInterrupt)):
        with pytest.raises(error), attack_errors(stage):
            raise error("x")


def batch(stage: Stage | str, *given: Any, eps: float = 0.05) -> NDArray[np.float32]:
    stage = stage if isinstance(stage, Stage) else parse_stage(stage, np.inf, eps)
    return craft_batch(stage, *given, norm=np.inf, eps=eps)


@pytest.mark.parametrize("name", [*SHORT_NAMES, "DeepFool", "SquareAttack(max_iter=20)"])
def test_samples_stay_within_the_budget_and_the_range_of_the_images(name):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, 12, wrong=0)
    before = x.copy()
    adversarial = batch(name, wrapped, x, y)
    distance = np.abs(adversarial - x).reshape(len(x), -1).max(1)
    # APGD returns what resists it as it came, or at its random start; DeepFool is projected.
    assert 0.01 < distance.max() <= 0.05 + 1e-6
    assert 0 <= adversarial.min() <= adversarial.max() <= 1
    assert (adversarial.shape, x.tolist()) == (x.shape, before.tolist())


@pytest.mark.parametrize(("text", "step"), [("pgd(max_iter=3)", 0.015), (
    "pgd(max_iter=3, eps_step=0.04)", 0.04)])  # fmt: skip
def test_pgd_follows_the_loop_of_its_paper_from_the_sample_itself(text, step):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    options = {"batch_size": 4, "seed": 0, "progress_label": "PGD"}
    budget = {"norm": np.inf, "eps": 0.06}
    adversarial = craft(parse_stage(text, **budget), STBP(), wrapped, x, y, **budget, **options)
    expected = pgd_by_hand(wrapped.model, STBP(), 0.06, step, 3, x, y)
    assert np.allclose(adversarial, expected, atol=1e-6)


def test_a_stage_s_own_rule_comes_before_the_one_that_is_given():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    options = {"batch_size": 5, "seed": 0, "progress_label": "PGD", **INF}
    stages = [Stage(PGD, rule, {"max_iter": 3, "eps_step": 0.1}) for rule in (None, RGA())]
    plain, own = (craft(stage, STBP(), wrapped, x, y, **options) for stage in stages)
    assert not np.array_equal(plain, own)
    assert np.array_equal(own, craft(stages[0], RGA(), wrapped, x, y, **options))


def test_batches_have_the_random_state_of_the_seed_and_their_position():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, 6)
    options = {"progress_label": "SA-PGD", **INF}
    stage = parse_stage("sa-pgd(max_iter=2)", **INF)
    whole = craft(stage, STBP(), wrapped, x, y, batch_size=3, seed=5, **options)
    part = craft(stage, STBP(), wrapped, x[3:], y[3:], batch_size=3, seed=8, **options)
    other = craft(stage, STBP(), wrapped, x, y, batch_size=3, seed=6, **options)
    assert np.array_equal(whole[3:], part)
    assert not np.array_equal(whole, other)


def test_seeds_of_our_attacks_are_the_numbers_that_linux_draws_on_any_system(monkeypatch):
    wrapped, drawn = classifier(seed=1), []
    x, y = samples(wrapped, 2)
    make = Stage.instantiate
    monkeypatch.setattr(Stage, "instantiate", lambda *how: drawn.append(how[-1]) or make(*how))
    randint, kinds = np.random.randint, []
    monkeypatch.setattr(
        np.random, "randint", lambda *a, **k: kinds.append(k.get("dtype")) or randint(*a, **k)
    )
    for seed in range(4):
        np.random.seed(seed)  # noqa: NPY002
        batch("sa-pgd(max_iter=1)", wrapped, x, y)
    assert kinds == [np.uint32] * 4
    # np.random.randint(2**32 - 1) where the default is a whole number of 64 bits.
    assert drawn == [2357136044, 1791095845, 1872583848, 2365658986]


@pytest.mark.parametrize("text", [
    "pgd(eps_step=0.5)", "mim(eps_step=0.5)", "apgd(max_iter=6)", "sa-pgd(max_iter=6)"
])  # fmt: skip
def test_no_sample_starts_afresh_inside_a_batch_and_every_one_does_with_it(text, monkeypatch):
    wrapped = classifier(seed=1)
    wrapped.gradient = ASSG(restart=0.25)
    x, y = samples(wrapped, 6, wrong=0)
    stage, seen = parse_stage(text, np.inf, 0.5), restarts(monkeypatch)
    for batches in (1, 2):
        batch(stage, wrapped, x, y, eps=0.5)
        assert seen == ["all"] * batches
        assert wrapped.model.body.memory == {}
    # An attack of ART does not tell its budget by itself; ours do.
    stage.instantiate(wrapped, np.inf, 0.5, len(x), 0).generate(x, y)
    assert any(entry != "all" for entry in seen) == (text[:2] != "sa")


@pytest.mark.parametrize(
    ("preprocessing", "radius"),
    [(None, 0.1), ((0.0, 1.0), 0.1), ((0.5, 0.125), None)],
    ids=["none", "no change", "scaled"],
)
def test_an_attack_is_one_attack_after_any_preprocessing(preprocessing, radius, monkeypatch):
    wrapped = classifier(seed=1)
    wrapped.gradient = "assg"
    if preprocessing is not None:
        wrapped.set_params(preprocessing=preprocessing)
    x, y = samples(wrapped, 6, wrong=0)
    told, seen = [], restarts(monkeypatch)
    attacking = wrapped.model.attacking
    monkeypatch.setattr(wrapped.model, "attacking", lambda r: told.append(r) or attacking(r))
    batch("apgd(max_iter=4)", wrapped, x, y, eps=0.1)
    assert (told, seen) == ([radius], ["all"])


def test_an_attack_that_is_broken_off_leaves_no_memory(monkeypatch):
    wrapped = classifier(seed=1)
    wrapped.gradient = "assg"
    x, y = samples(wrapped)

    def broken(*_: Any, **__: Any) -> None:
        wrapped.loss_gradient(x, y)
        raise ArithmeticError("broken off")

    monkeypatch.setattr(ProjectedGradientDescent, "generate", broken)
    with pytest.raises(ArithmeticError, match="broken off"):
        batch("pgd", wrapped, x, y)
    assert wrapped.model.body.memory == {}


def test_samples_that_are_not_finite_are_not_predicted():
    wrapped = classifier()
    x, _ = samples(wrapped)
    x[0] = np.nan
    with pytest.raises(ValueError, match=r"^x: expected finite samples"):
        predict_logits(wrapped, x, 4, 0)
