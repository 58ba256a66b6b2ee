"""Stages, plans and their budgets, and what is refused by name."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from art.attacks.evasion import SquareAttack

from art_snn import RGA, Mean
from art_snn.attacks import PLANS, AutoPGD, Plan, SparseDynamicAttack, SpikeRetiming, Stage, planned
from art_snn.attacks.borrowed import Borrowed
from art_snn.attacks.distances import FLIPS, SHIFT
from art_snn.attacks.plan import short_stage
from tests.networks import build

NORMS = (np.inf, 2.0, FLIPS, SHIFT)
MARGIN = {"max_iter": 3, "loss_type": "margin"}


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Stage(AutoPGD), "AutoPGD()"),
        (Stage(AutoPGD, RGA(), MARGIN), "AutoPGD(max_iter=3, loss_type=margin) by rga"),
        (Stage(SquareAttack, None, {"max_iter": 7}), "SquareAttack(max_iter=7)"),
        (Stage(AutoPGD, RGA(), warm=True), "AutoPGD() by rga, warm"),
        (Stage(AutoPGD, None, within=0.1), "AutoPGD(), within 0.1"),
    ],
)
def test_a_stage_has_words(stage, words):
    assert str(stage) == words
    assert "normalise=False" in str(Stage(AutoPGD, Mean(RGA(gamma=0.3), RGA(), normalise=False)))


@pytest.mark.parametrize(
    ("words", "short"),
    [
        ("AutoPGD(max_iter=20) by HART(surrogate=Triangle(width=0.5))", "AutoPGD HART 0.5"),
        (
            "StableAdaptivePGD(max_iter=60) by ASSG(omega=8.089), warm",
            "StableAdaptivePGD ASSG 8.09",
        ),
        ("AutoPGD() by RGA(beta=2.0, gamma=1e-05), warm, within 0.15", "AutoPGD RGA 2 1e-05"),
        ("AutoPGD(loss_type=margin) by eot-rga, within 1e-05", "AutoPGD EOT-RGA margin"),
        ("AutoPGD(loss_type=difference_logits_ratio, targets=9) by stbp", "AutoPGD STBP DLR"),
        ("PGD(max_iter=7, num_random_init=0) by native", "PGD native"),
        ("PGD() by STBP(surrogate=ArcTan(alpha=2.0))", "PGD STBP ArcTan 2"),
        ("OnwardPGD(shape=(1, 2)), within 0.08", "OnwardPGD"),
        ("OnwardPGD(max_iter=20), within 0.08 on source 1", "OnwardPGD on source 1"),
        ("SquareAttack(max_iter=2500)", "SquareAttack"),
        ("PGD-7 by stbp", "PGD-7 by stbp"),
        ("", ""),
    ],
)
def test_a_stage_has_a_short_name_made_of_its_words(words, short):
    assert short_stage(words) == short


def test_the_stages_of_the_plans_have_names_of_a_few_words():
    plans = [plan() for plans in PLANS.values() for plan in plans.values()]
    names = [short_stage(str(stage)) for plan in plans for stage in plan]
    assert max(map(len, names)) < 45
    assert not [name for name in names if set(name) & set("()=,")]


@pytest.mark.parametrize("carried", [copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))])
@pytest.mark.parametrize("name", sorted(PLANS))
def test_plans_carry_over_to_other_processes(name, carried):
    plan = planned(name, np.inf)
    for stage, other in zip(plan.stages, carried(plan).stages, strict=True):
        assert (stage, str(stage)) == (other, str(other))
        with pytest.raises(TypeError):
            other.options["eps"] = 1


def test_stages_and_plans_do_not_change():
    given = {"max_iter": 3}
    stage = Stage(AutoPGD, RGA(), given)
    given["max_iter"] = 4
    assert stage.options["max_iter"] == 3
    with pytest.raises(TypeError):
        stage.options["max_iter"] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        stage.rule = None
    plan = Plan("mine", [stage])
    assert plan.stages == (stage,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.stages = ()


@pytest.mark.parametrize(
    ("match", "given"),
    [
        (r"^attack:.*evasion attacks, got 'AutoPGD'", ("AutoPGD",)),
        (r"^attack:.*evasion attacks, got <class 'int'>", (int,)),
        (r"^rule:.*gradient rule.*got <class", (AutoPGD, RGA)),
        (r"^rule:.*gradient rule.*got 'rga'", (AutoPGD, "rga")),
        (r"^rule:.*transfer=True, got RGA", (AutoPGD, RGA(), {}, True)),
        (r"^warm:.*that attack, .*, got True", (AutoPGD, None, {}, True, True)),
        (r"^warm:.*that attack, ", (SquareAttack, None, {}, False, True)),
    ],
)
def test_stages_of_something_else_are_refused(match, given):
    with pytest.raises(ValueError, match=match):
        Stage(*given)


@pytest.mark.parametrize("stages", [(), (AutoPGD,), Stage(AutoPGD), (Stage(AutoPGD), None)])
def test_plans_of_something_else_are_refused(stages):
    with pytest.raises(ValueError, match=r"^stages: expected a tuple of one Stage or more, got "):
        Plan("mine", stages)
    if stages:
        with pytest.raises(ValueError, match=r"^native: expected a tuple of stages, got "):
            Plan("mine", (Stage(AutoPGD),), stages)


def test_stages_become_attacks_with_budget_batch_seed_and_options():
    classifier = build()
    made = Stage(AutoPGD, RGA(), {"max_iter": 3}).build(classifier, 2.0, 0.5, 7, 11)
    assert type(made) is AutoPGD
    assert (made.norm, made.eps, made.batch_size, made.seed) == (2, 0.5, 7, 11)
    assert (made.max_iter, made.verbose) == (3, False)
    assert Stage(SparseDynamicAttack).build(classifier, FLIPS, 9, 7, 11).eps == 9
    assert Stage(SpikeRetiming).build(classifier, SHIFT, 2, 7, 0).max_shift == 2


def test_attacks_of_arts_are_borrowed_with_what_they_know():
    made = Stage(SquareAttack, None, {"max_iter": 3}).build(build(), np.inf, 0.5, 7, 11)
    assert type(made) is Borrowed
    known = {"norm": np.inf, "eps": 0.5, "batch_size": 7, "verbose": False, "max_iter": 3}
    assert made.options == known
    assert (made.norm, made.eps, made.batch_size, made.seed) == (np.inf, 0.5, 7, 11)


@pytest.mark.parametrize("norm", NORMS)
def test_the_named_plans_have_stages_for_every_norm_that_know_its_budget(norm):
    for name in PLANS:
        plan = planned(name, norm)
        assert plan.name == name
        assert all(stage.kind.budget(norm, 1) for stage in plan.stages)


def test_a_plan_of_ones_own_is_taken_as_it_is():
    plan = Plan("mine", (Stage(AutoPGD),))
    assert planned(plan, 2.0) is plan


@pytest.mark.parametrize("plan", ["slow", 3, None, ["fast"], Stage(AutoPGD)])
def test_unknown_plans_are_refused(plan):
    with pytest.raises(ValueError, match=r"^plan: expected one of standard, fast, ensemble-19, "):
        planned(plan, np.inf)
