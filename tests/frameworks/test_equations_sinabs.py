"""The real neurons of sinabs 3.1 keep the promises that their stand-ins keep."""

from __future__ import annotations

import pytest

from tests.frameworks.loading import load
from tests.interop import families, promises
from tests.interop.reference import RULES

(layers, activation) = load("sinabs", "3.", "sinabs.layers", "sinabs.activation")

CASES = families.sinabs(
    layers, activation.SingleSpike, activation.MembraneSubtract, activation.MembraneReset
)
every_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@every_case
@pytest.mark.parametrize("rule", RULES)
def test_gradients_are_those_of_the_equations(case, rule):
    promises.assert_equations(case, rule)


@every_case
@pytest.mark.parametrize("rule", promises.EVERY)
def test_logits_are_the_models_own_and_nothing_is_left(case, rule):
    promises.assert_same_logits(case, rule)


@every_case
def test_the_native_gradient_is_that_of_training_mode(case):
    promises.assert_native(case)
