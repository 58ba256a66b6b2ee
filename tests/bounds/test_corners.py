"""Bounds hold for the network as it is called; what boxes do not follow is refused."""

import numpy as np
import pytest
import torch
from torch import Tensor

from art_snn import LIF, Direct, SpikingNetwork
from art_snn.bounds import METHODS, Bounding, certify_bounds
from art_snn.bounds.box import Ends
from tests.bounds.forms import FORMS, insert
from tests.bounds.random_networks import CLASSES, LIMITS, Drawn, around, check, stack
from tests.classifiers import untouched
from tests.conftest import varied

CALLED = [form for form in FORMS if form.startswith("called")]
REFUSED = "^classifier: expected a network of layers whose outputs can be bounded, got .*"
EPS = 0.03


def network(encoder=None) -> SpikingNetwork:
    torch.manual_seed(varied(5))
    return stack((6, 12, 12, CLASSES), LIF, encoder or Direct(4))


def certify(made: SpikingNetwork, samples: int = 12, **options):
    x = np.random.default_rng(varied()).random((samples, 6), dtype=np.float32)
    wrapped = around(made, (6,))
    return certify_bounds(wrapped, x, wrapped.predict(x).argmax(1), EPS, **options)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in CALLED])
def test_networks_that_hide_draw_or_mix_values_are_refused_by_name(form):
    for place in (1, 3):
        for options in ({}, {"batch_size": 1, "method": "s-ibp"}, {"norm": 2}):
            made = insert(network(), form, place)
            with pytest.raises(ValueError, match=rf"{REFUSED}layers\.({place}|{place + 1}) "):
                certify(made, **options)


@pytest.mark.parametrize("form", CALLED)
def test_bounds_hold_for_a_network_as_it_is_called(form):
    made = insert(network(), form, 0)
    x = torch.rand(24, 6)
    certified = [check(Drawn(made, x, EPS, norm, form), 60, ("stbp",)) for norm in (np.inf, 2)]
    assert 0.05 < torch.cat(certified).float().mean() < 1


def test_an_encoder_that_draws_is_refused():
    made = network(lambda x: (x + torch.rand(()) / 8).expand(4, *x.shape))
    with pytest.raises(ValueError, match=f"{REFUSED}the network, with rand, which draws at random"):
        certify(made)


class Certain(METHODS["s-ibp"]):
    """Spikes that may be are said to be sure."""

    def write(self, dynamics, low: Tensor, high: Tensor, out: Ends) -> None:
        super().write(dynamics, low, high, out)
        out[0].copy_(out[1])


def test_bounds_that_a_corner_leaves_are_refused():
    x, y = torch.rand(12, 6), torch.zeros(12, dtype=torch.long)
    with pytest.raises(ValueError, match=f"{REFUSED}currents of layers.3 outside .* at a corner"):
        Bounding(network(), Certain(), 0.2, limits=LIMITS).margin(x, y)


def test_the_check_takes_a_third_of_an_inference_and_leaves_no_trace():
    made, rows = network(), []
    made.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    wrapped = around(made, (6,))
    with untouched(wrapped):
        certify(made, 64, batch_size=32)
    # Two batches after a prediction: corners, and the box.
    assert sum(rows) - 3 * 64 <= 64 / 3
