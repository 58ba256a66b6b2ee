"""RAT: the step towards orthogonal weights, where it converges, and what it refuses."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.training import RAT, AdversarialTraining, Recipe, train
from tests.classifiers import classifier, samples
from tests.seeds import varied

FGSM: dict[str, Any] = {"attack": "fgsm", "eps": 0.1}
SETTINGS = Recipe.short(epochs=1, batch_size=8, learning_rate=0.01)


def network() -> SpikingNetwork:
    """A wide convolution, a tall one, and two linear layers."""
    torch.manual_seed(varied())
    layers = [
        Timed(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)),
        LIF(),
        Timed(nn.Conv2d(3, 16, 1), nn.Flatten(), nn.Linear(64, 5)),
        LIF(),
        Timed(nn.Linear(5, 4)),
    ]
    return SpikingNetwork(layers, Direct(2)).double()


def stepped(weight: torch.Tensor, b: float) -> np.ndarray:
    rows = weight.detach().numpy().reshape(len(weight), -1)
    return ((1 + b) * rows - b * rows @ rows.T @ rows).reshape(weight.shape)


def of_norm(net: SpikingNetwork, norm: float) -> nn.Parameter:
    """Its last weight, scaled to a spectral norm."""
    weight = net.layers[4].module[0].weight
    with torch.no_grad():
        weight.mul_(norm / torch.linalg.matrix_norm(weight, 2))
    return weight


def test_it_steps_every_weight_of_a_layer_and_nothing_else():
    net = network()
    before = copy.deepcopy(net.state_dict())
    RAT(orthogonality=0.1).after_step(net)
    changed = [name for name, tensor in net.state_dict().items() if not before[name].equal(tensor)]
    names = "0.module.0", "2.module.0", "2.module.2", "4.module.0"
    assert changed == [f"layers.{name}.weight" for name in names]
    for name in changed:
        expected = stepped(before[name], 0.1)
        np.testing.assert_allclose(net.state_dict()[name], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)])
def test_orthonormal_rows_or_columns_are_where_it_comes_to_rest(shape):
    net = classifier().model
    layer = nn.Linear(*shape[::-1]).double()
    net.layers[2] = Timed(layer)
    nn.init.orthogonal_(layer.weight)
    before = layer.weight.detach().clone()
    RAT().after_step(net)
    torch.testing.assert_close(layer.weight, before, rtol=0, atol=1e-15)
    with torch.no_grad():
        layer.weight.mul_(1.7)
    for _ in range(200):
        RAT(orthogonality=0.1).after_step(net)
    torch.testing.assert_close(layer.weight, before, rtol=0, atol=1e-10)


def test_it_follows_every_step_of_the_optimizer():
    given = classifier()
    x, y = samples(given, 16)
    nets = [copy.deepcopy(given.model) for _ in range(2)]
    defences = RAT(orthogonality=0.05), RAT(orthogonality=1e-12)
    settings = replace(SETTINGS, batch_size=16)
    for net, defence in zip(nets, defences, strict=True):
        train(net, x, y, settings, adversary=AdversarialTraining(**FGSM, defence=defence))
    for ours, bare in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        expected = stepped(bare, 0.05) if bare.ndim > 1 else bare.detach()
        np.testing.assert_allclose(ours.detach(), expected, rtol=1e-9, atol=1e-11)


def test_a_weight_is_stepped_once_where_two_layers_share_it_and_not_where_it_is_frozen():
    net = network()
    shared, frozen = nn.Linear(5, 5).double(), net.layers[2].module[0]
    twin = nn.Linear(5, 5).double()
    twin.weight = shared.weight
    net.layers[4] = Timed(shared, twin, nn.Linear(5, 4).double())
    frozen.weight.requires_grad_(False)
    before, kept = shared.weight.detach().clone(), frozen.weight.clone()
    RAT(orthogonality=0.1).after_step(net)
    np.testing.assert_allclose(shared.weight.detach(), stepped(before, 0.1), rtol=1e-12)
    assert torch.equal(frozen.weight, kept)


@pytest.mark.parametrize("b", [4e-3, 0.3])
def test_below_its_limit_a_weight_shrinks_and_beyond_it_would_grow(b):
    net, defence = network(), RAT(orthogonality=b)
    weight = of_norm(net, 0.999 * defence.limit)
    defence.check(net)
    defence.after_step(net)
    assert torch.linalg.matrix_norm(weight, 2) < 0.999 * defence.limit
    weight = of_norm(net, 1.001 * defence.limit)
    before = weight.detach().clone()
    norm, limit = f"{1.001 * defence.limit:.3g}", f"{defence.limit:.3g}"
    message = rf"^orthogonality: .*{norm}.* got {b:g}.*{limit}"
    for refusing in (defence.check, defence.after_step):
        with pytest.raises(ValueError, match=message):
            refusing(net)
    assert torch.equal(weight, before)
    assert np.linalg.norm(stepped(before, b), 2) > 1.001 * defence.limit


def test_a_weight_that_training_would_drive_out_of_range_is_refused_before_anything_changes():
    given = classifier()
    net = given.model
    with torch.no_grad():
        net.layers[2].module[0].weight.mul_(1e3)
    before = copy.deepcopy(net.state_dict())
    adversary = AdversarialTraining(**FGSM, defence=RAT())
    with pytest.raises(ValueError, match=r"^orthogonality: .*layers\.2"):
        train(net, *samples(given, 8), SETTINGS, adversary=adversary)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_weights_that_are_computed_from_others_and_a_network_without_any_are_refused():
    net = network()
    parametrizations.weight_norm(net.layers[4].module[0])
    with pytest.raises(ValueError, match=r"^network: .*parameters.*layers\.4"):
        RAT().check(net)
    with pytest.raises(ValueError, match=r"^network: .*weights .* got none"):
        RAT().check(network().requires_grad_(False))


@pytest.mark.parametrize("recipe", [Recipe(), Recipe().fit_to((3, 32, 32)), Recipe(weight_decay=0)])
def test_a_recipe_that_leaves_the_weight_decay_open_has_none(recipe):
    assert Recipe().weight_decay == 5e-4
    assert RAT().fit_recipe(recipe) == replace(recipe, weight_decay=0)
    assert RAT().fit_recipe(RAT().fit_recipe(recipe)).weight_decay == 0


@pytest.mark.parametrize("decay", [5e-4, 1e-3])
def test_a_weight_decay_that_is_asked_for_is_refused(decay):
    message = rf"^weight_decay: .*{decay}"
    for recipe in (Recipe(weight_decay=decay), Recipe(weight_decay=decay).fit_to((3, 32, 32))):
        with pytest.raises(ValueError, match=message):
            RAT().fit_recipe(recipe)
    given = classifier()
    adversary = AdversarialTraining(**FGSM, defence=RAT())
    settings = replace(SETTINGS, weight_decay=decay)
    with pytest.raises(ValueError, match=message):
        train(given.model, *samples(given, 8), settings, adversary=adversary)
