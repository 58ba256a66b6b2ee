"""Stand-ins of every supported neuron against equations by hand, as the real ones are elsewhere."""

from __future__ import annotations

import pytest

from tests.interop import families, promises
from tests.interop.reference import RULES
from tests.standins import clock_driven, norse, sinabs, snntorch, spikingjelly, spikingjelly_old

CASES = [
    *families.spikingjelly(spikingjelly, "2.0"),
    *families.spikingjelly(spikingjelly_old, "0.0.0.0.14"),
    *families.clock_driven(clock_driven),
    *families.snntorch(snntorch.Leaky),
    *families.norse(norse, norse.LIFBoxParameters, norse.IAFParameters, norse.reset_subtract),
    *families.sinabs(sinabs, sinabs.SingleSpike, sinabs.MembraneSubtract, sinabs.MembraneReset),
]
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
