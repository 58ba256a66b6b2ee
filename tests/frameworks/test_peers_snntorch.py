"""Our networks in snnTorch 1.0.0 itself, as cost --peers measures them."""

from __future__ import annotations

import pytest

from art_snn.measuring.peers import PEERS, installed
from tests.frameworks.loading import load
from tests.measuring import mirrors

load("snntorch", "1.", *PEERS["snnTorch"].modules)


@pytest.mark.parametrize(("model", "told"), mirrors.ALL)
def test_the_own_gradient_of_the_mirror_is_that_of_stbp_by_its_surrogate(model, told):
    mirrors.assert_snntorch_is_stbp_by_another_surrogate(model, told)


def test_it_fires_otherwise_under_a_soft_reset():
    mirrors.assert_snntorch_differs_under_a_soft_reset()


def test_it_is_found():
    assert installed()["snnTorch"].startswith("1.")
