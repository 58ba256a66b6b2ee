"""SpikingAutoAttack: as strong as every stage of its plan, and what it promises of every sample."""

import copy
import dataclasses
from contextlib import redirect_stderr

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent, SquareAttack
from hypothesis import given, settings, strategies as st

from art_snn import RGA, STBP, Direct, SpikingNetwork
from art_snn.attacks import AutoPGD, SparseDynamicAttack, SpikeRetiming, SpikingAutoAttack, shifts
from art_snn.attacks.outcome import Outcome
from art_snn.attacks.plans import PLANS
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.attacks.stages import Candidates, Plan, Stage
from art_snn.gradients import CBA, EOT, Mean
from art_snn.progress import Progress
from tests import classifiers as small
from tests.attacks.classifiers import around, by_margin, linear, watched
from tests.classifiers import FORMS, build
from tests.terminal import Terminal

QUIET = {"verbose": False}
WARM = Stage(AutoPGD, RGA(), {"max_iter": 2}, warm=True)


def only(*stages):
    return Plan("only", stages)


WEAK = only(
    Stage(AutoPGD, RGA(), {"max_iter": 1}),
    Stage(AutoPGD, STBP(), {"max_iter": 2}),
    Stage(StableAdaptivePGD, RGA(), {"max_iter": 12}),
    Stage(AutoPGD, STBP(), {"max_iter": 3, "loss_type": "margin", "num_random_init": 2}),
)
"""Stages of different strength."""


def exact(layers, **options):
    """A classifier in double precision, where no batch rounds a potential over its threshold."""
    classifier = build(copy.deepcopy(layers), **options)
    classifier.model.double()
    return classifier


def digits_of(known, count):
    return known[0][:count].astype(np.float64), known[1][:count]


def singly(stage, classifier, x, y, norm=np.inf, eps=0.1, seed=0):
    """A stage alone, and what it makes of the samples."""
    attack = stage.build(classifier, norm, eps, 32, stage.seed(seed))
    with classifier.model.using(stage.rule):
        return attack, attack.generate(x, y)


@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 0.12), (2, 0.9)])
def test_what_any_stage_breaks_alone_is_broken_by_the_first_such(norm, eps, trained_layers, known):
    classifier, (x, y) = exact(trained_layers), digits_of(known, 32)
    attack = SpikingAutoAttack(classifier, norm, eps, WEAK, seed=5, **QUIET)
    found = attack.generate(x, y)
    alone = [singly(stage, classifier, x, y, norm, eps, seed=5)[1] for stage in WEAK.stages]
    broken = np.stack([classifier.predict(each).argmax(1) != y for each in alone])
    first = np.where(broken.any(0), broken.argmax(0), Outcome.STANDING)
    np.testing.assert_array_equal(attack.outcome.stage, first)
    assert (first == 0).any()
    assert (first > 0).any()
    for row, stage in enumerate(first):
        expected = x[row] if stage < 0 else alone[stage][row]
        np.testing.assert_allclose(found[row], expected, atol=1e-12)


def test_a_stage_costs_what_it_costs_alone_and_the_check_of_what_it_breaks(trained_layers, known):
    classifier, (x, y) = exact(trained_layers), digits_of(known, 20)
    stage = WEAK.stages[1]
    alone, _ = singly(stage, classifier, x, y)
    attack = SpikingAutoAttack(classifier, eps=0.1, plan=only(stage), **QUIET)
    attack.generate(x, y)
    # Five predictions find out whether the network draws.
    claimed = attack.outcome.stage == 0
    np.testing.assert_array_equal(attack.forwards, 5 + alone.forwards + claimed)
    np.testing.assert_array_equal(attack.backwards, alone.backwards)


def test_the_outcome_of_a_sample_is_the_same_alone_and_among_others(trained_layers, known):
    classifier, (x, y) = exact(trained_layers), digits_of(known, 8)
    attack = SpikingAutoAttack(classifier, eps=0.12, plan=only(*WEAK.stages, WARM), **QUIET)
    together = attack.generate(x, y)
    stages = attack.outcome.stage.copy()
    order = np.array([5, 2, 7, 0])
    np.testing.assert_allclose(attack.generate(x[order], y[order]), together[order], atol=1e-12)
    np.testing.assert_array_equal(attack.outcome.stage, stages[order])
    for row in range(4):
        alone = attack.generate(x[[row]], y[[row]])[0]
        np.testing.assert_allclose(alone, together[row], atol=1e-12)
        assert attack.outcome.stage.tolist() == [stages[row]]


