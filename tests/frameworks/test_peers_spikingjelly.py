"""Our networks in SpikingJelly 2.0.0 itself, as cost --peers measures them."""

from __future__ import annotations

import pytest

from art_snn.measuring.peers import PEERS, installed
from tests.frameworks.loading import load
from tests.measuring import mirrors

load("spikingjelly", "2.", *PEERS["SpikingJelly"].modules)


@pytest.mark.parametrize(("model", "told"), [*mirrors.ALL, ("vgg5", {"reset": "soft"})])
def test_the_own_gradient_of_the_mirror_is_that_of_stbp(model, told):
    mirrors.assert_spikingjelly_is_stbp(model, told)


def test_the_own_gradient_at_the_weights_is_that_of_stbp():
    mirrors.assert_spikingjelly_trains_as_stbp()


def test_it_is_found():
    assert installed()["SpikingJelly"].startswith("2.")
