"""Our networks in other frameworks themselves, as cost --peers measures them."""

from __future__ import annotations

import pytest
from art_snn.measuring.peers import PEERS, installed

from tests.frameworks.loading import load
from tests.measuring import mirrors

VERSIONS = {"SpikingJelly": "2.", "snnTorch": "1."}


def needs(peer: str) -> None:
    load(peer.lower(), VERSIONS[peer], *PEERS[peer].modules)


@pytest.mark.parametrize(("peer", "model", "settings"), mirrors.PAIRS)
def test_the_own_gradient_of_a_framework_is_that_of_stbp(peer, model, settings):
    needs(peer)
    mirrors.assert_own_gradient_is_stbp(peer, model, settings)


def test_the_own_gradient_of_spikingjelly_at_the_weights_is_that_of_stbp():
    needs("SpikingJelly")
    mirrors.assert_spikingjelly_trains_as_stbp()


def test_snntorch_fires_otherwise_under_a_soft_reset():
    needs("snnTorch")
    mirrors.assert_snntorch_differs_under_a_soft_reset()


@pytest.mark.parametrize("peer", VERSIONS)
def test_it_is_found(peer):
    needs(peer)
    assert installed()[peer].startswith(VERSIONS[peer])