@settings(max_examples=12, deadline=None, database=None)
@given(norm=st.sampled_from([np.inf, 2.0]), eps=st.floats(0.01, 3), seed=st.integers(0, 2**32 - 1))
def test_whatever_is_returned_keeps_budget_and_range(norm, eps, seed):
    classifier = small.classifier(seed=seed % 7)
    x, y = small.samples(classifier, 6)
    square = () if norm == 2 else (Stage(SquareAttack, None, {"max_iter": 3}),)
    plan = only(*WEAK.stages[:2], WARM, *square)
    attack = SpikingAutoAttack(classifier, norm, eps, plan, seed=seed, **QUIET)
    x = x.astype(np.float64)
    found = attack.generate(x, y)
    outcome, change = attack.outcome, (found - x).reshape(6, -1)
    distance = np.linalg.norm(change, norm, axis=1)
    assert 0 <= found.min() <= found.max() <= 1
    assert (distance <= eps + 1e-6).all()
    np.testing.assert_allclose(outcome.distance, distance, atol=1e-9)
    np.testing.assert_array_equal(outcome.adversarials, found)
    assert outcome.skipped == ()
    assert outcome.stage[:2].tolist() == [Outcome.WRONG] * 2
    np.testing.assert_array_equal(found[outcome.stage < 0], x[outcome.stage < 0])
    wrong = classifier.predict(found).argmax(1) != y
    np.testing.assert_array_equal(wrong, outcome.stage != Outcome.STANDING)
    np.testing.assert_array_equal(wrong, outcome.votes)


STEPPED = {"max_iter": 3, "eps_step": 0.05}
AROUND = [EOT(STBP(), samples=3), EOT(Mean(STBP(), STBP(detach_reset=True)), samples=2)]
STAGES = {
    "gradients": (Stage(AutoPGD, RGA(), {"max_iter": 3}), Stage(AutoPGD, STBP(), {"max_iter": 2})),
    "warm": (Stage(AutoPGD, STBP(), {"max_iter": 1}), WARM),
    "several starts": (Stage(AutoPGD, RGA(), {"max_iter": 2, "num_random_init": 2}),),
    "square": (Stage(SquareAttack, None, {"max_iter": 12}),),
    "PGD of ART's": (Stage(ProjectedGradientDescent, RGA(), STEPPED),),
    "EOT in PGD of ART's": (Stage(ProjectedGradientDescent, AROUND[1], STEPPED),),
    **{f"{rule!r} in AutoPGD": (Stage(AutoPGD, rule, {"max_iter": 3}),) for rule in AROUND},
}


@pytest.mark.parametrize("kind", STAGES)
def test_passes_are_counted_as_a_hook_counts_them(kind, trained_layers, known):
    classifier, stages = build(trained_layers), STAGES[kind]
    x, y = known[0][:10], known[1][:10]
    attack = SpikingAutoAttack(classifier, eps=0.1, plan=only(*stages), batch_size=4, **QUIET)
    # Rules around rules run the layers more often than the network is called.
    hooked = (classifier.model.layers[0], 1) if "EOT" in kind else (classifier.model,)
    with watched(*hooked) as passes:
        attack.generate(x, y)
    assert attack.forwards.sum() == passes.forwards
    assert attack.backwards.sum() == passes.backwards
    assert (passes.backwards > 0) == (kind != "square")
    assert attack.outcome.forwards is attack.forwards
    assert attack.outcome.backwards is attack.backwards


class Uncertain(SpikingNetwork):
    """NaN logits for samples whose first pixel is 1."""

    def forward(self, x):
        return torch.where(x[:, 0, 0, :1] == 1, torch.nan, super().forward(x))


def test_a_sample_without_an_answer_stays_as_it_came_and_the_run_goes_on(trained_layers, known):
    network = Uncertain(copy.deepcopy(trained_layers), Direct(4), input_shape=(1, 8, 8))
    classifier = around(network, (1, 8, 8), 10)
    x, y = known[0][:6].copy(), known[1][:6]
    x[2, 0, 0, 0] = 1
    plan = only(*WEAK.stages, Stage(SquareAttack, None, {"max_iter": 3}))
    attack = SpikingAutoAttack(classifier, eps=0.4, plan=plan, **QUIET)
    found = attack.generate(x, y)
    outcome = attack.outcome
    np.testing.assert_array_equal(found[2], x[2])
    assert np.flatnonzero(outcome.stage == Outcome.UNANSWERED).tolist() == [2]
    assert attack.backwards[2] == 0
    assert outcome.broken_by[plan.stages[0].id] > 0
    assert np.isfinite(classifier.predict(found[outcome.stage >= 0])).all()
    assert outcome.robustness.clean_accuracy.count == 5


