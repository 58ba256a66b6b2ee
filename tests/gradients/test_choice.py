"""One rule is taken where nobody has named one: by `adapt`, by training, and in `inspect`."""

import numpy as np
import pytest
import torch

from art_snn import LIF, RGA, STBP, Direct, Native, SpikingNetwork, TimeDistributed
from art_snn.app.inspect import _inspect_network
from art_snn.classifier import wrap
from art_snn.gradients import choose_rule, parse_rules, short_name
from art_snn.gradients.names import ORDER
from art_snn.training import AdversarialTraining
from tests.interop import adapted


def silent(scale: float, **options) -> tuple[SpikingNetwork, np.ndarray, np.ndarray]:
    """A network whose neurons stay far from their threshold where its weights are small."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(9, 16), LIF(), torch.nn.Linear(16, 3)]
    with torch.no_grad():
        layers[0].weight.mul_(scale)
        layers[0].bias.fill_(-1.0 if scale < 1 else 0.0)
    layers = [one if isinstance(one, LIF) else TimeDistributed(one) for one in layers]
    network = SpikingNetwork(layers, Direct(4), **options)
    x = np.random.default_rng(0).random((8, 9), dtype=np.float32)
    with torch.no_grad():
        return network, x, network(torch.tensor(x)).argmax(1).numpy()


def test_without_samples_the_equations_decide():
    network = silent(1)[0]
    assert network.gradient == choose_rule(network) == STBP()
    assert wrap(network, (9,), 3, (0, 1), "cpu").gradient == STBP()
    assert adapted.network().gradient == STBP()
    assert adapted.network("compiled").gradient == Native()


@pytest.mark.parametrize("scale", [1, 1e-3])
def test_the_rule_of_training_is_that_which_inspect_names(scale):
    network, x, y = silent(scale)
    rule = AdversarialTraining().fit_to(network, x, y).rule
    assert (rule == STBP()) == (scale == 1)
    text = _inspect_network(network, x, y, parse_rules(",".join(ORDER))).render()
    assert f"Attack with {short_name(rule)}, whose gradient is zero for" in " ".join(text.split())
    assert network.gradient == STBP()


def test_a_rule_that_was_given_stays():
    network, x, y = silent(1e-3, gradient="rga")
    assert AdversarialTraining().fit_to(network, x, y).rule == RGA()
    assert AdversarialTraining(rule="hart").fit_to(network, x, y).rule != RGA()
