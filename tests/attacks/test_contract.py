"""What all our attacks promise alike: one table of attacks, and one of what they refuse."""

import copy

import numpy as np
import pytest
from art.attacks.evasion import ProjectedGradientDescent
from hypothesis import given, settings, strategies as st

from art_snn.attacks import AutoPGD, SparseDynamicAttack, SpikeRetiming, SquareSearch
from art_snn.attacks.pgd import PGD, STEP
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from tests.attacks.classifiers import linear
from tests.classifiers import DIGITS as CLASSES, FORMS, build

QUIET = {"verbose": False}
WALKING = [StableAdaptivePGD, AutoPGD, SquareSearch, PGD]
DLR = {"loss_type": "difference_logits_ratio"}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(WALKING),
    st.integers(0, 2**31),
    st.floats(0.01, 2),
    st.sampled_from([np.inf, 2]),
    st.booleans(),
    st.integers(0, 2),
    st.floats(0.001, 1),
)
def test_nothing_leaves_the_budget_or_the_range(kind, seed, eps, norm, targeted, starts, share):
    rng = np.random.default_rng(seed)
    classifier = linear(rng.normal(size=(3, 4)))
    x, y = rng.random((5, 4)), rng.integers(0, 3, 5)
    options = {"eps": eps, "max_iter": 4, "num_random_init": starts, "targeted": targeted} | QUIET
    options |= {"share": share} if kind is SquareSearch else {}
    found = kind(classifier, norm, **options).generate(x, y)
    change = (found - x).reshape(5, -1)
    assert np.linalg.norm(change, ord=norm, axis=1).max() <= eps * (1 + 1e-9)
    assert 0 <= found.min() <= found.max() <= 1
    before = (classifier.predict(x).argmax(1) == y) == targeted
    np.testing.assert_array_equal(found[before], x[before])


@pytest.mark.parametrize(
    ("kind", "norm", "eps", "rule", "form"),
    [
        *((StableAdaptivePGD, np.inf, 0.1, rule, "grey") for rule in ("rga", "assg")),
        (StableAdaptivePGD, 2, 1.0, "assg", "grey"),
        (StableAdaptivePGD, 2, 1.0, "extended(assg, steps=6)", "grey"),
        *((SquareSearch, np.inf, 0.15, "rga", form) for form in ("grey", "frames")),
        (AutoPGD, np.inf, 0.1, "assg", "frames"),
    ],
)
def test_a_sample_fares_the_same_in_a_batch(kind, norm, eps, rule, form, trained_layers, known):
    # The weights of these layers are short, so that no spike depends on the order of a sum.
    classifier = build(copy.deepcopy(trained_layers), form)
    classifier.gradient = rule
    x, y = FORMS[form].present(known[0][:6]).astype(np.float64), known[1][:6]
    classifier.model.double()
    steps = 20 if kind is SquareSearch else 6

    def adversarial(rows, size):
        attack = kind(classifier, norm, eps=eps, max_iter=steps, batch_size=size, **QUIET)
        return attack.generate(x[rows], y[rows])

    # Some are broken on the way, and leave the batch.
    together = adversarial(slice(None), 6)
    assert (together != x).any()
    np.testing.assert_allclose(adversarial(slice(None), 4), together, atol=1e-9)
    np.testing.assert_allclose(adversarial(slice(3, 4), 6), together[3:4], atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "rule", "options"),
    [
        (StableAdaptivePGD, "rga", {}),
        (StableAdaptivePGD, "stbp", {"loss_type": "margin"}),
        *((AutoPGD, "rga", {"loss_type": loss}) for loss in ("cross_entropy", "margin")),
        (AutoPGD, "rga", DLR),
    ],
)
def test_spiking_networks_are_broken_within_the_budget(kind, rule, options, trained_layers, known):
    classifier = build(copy.deepcopy(trained_layers), gradient=rule)
    x, y = known[0][:8], known[1][:8]
    found = kind(classifier, eps=0.5, max_iter=10, **options, **QUIET).generate(x, y)
    assert np.abs(found - x).max() <= 0.5 + 1e-6
    assert (classifier.predict(found).argmax(1) != y).sum() >= 4


@pytest.mark.parametrize(
    ("kind", "form", "options", "reached"),
    [
        (StableAdaptivePGD, "grey", {"eps": 0.5, "max_iter": 30}, 3),
        (AutoPGD, "grey", {"eps": 0.5, "max_iter": 30}, 3),
        (SquareSearch, "grey", {"eps": 0.5, "max_iter": 30}, 0),
        (SparseDynamicAttack, "binary frames", {}, 3),
        (SpikeRetiming, "binary frames", {"max_shift": None, "eta": 2.0}, 1),
    ],
)
def test_a_targeted_attack_leads_to_its_target(kind, form, options, reached, trained_layers, known):
    rule = "rga" if form == "grey" else "stbp"
    classifier = build(copy.deepcopy(trained_layers), form, rule)
    x = FORMS[form].present(known[0])
    first, second = np.sort(classifier.predict(x), axis=1)[:, [-1, -2]].T
    # Those whose second class is nearest to the first.
    x = x[(first - second).argsort()[:6]]
    target = classifier.predict(x).argsort(1)[:, -2]
    attack = kind(classifier, targeted=True, **options, **QUIET)
    found = attack.generate(x, np.eye(CLASSES, dtype=np.float32)[target])
    np.testing.assert_array_equal(found, attack.generate(x, target))
    before, after = (classifier.compute_loss(z, target, reduction="none") for z in (x, found))
    assert after.mean() < before.mean()
    assert (classifier.predict(found).argmax(1) == target).sum() >= reached


