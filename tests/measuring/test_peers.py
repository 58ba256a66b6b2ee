"""The same network in other frameworks, which stand-ins stand for, and which of them there are."""

from __future__ import annotations

import sys

import pytest
import torch

from art_snn.measuring.peers import PEERS, installed, mirrored, peer_objection, without
from tests.measuring import mirrors


@pytest.fixture
def _both(monkeypatch: pytest.MonkeyPatch) -> None:
    mirrors.installed(monkeypatch, spikingjelly="2.0.0", snntorch="1.0.0")


@pytest.mark.usefixtures("_both")
@pytest.mark.parametrize(("peer", "model", "options"), mirrors.PAIRS)
def test_the_own_gradient_of_a_mirror_is_that_of_stbp(peer, model, options):
    mirrors.assert_own_gradient_is_stbp(peer, model, options)


@pytest.mark.usefixtures("_both")
def test_spikingjelly_s_own_gradient_at_the_weights_is_that_of_stbp():
    mirrors.assert_spikingjelly_trains_as_stbp()


@pytest.mark.usefixtures("_both")
def test_snntorch_fires_otherwise_under_a_soft_reset_and_is_left_out():
    mirrors.assert_snntorch_differs_under_a_soft_reset()
    soft, hard = mirrors.network("vgg5", reset="soft"), mirrors.network("vgg5")
    assert "reset by subtraction" in (peer_objection("snnTorch", soft) or "")
    assert peer_objection("snnTorch", hard) is None
    assert peer_objection("SpikingJelly", soft) is None


@pytest.mark.usefixtures("_both")
@pytest.mark.parametrize("name", PEERS)
def test_a_mirror_has_copies_of_the_weights_and_the_mode_of_the_network(name):
    net = mirrors.network("vgg5")
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    mirror = mirrored(name, net)
    assert {p.dtype for p in mirror.parameters()} == {torch.float64}
    assert not any(module.training for module in mirror.modules())
    assert all(module.training for module in mirrored(name, net.train()).modules())
    with torch.no_grad():
        for weight in mirror.parameters():
            weight.zero_()
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("versions", "names"),
    [
        ({}, ()),
        ({"spikingjelly": "2.0.0"}, ("SpikingJelly",)),
        ({"spikingjelly": "2.1.3.dev0", "snntorch": "1.2"}, ("SpikingJelly", "snnTorch")),
        ({"spikingjelly": "0.0.0.0.14", "snntorch": "0.9.4"}, ()),
        ({"spikingjelly": "3.0", "snntorch": "2.0"}, ("snnTorch",)),
        ({"spikingjelly": "unknown"}, ()),
    ],
)
def test_frameworks_of_supported_versions_are_recognised(versions, names, monkeypatch):
    mirrors.installed(monkeypatch, **versions)
    assert installed() == {name: versions[name.lower()] for name in names}


def test_frameworks_that_are_missing_are_named():
    assert without({"SpikingJelly": "2.0.0", "snnTorch": "1.0.0"}) is None
    assert without({"SpikingJelly": "2.0.0"}) == "snnTorch 1.0 or later was not found."
    words = "No other framework was found; looked for SpikingJelly 2.x and snnTorch 1.0 or later."
    assert without({}) == words


@pytest.mark.usefixtures("_both")
def test_a_framework_that_cannot_be_imported_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "snntorch", None)
    with pytest.raises(ValueError, match=r"^peers: expected .*imported.*snnTorch 1\.0\.0"):
        installed()
