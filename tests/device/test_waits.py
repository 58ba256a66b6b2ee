"""Host and device do not wait for each other more often than they did."""

from __future__ import annotations

import pytest

from tests.device.waits import CASES, count

pytestmark = pytest.mark.gpu

CEILINGS = {
    "PGD of ART": 12.5,
    "AutoPGD": 12.5,
    "StableAdaptivePGD": 11.5,
    "SquareSearch": 16.5,
    "SparseDynamicAttack": 49.5,
    "SpikeRetiming": 30.5,
    "SpikingAutoAttack": 1490,
    "SpikingAutoAttack of shifts": 830,
    "SpikingAutoAttack of flips": 700,
    "training": 3.5,
    "training on adversarial samples": 44.5,
    "a checkpoint": 8,
}
"""Per step, or in all, by `python -m tests.device.waits`: lower one when it has become less."""


@pytest.mark.parametrize("name", CASES)
def test_waits_and_transfers_are_no_more_than_they_were(name):
    assert 0 < count(name).total() <= CEILINGS[name]
