"""Nothing around the layers goes unseen: who speaks of them alone refuses what something alters."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Direct, Poisson, SpikingNetwork, TimeDistributed as Timed, hooks
from art_snn.attacks import OperationsAttack
from art_snn.bounds import bound_operations, certify_bounds, decide_bounds
from art_snn.metrics import certify, synaptic_operations
from tests.bounds.altered import ALTERATIONS, altered, attempt, is_wrong
from tests.bounds.random_networks import CLASSES, around
from tests.seeds import varied

EPS = 0.3


def network(encoder: object, *further: nn.Module) -> SpikingNetwork:
    torch.manual_seed(varied())
    layers = [Timed(nn.Linear(6, 8)), LIF(), *further, Timed(nn.Linear(8, CLASSES))]
    return SpikingNetwork([nn.Sequential(*layers[:2]), *layers[2:]], encoder).eval()


def samples() -> tuple[np.ndarray, np.ndarray]:
    x = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)).numpy()
    return x, np.zeros(4, dtype=np.int64)


def _raise_count(classifier, x, y):
    return OperationsAttack(classifier, eps=EPS, max_iter=2, verbose=False).generate(x)


ASKING: dict[str, tuple[object, Callable[..., object]]] = {
    "trains": (Direct(3), lambda c, x, y: certify_bounds(c, x, y, EPS, method="trains")),
    "exact": (Direct(3), lambda c, x, y: decide_bounds(c, x, y, EPS, nodes=1)),
    "operations": (Direct(3), lambda c, x, y: synaptic_operations(c, x)),
    "bound of operations": (Direct(3), lambda c, x, y: bound_operations(c, x, EPS)),
    "attack on operations": (Direct(3), _raise_count),
    "draws": (Poisson(3), lambda c, x, y: certify(c, x, y, selection=4, draws=8)),
}
"""Functions that speak of encoder, layers and mean alone, and an encoder that they take."""


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("name", [name for name in ALTERATIONS if name != "none"])
def test_whoever_speaks_of_the_layers_alone_refuses_what_alters_a_call(name, asking):
    encoder, function = ASKING[asking]
    made = network(encoder)
    with altered(made, name, random.Random(varied())) as words:
        classifier = around(made, (6,))
        own_layer = name == "subclass" and "SpikingNetwork" not in words
        # Votes need no layers that are known.
        if asking == "draws" and (own_layer or name == "parametrization"):
            function(classifier, *samples())
            return
        with pytest.raises(ValueError, match=r"^(classifier|estimator): expected"):
            function(classifier, *samples())


@pytest.mark.parametrize("asking", ASKING)
def test_whoever_speaks_of_the_layers_alone_takes_a_network_of_them(asking):
    encoder, function = ASKING[asking]
    made = network(encoder)
    made.__class__ = type("Mine", (SpikingNetwork,), {"title": "a class with no method of a pass"})
    if asking in ("trains", "exact"):
        made.__class__ = SpikingNetwork
    function(around(made, (6,)), *samples())


@pytest.mark.parametrize("name", ALTERATIONS)
def test_no_method_certifies_what_a_corner_or_an_attack_breaks(name):
    fates = attempt(varied(), name)
    assert not [method for method in fates if method != "altered" and is_wrong(fates, method)]


UNLISTED = [
    *((asking, name) for asking in ("trains", "exact") for name in ("pre-hook", "forward", "run")),
    *(("draws", name) for name in ("encode", "skip")),
]


@pytest.mark.parametrize(("asking", "name"), UNLISTED)
def test_points_tell_what_no_list_names(monkeypatch, asking, name):
    monkeypatch.setattr(hooks, "find_addition", lambda network: None)
    encoder, function = ASKING[asking]
    made = network(encoder)
    with altered(made, name, random.Random(varied())):
        classifier = around(made, (6,))
        x, _ = samples()
        with pytest.raises(ValueError, match=r"^(classifier|estimator): expected"):
            function(classifier, x, classifier.predict(x).argmax(1))


class Stash(Poisson):
    """Draws spikes, and keeps the input for a layer that reads it."""

    kept: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        Stash.kept = x
        return super().__call__(x)

    def certified(self, probability):
        return super().certified(probability)


class Reading(nn.Module):
    """Spikes, and some of the input that did not go through the encoder."""

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes + Stash.kept[:, :1]


class Mixing(nn.Module):
    """Spikes less their mean over a batch."""

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes - spikes.mean(1, keepdim=True)


READING = {"read the input": (Stash(3), Reading()), "other samples": (Poisson(3), Mixing())}


@pytest.mark.parametrize("words", READING)
def test_votes_over_more_than_the_draws_of_a_sample_are_refused(words):
    encoder, layer = READING[words]
    with pytest.raises(ValueError, match=rf"^estimator: .*{words}"):
        certify(around(network(encoder, layer), (6,)), *samples(), selection=4, draws=8)