def test_stages_that_do_not_suit_are_left_out_with_the_reason(trained_layers, known):
    stages = Stage(AutoPGD, CBA()), WEAK.stages[0], Stage(SparseDynamicAttack, RGA())
    attack = SpikingAutoAttack(build(trained_layers), eps=0.1, plan=only(*stages), **QUIET)
    attack.generate(known[0][:3], known[1][:3])
    outcome = attack.outcome
    assert outcome.stages == (stages[1].record(),)
    first, second = outcome.skipped
    assert "IF neurons only" in first.reason
    assert second == stages[2].record("skipped", reason="it does not support norm inf")
    assert "skipped AutoPGD() by cba: " in str(outcome)


FLIPPING = only(Stage(SparseDynamicAttack, RGA()), Stage(SparseDynamicAttack, STBP()))
RETIMING = only(Stage(SpikeRetiming, STBP(), {"max_iter": 9}))


EVENTS = [(0, 30, plan) for plan in (*PLANS, FLIPPING)]
EVENTS += [("shift", 2, plan) for plan in (*PLANS, RETIMING)]


@pytest.mark.filterwarnings("ignore:The gradient is the same at all time steps")
@pytest.mark.parametrize(("norm", "eps", "plan"), EVENTS)
def test_event_frames_keep_the_budget_of_flips_or_shifts(norm, eps, plan, trained_layers, known):
    classifier, x, y = by_margin(trained_layers, known, "binary frames")
    x, y = x[:4], y[:4]
    attack = SpikingAutoAttack(classifier, norm, eps, plan, **QUIET)
    found = attack.generate(x, y)
    assert set(np.unique(found)) <= {0, 1}
    if norm == "shift":
        np.testing.assert_array_equal(found.sum(1), x.sum(1))
    spent = shifts(x, found).largest if norm == "shift" else (found != x).reshape(4, -1).sum(1)
    assert spent.max() <= eps
    assert (attack.outcome.stage >= 0).any()
    np.testing.assert_array_equal(attack.outcome.distance, spent)
    wrong = classifier.predict(found).argmax(1) != y
    np.testing.assert_array_equal(wrong, attack.outcome.stage >= 0)


LONG = [pytest.param(plan, marks=pytest.mark.slow) for plan in ("standard", "ensemble-19")]


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("plan", ["fast", *LONG])
def test_every_named_plan_runs(plan, norm, trained_layers, known):
    eps = 0.5 if norm == 2 else 0.1
    attack = SpikingAutoAttack(build(trained_layers), norm, eps, plan, **QUIET)
    x, y = known[0][:2], known[1][:2]
    with watched(attack.estimator.model) as passes:
        found = attack.generate(x, y)
    assert attack.forwards.sum() == passes.forwards
    assert attack.backwards.sum() == passes.backwards
    assert (np.linalg.norm((found - x).reshape(2, -1), norm, 1) <= attack.eps + 1e-6).all()


@pytest.mark.parametrize("form", ["frames", "binary frames", "grey", "channels last", "table"])
def test_gradient_attacks_of_arts_take_samples_of_any_shape(form, trained_layers, known):
    x, y = FORMS[form].present(known[0][:4]), known[1][:4]
    stage = Stage(ProjectedGradientDescent, RGA(), {"max_iter": 4, "eps_step": 0.1})
    attack = SpikingAutoAttack(build(trained_layers, form), eps=0.4, plan=only(stage), **QUIET)
    assert attack.generate(x, y).shape == x.shape
    assert (attack.outcome.stage == 0).any()
    assert attack.outcome.skipped == ()


def test_the_bar_names_the_stage_and_counts_forwards(monkeypatch, trained_layers, known):
    names, describe = [], Progress.describe

    def listening(self, words):
        names.append(words)
        describe(self, words)

    monkeypatch.setattr(Progress, "describe", listening)
    plan, heard = only(*WEAK.stages[:2]), []
    heed = {"on_stage": lambda *stage: heard.append(stage)}
    attack = SpikingAutoAttack(build(trained_layers), eps=1e-4, plan=plan, **heed)
    y = known[1][:5].copy()
    y[0] = (y[0] + 1) % 10
    with redirect_stderr(Terminal()) as terminal:
        attack.generate(known[0][:5], y)
    shown = terminal.getvalue().rstrip().split("\r")
    assert names == [f"{n}/2 {stage.label}" for n, stage in enumerate(plan.stages, 1)]
    assert heard == [(stage.record(), 4, 4) for stage in plan.stages]
    assert shown[-1].startswith(f"{names[-1]}: 100%")
    assert "5/5 [" in shown[-1]
    assert f"forwards={attack.forwards.sum()}" in shown[-1]


