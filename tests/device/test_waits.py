"""Host and device do not wait for each other more often than they did."""

from __future__ import annotations

import pytest

from tests.device.waits import CASES, count

pytestmark = pytest.mark.gpu

CEILINGS = {
    "PGD of ART": 7.5,
    "AutoPGD": 2.5,
    "StableAdaptivePGD": 2.5,
    "SquareSearch": 1.5,
    "SparseDynamicAttack": 4.5,
    "SpikeRetiming": 4.5,
    "SpikingAutoAttack": 290,
    "SpikingAutoAttack of shifts": 150,
    "SpikingAutoAttack of flips": 90,
    "training": 3.5,
    "training on adversarial samples": 26.5,
    "a checkpoint": 1,
}
"""Per step, or in all, by `python -m tests.device.waits`: lower one when it has become less."""


@pytest.mark.parametrize("name", CASES)
def test_waits_and_transfers_are_no_more_than_they_were(name):
    assert 0 < count(name).total() <= CEILINGS[name]