WHOLE = r".*whole number >= 1, got"
SEEDED, OF_EVENTS = (StableAdaptivePGD, SparseDynamicAttack), (SparseDynamicAttack, SpikeRetiming)
REFUSED = [
    (StableAdaptivePGD, {"norm": 1}, r"norm:.*numpy.inf or 2.*got"),
    (StableAdaptivePGD, {"eps": 0}, r"eps:.*above 0.*got"),
    (StableAdaptivePGD, {"max_iter": 0}, rf"max_iter:{WHOLE}"),
    (StableAdaptivePGD, {"num_random_init": -1}, r"num_random_init:.*whole number >= 0"),
    *((kind, {"seed": -1}, r"seed:.*whole number >= 0") for kind in SEEDED),
    (StableAdaptivePGD, {"batch_size": 2.5}, rf"batch_size:{WHOLE}"),
    (StableAdaptivePGD, {"targeted": "no"}, r"targeted:.*True or False"),
    (StableAdaptivePGD, {"verbose": 2}, r"verbose:.*True or False"),
    (AutoPGD, {"loss_type": "hinge"}, r"loss_type:.*one of cross_entropy, "),
    (AutoPGD, {"loss_type": "margin", "targeted": True}, r"loss_type:.*cross_entropy for a target"),
    *((SquareSearch, {n: 1}, rf"{n}:.*True or False") for n in ("halving", "stripes", "racing")),
    (SquareSearch, {"racing": True, "targeted": True}, r"racing:.*False for a targeted attack"),
    *((SquareSearch, {"share": share}, r"share:.*at most 1") for share in (0, 1.5, np.nan, "much")),
    (SparseDynamicAttack, {"eps": 0}, rf"eps:{WHOLE} 0\. .*number of flips"),
    (SparseDynamicAttack, {"eps": 0.1}, rf"eps:{WHOLE} 0\.1"),
    (SparseDynamicAttack, {"max_iter": 0}, rf"max_iter:{WHOLE} 0\. .*500"),
    (SparseDynamicAttack, {"candidates": 0}, rf"candidates:{WHOLE} 0\. .*10"),
    *((kind, {"batch_size": 0}, rf"batch_size:{WHOLE}") for kind in OF_EVENTS),
    (SparseDynamicAttack, {"targeted": 1}, r"targeted:.*True or False"),
    (SpikeRetiming, {"max_shift": 0}, rf"max_shift:{WHOLE} 0"),
    (SpikeRetiming, {"total_shift": -1}, rf"total_shift:{WHOLE} -1\. .*or None"),
    (SpikeRetiming, {"moved": 1.5}, rf"moved:{WHOLE} 1\.5"),
    (SpikeRetiming, {"max_iter": 0}, rf"max_iter:{WHOLE} 0\. .*40"),
    (SpikeRetiming, {"eta": 0}, r"eta:.*above 0.*0\.3"),
]


@pytest.mark.parametrize(("kind", "options", "match"), REFUSED)
def test_bad_settings_are_refused_by_name(kind, options, match):
    classifier = linear([[1, 1], [0, 0]])
    with pytest.raises(ValueError, match=f"^{match}"):
        kind(classifier, **options)
    with pytest.raises(ValueError, match=f"^{match}"):
        kind(classifier, **QUIET).set_params(**options)


UNKNOWN = {"clip_values": None}
FRAMES = np.array([[0.0, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]).reshape(1, 4, 1, 1, 3)


@pytest.mark.parametrize(
    ("kind", "x", "options", "match"),
    [
        (SparseDynamicAttack, FRAMES / 2, {}, r"x:.*binary.* as 0\.5\. Make them binary first"),
        (SparseDynamicAttack, FRAMES, UNKNOWN, r"x:.*known range.*without clip_values\. Tell the"),
        (SpikeRetiming, FRAMES / 3, {}, r"x:.*whole numbers of spikes.* 0\.333333\. A spike adds"),
        (SpikeRetiming, FRAMES, UNKNOWN, r"x:.*known range.*without clip_values\. Tell the"),
        (SpikeRetiming, np.ones((1, 4)), {}, r"x:.*event frames.*shape \(4,\)\. The time axis"),
    ],
)
def test_samples_that_are_no_event_frames_are_refused(kind, x, options, match):
    classifier = linear(np.ones((2, *x.shape[1:])), [1, 0], **options)
    with pytest.raises(ValueError, match=f"^{match}"):
        kind(classifier, **QUIET).generate(x, [0])


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_pgd_takes_the_steps_of_arts_within_ball_and_range(norm, steps):
    draw = np.random.default_rng(0)
    # Nothing is broken, and the loss rises up to the rim, so that paths end at their last step.
    classifier = linear(draw.normal(size=(3, 6)), bias=[12, 0, 0])
    x, y = draw.random((20, 6)), np.zeros(20, int)
    known = {"norm": norm, "eps": 0.4, "max_iter": steps, "verbose": False}
    expected = ProjectedGradientDescent(classifier, eps_step=STEP * 0.4, **known).generate(x, y)
    attack = PGD(classifier, num_random_init=0, **known)
    np.testing.assert_allclose(attack.generate(x, y), expected, atol=1e-6)
    assert attack.backwards.tolist() == [steps] * 20
