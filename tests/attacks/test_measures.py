"""Norms and their budgets, by hand."""

import numpy as np
import pytest
import torch

from art_snn.attacks.measures import (
    EUCLIDEAN,
    FLIPS,
    MAXIMUM,
    MEASURES,
    SHIFT,
    SIZES,
    require_measure,
)

NORMS = {
    MAXIMUM: [np.inf, "inf", MAXIMUM],
    EUCLIDEAN: [2, 2.0, "2", EUCLIDEAN],
    FLIPS: [0, 0.0, "0", FLIPS],
    SHIFT: ["shift", SHIFT],
}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.id)
def test_a_measure_has_a_norm_and_a_text(measure):
    for norm in NORMS[measure]:
        assert require_measure(norm) is measure
        if measure in SIZES:
            assert require_measure(norm, SIZES) is measure
        else:
            with pytest.raises(ValueError, match=r"^norm:.*numpy.inf or 2, got "):
                require_measure(norm, SIZES)


@pytest.mark.parametrize("norm", [1, -np.inf, True, False, None, "max", [2], np.nan])
@pytest.mark.parametrize("among", [MEASURES, SIZES])
def test_other_norms_are_refused(among, norm):
    with pytest.raises(ValueError, match=r"^norm:.*numpy.inf.*got "):
        require_measure(norm, among)


@pytest.mark.parametrize("eps", [0, -1, np.inf, np.nan, "1", None, True])
@pytest.mark.parametrize("measure", [MAXIMUM, FLIPS, SHIFT], ids=lambda one: one.id)
def test_budgets_are_numbers_above_0_and_whole_where_things_are_counted(measure, eps):
    words = "whole number.* counted" if measure.counted else r"above 0.* 8/255"
    with pytest.raises(ValueError, match=rf"^eps:.*{words}"):
        measure.require_budget(eps)
    if measure.counted:
        with pytest.raises(ValueError, match=rf"^eps:.*{words}"):
            measure.require_budget(0.5)


def test_distances_by_hand():
    x = torch.tensor([[[0.0, 1], [1, 0], [0, 0]], [[1.0, 0], [0, 0], [0, 0]]])
    other = torch.tensor([[[0.0, 0], [0, 0], [1, 1]], [[1.0, 0], [0, 0], [0, 0]]])
    # One spike of the first place moves from step 1 to 2, that of the second one from 0 to 2.
    for measure, distance in {MAXIMUM: 1, EUCLIDEAN: 2, FLIPS: 4, SHIFT: 2}.items():
        assert measure.distances(x, other, 0).tolist() == [distance, 0]
    assert SHIFT.distances(x - 1, other - 1, -1).tolist() == [2, 0]