@pytest.mark.parametrize("others", [1.0, 1000.0])
def test_rounding_beyond_the_ball_is_that_of_a_sample_whatever_its_batch_holds(others):
    classifier = around(small.classifier().model, small.SHAPE, small.CLASSES, (0.0, 2000.0))
    x = np.random.default_rng(0).random((16, *small.SHAPE))
    y = classifier.predict(x).argmax(1)
    points = x[np.array([np.flatnonzero(y != label)[0] for label in y])]
    far = np.abs(points[0] - x[0]).max()
    x[1:] *= others
    first = np.arange(16) == 0
    for beyond, stage in ((-1e-4, 0), (5e-7, 0), (1e-4, Outcome.STANDING)):
        options = {"plan": only(Stage(AutoPGD, CBA())), "eps": far - beyond} | QUIET
        given = [Candidates("Ann", points, first)]
        attack = SpikingAutoAttack(classifier, candidates=given, **options)
        attack.generate(x, y)
        assert attack.outcome.stage[0] == stage


@pytest.mark.parametrize("within", [None, 9.0])
def test_equal_stages_have_seeds_of_their_own(within, trained_layers, known):
    stage = Stage(AutoPGD, RGA(), {"max_iter": 1})
    classifier, (x, y) = exact(trained_layers), digits_of(known, 40)
    top = 2**32 - 1
    plan = only(stage, *[dataclasses.replace(stage, within=within)] * 3)
    attack = SpikingAutoAttack(classifier, eps=0.12, plan=plan, seed=top, **QUIET)
    attack.generate(x, y)
    first, second = (singly(stage, classifier, x, y, eps=0.12, seed=seed)[1] for seed in (top, 0))
    assert (first != second).any()
    assert set(attack.outcome.broken_by) == {one.id for one in plan.stages}
    seeds = [one.seed(top, again) for again, one in enumerate(plan.stages)]
    assert seeds == [(stage.seed(top) + again) % 2**32 for again in range(4)]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_blocks_of_samples_change_nothing(batch_size, monkeypatch, trained_layers, known):
    classifier, (x, y) = exact(trained_layers), digits_of(known, 7)
    attack = SpikingAutoAttack(classifier, eps=0.12, plan=WEAK, **QUIET)
    whole = attack.generate(x, y)
    stages, backwards = attack.outcome.stage.copy(), attack.backwards.copy()
    monkeypatch.setattr(SpikingAutoAttack, "bytes_at_once", 1)
    attack.set_params(batch_size=batch_size)
    np.testing.assert_allclose(attack.generate(x, y), whole, atol=1e-12)
    np.testing.assert_array_equal(attack.outcome.stage, stages)
    np.testing.assert_array_equal(attack.backwards, backwards)


SQUARE, TABLE = np.zeros((10, 1, 8, 8)), np.zeros((10, 64))
WHOLE = [(0, {"eps": 0.5}), ("shift", {"eps": 0.25}), (0, {})]


@pytest.mark.parametrize(
    ("match", "options"),
    [
        *((r"^norm:.*'shift', got 1", {"norm": 1}), (r"^eps:.*above 0 .*, got 0", {"eps": 0})),
        *((r"^eps:.*whole", {"norm": n} | e) for n, e in WHOLE),
        *((r"^plan:.*fast.*'slow'", {"plan": "slow"}), (r"^seed:.*whole", {"seed": -1})),
        *((r"^batch_size:.*whole", {"batch_size": 0}), (r"^verbose:.*True or", {"verbose": 1})),
        (r"^candidates:.*list of Candidates, got array", {"candidates": np.zeros(2)}),
        (r"(?s)^sources:.*a list of torch.*, got .*Wrap", {"sources": linear(SQUARE)}),
        (r"(?s)^sources:.*, got Flatten.*Wrap", {"sources": [torch.nn.Flatten()]}),
        (r"^sources:.*shape \(1, 8, 8\) and 10 .*, got .* \(64,\)", {"sources": [linear(TABLE)]}),
        (r"^sources:.*10 classes, got .* 3 classes", {"sources": [linear(SQUARE[:3])]}),
        (r"^sources:.*none with that norm", {"sources": [linear(SQUARE)], "norm": 0, "eps": 2}),
    ],
)
def test_settings_are_refused_by_name(match, options, trained_layers):
    with pytest.raises(ValueError, match=match):
        SpikingAutoAttack(build(trained_layers)).set_params(**options)
    with pytest.raises(ValueError, match=match):
        SpikingAutoAttack(build(trained_layers), **options)


FIVE = [Candidates("Ann", SQUARE[:5], np.ones(5, dtype=bool))]


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("x: expected binary event", {"norm": 0, "eps": 2}),
        ("x: expected event .* of whole", {"norm": "shift", "eps": 2}),
        ("candidates: .*points as samples, 2, got 5", {"candidates": FIVE}),
    ],
)
def test_samples_that_do_not_fit_are_refused(match, options, trained_layers, known):
    attack = SpikingAutoAttack(build(trained_layers), **options, **QUIET)
    with pytest.raises(ValueError, match=f"^{match}"):
        attack.generate(np.clip(known[0][:2], 0.1, 0.9), known[1][:2])
    assert attack.outcome is None
