"""No point within a budget is where the bounds say that none is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bounds.drawn import drawn
from tests.bounds.soundness import Tally, check, check_strong
from tests.conftest import varied

NETWORKS = {np.inf: 24, 2: 18, 0: 21}


@pytest.mark.parametrize("norm", NETWORKS)
def test_no_point_within_the_budget_beats_a_bound_of_random_networks(norm):
    tally = Tally()
    for seed in range(NETWORKS[norm]):
        check(drawn(varied(seed), norm), tally)
    assert tally.points >= 1900  # All three together are 10,000.
    # Neither all nor none: bounds that say nothing could not be wrong.
    assert 0.05 < tally.certified / tally.samples < 0.95


@pytest.mark.parametrize("norm", [np.inf, 2, 0])
def test_no_certified_sample_is_broken_by_the_strongest_attack(norm):
    cases = (drawn(varied(seed), norm, samples=6) for seed in range(100))
    check_strong(next(case for case in cases if case.certified().any()), Tally())
