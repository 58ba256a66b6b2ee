"""Stages, plans and their budgets, and what is refused by name."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from art.attacks.evasion import SquareAttack

from art_snn import RGA
from art_snn.attacks import PLANS, AutoPGD, Plan, SparseDynamicAttack, SpikeRetiming, Stage, planned
from art_snn.attacks.borrowed import Borrowed
from art_snn.attacks.distances import FLIPS, SHIFT, distances, require_budget, require_measure
from tests.networks import build

NORMS = (np.inf, 2.0, FLIPS, SHIFT)


def test_a_stage_is_told_in_words():
    assert str(Stage(AutoPGD)) == "AutoPGD()"
    stage = Stage(AutoPGD, RGA(), {"max_iter": 3, "loss_type": "margin"})
    assert str(stage) == "AutoPGD(max_iter=3, loss_type=margin) by rga"
    assert str(Stage(SquareAttack, None, {"max_iter": 7})) == "SquareAttack(max_iter=7)"
    assert "RGA(" in str(Stage(AutoPGD, RGA(gamma=0.3)))
    assert str(Stage(AutoPGD, RGA(), warm=True)) == "AutoPGD() by rga, warm"


def pickled(plan):
    return pickle.loads(pickle.dumps(plan))


@pytest.mark.parametrize("carried", [copy.deepcopy, pickled])
@pytest.mark.parametrize("name", sorted(PLANS))
def test_plans_carry_over_to_other_processes(name, carried):
    plan = planned(name, np.inf)
    found = carried(plan)
    assert [str(stage) for stage in found.stages] == [str(stage) for stage in plan.stages]
    assert [stage.rule for stage in found.stages] == [stage.rule for stage in plan.stages]
    assert [stage.transfer for stage in found.stages] == [stage.transfer for stage in plan.stages]
    assert [stage.warm for stage in found.stages] == [stage.warm for stage in plan.stages]
    with pytest.raises(TypeError):
        found.stages[0].options["eps"] = 1


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
        (r"^attack: expected a class of evasion attacks, got 'AutoPGD'", ("AutoPGD",)),
        (r"^attack: expected a class of evasion attacks, got <class 'int'>", (int,)),
        (r"^rule: expected a gradient rule such as RGA\(\), or None, got <class", (AutoPGD, RGA)),
        (r"^rule: expected a gradient rule such as RGA\(\), or None, got 'rga'", (AutoPGD, "rga")),
        (r"^rule: expected None where transfer=True, got RGA", (AutoPGD, RGA(), {}, True)),
        (r"^warm: expected False with that attack, .*, got True", (AutoPGD, None, {}, True, True)),
        (r"^warm: expected False with that attack, ", (SquareAttack, None, {}, False, True)),
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
    made = Stage(AutoPGD, RGA(), {"max_iter": 3}).built(classifier, 2.0, 0.5, 7, 11)
    assert type(made) is AutoPGD
    assert (made.norm, made.eps, made.batch_size, made.seed) == (2, 0.5, 7, 11)
    assert (made.max_iter, made.verbose) == (3, False)
    assert Stage(SparseDynamicAttack).built(classifier, FLIPS, 9, 7, 11).eps == 9
    assert Stage(SpikeRetiming).built(classifier, SHIFT, 2, 7, 0).max_shift == 2


def test_attacks_of_arts_are_borrowed_with_what_they_know():
    made = Stage(SquareAttack, None, {"max_iter": 3}).built(build(), np.inf, 0.5, 7, 11)
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


@pytest.mark.parametrize(
    ("given", "norm"),
    [(np.inf, np.inf), ("inf", np.inf), (2, 2), (2.0, 2), ("2", 2), (0, 0), ("0", 0), (0.0, 0)],
)
def test_norms_are_numbers_or_words(given, norm):
    assert require_measure(given) == norm
    assert isinstance(require_measure(given), float)
    assert require_measure("shift") == "shift"


@pytest.mark.parametrize("norm", [1, -np.inf, True, False, None, "shifts", [2], np.nan])
def test_other_norms_are_refused(norm):
    with pytest.raises(ValueError, match=r"^norm: expected numpy.inf, 2, 0 or 'shift', got "):
        require_measure(norm)


@pytest.mark.parametrize("eps", [0, -1, np.inf, np.nan, "1", None, True])
def test_budgets_are_numbers_above_0(eps):
    with pytest.raises(ValueError, match=r"^eps: expected a number above 0, got .* 8/255\.$"):
        require_budget(np.inf, eps)


@pytest.mark.parametrize("eps", [0, -1, 0.5, "1", None, True])
@pytest.mark.parametrize("norm", [FLIPS, SHIFT])
def test_what_is_counted_is_a_whole_number(norm, eps):
    with pytest.raises(ValueError, match=r"^eps: expected a whole number .* are counted\.$"):
        require_budget(norm, eps)


def test_distances_by_hand():
    x = torch.tensor([[[0.0, 1], [1, 0], [0, 0]], [[1.0, 0], [0, 0], [0, 0]]])
    other = torch.tensor([[[0.0, 0], [0, 0], [1, 1]], [[1.0, 0], [0, 0], [0, 0]]])
    assert distances(np.inf, x, other, 0).tolist() == [1, 0]
    assert distances(2.0, x, other, 0).tolist() == [2, 0]
    assert distances(FLIPS, x, other, 0).tolist() == [4, 0]
    # One spike of the first place moves from step 1 to 2, that of the second one from 0 to 2.
    assert distances(SHIFT, x, other, 0).tolist() == [2, 0]
    assert distances(SHIFT, x - 1, other - 1, -1).tolist() == [2, 0]
