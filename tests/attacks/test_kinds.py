"""What an attack states: the settings of its budget, and whether it asks for gradients."""

import numpy as np
import pytest
from art.attacks import evasion
from art.attacks.evasion import DeepFool, HopSkipJump, ProjectedGradientDescent, SquareAttack

from art_snn.attacks import (
    FLIPS,
    SHIFT,
    AutoPGD,
    SparseDynamicAttack,
    SpikeRetiming,
    SquareSearch,
    StableAdaptivePGD,
)
from art_snn.attacks.plan import ART, kind_of, settings_of
from tests.audit import ELSEWHERE, OURS, PREDICTIONS, ROWS, exported


class Mine(SquareAttack):
    """Derived from one of ART's."""


class Foreign(evasion.DPatch):
    """Of nobody that the table knows."""

    attack_params = evasion.DPatch.attack_params + ["eps"]  # noqa: RUF005

    def __init__(self, estimator, eps):
        super().__init__(estimator)
        self.eps = eps


BOTH = {"norm": np.inf, "eps": 0.1}


@pytest.mark.parametrize(
    ("kind", "norm", "eps", "budget"),
    [
        (AutoPGD, np.inf, 0.1, BOTH),
        (StableAdaptivePGD, 2.0, 0.1, {"norm": 2, "eps": 0.1}),
        (SquareSearch, np.inf, 0.1, BOTH),
        (AutoPGD, FLIPS, 5, None),
        (AutoPGD, SHIFT, 5, None),
        (SparseDynamicAttack, FLIPS, 3, {"eps": 3}),
        (SparseDynamicAttack, SHIFT, 3, None),
        (SparseDynamicAttack, np.inf, 0.1, None),
        (SpikeRetiming, SHIFT, 3, {"max_shift": 3}),
        # Every spike that is moved changes two values.
        (SpikeRetiming, FLIPS, 5, {"moved": 2, "max_shift": None}),
        (SpikeRetiming, FLIPS, 1, {"moved": 1, "max_shift": None}),
        (SpikeRetiming, 2.0, 3, None),
        (SquareAttack, np.inf, 0.1, BOTH),
        (SquareAttack, FLIPS, 3, None),
        (HopSkipJump, np.inf, 0.1, {"norm": np.inf}),
        (DeepFool, np.inf, 0.1, {}),
        (Mine, np.inf, 0.1, BOTH),
        (Foreign, np.inf, 0.1, {"eps": 0.1}),
    ],
)
def test_an_attack_states_the_settings_of_its_budget(kind, norm, eps, budget):
    assert kind_of(kind).budget(norm, eps) == budget


@pytest.mark.parametrize(
    ("kind", "by_gradients", "bounded"),
    [
        (AutoPGD, True, True),
        (SquareSearch, False, True),
        (SparseDynamicAttack, True, True),
        (ProjectedGradientDescent, True, True),
        (SquareAttack, False, True),
        (Mine, False, True),
        (HopSkipJump, False, False),
        (DeepFool, True, False),
        (Foreign, True, True),
    ],
)
def test_an_attack_states_whether_it_asks_for_gradients_and_keeps_to_a_budget(
    kind, by_gradients, bounded
):
    assert (kind_of(kind).by_gradients, kind_of(kind).bounded) == (by_gradients, bounded)


def test_the_table_of_art_has_the_attacks_of_the_audit_with_the_settings_that_they_take():
    elsewhere = {name for reason in ELSEWHERE for name in reason.attacks}
    assert {row.attack for row in ROWS} <= ART.keys() <= exported(evasion) - elsewhere
    for name, row in ART.items():
        taken = settings_of(getattr(evasion, name))
        assert row.takes == tuple(setting for setting in ("norm", "eps") if setting in taken)


def test_those_without_gradients_are_the_ones_that_the_audit_sees_ask_for_predictions_alone():
    searches = {row.attack for row in (*ROWS, *OURS) if row.reach == PREDICTIONS}
    stated = {name for name in ART if not ART[name].by_gradients} | {"SquareSearch"}
    assert stated == searches
