"""PGD of equal steps goes where ART's goes."""

import numpy as np
import pytest
from art.attacks.evasion import ProjectedGradientDescent

from art_snn.attacks.attack import STEP
from art_snn.attacks.grids import PGD
from tests.attacks.classifiers import linear


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_it_takes_the_steps_of_arts_within_ball_and_range(norm, steps):
    draw = np.random.default_rng(0)
    # Nothing is broken, and the loss rises up to the rim, so that paths end at their last step.
    classifier = linear(draw.normal(size=(3, 6)), bias=[12, 0, 0])
    x, y = draw.random((20, 6)), np.zeros(20, int)
    known = {"norm": norm, "eps": 0.4, "max_iter": steps, "verbose": False}
    expected = ProjectedGradientDescent(classifier, eps_step=STEP * 0.4, **known).generate(x, y)
    attack = PGD(classifier, num_random_init=0, **known)
    np.testing.assert_allclose(attack.generate(x, y), expected, atol=1e-6)
    assert attack.backwards.tolist() == [steps] * 20
