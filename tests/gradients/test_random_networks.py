"""Networks drawn at random, under every rule: their logits and gradients against naive loops."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, Frames, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.gradients import BPTR, GRADIENTS, Conversion, objection
from tests import oracles
from tests.architectures import CLASSES, SHAPE, Residual, settled
from tests.conftest import varied
from tests.oracles import NaiveNeuron, clearance, naive, relative, result

NAIVE: Mapping[str, NaiveNeuron] = {
    "stbp": oracles.stbp_neuron,
    "rga": oracles.rga_neuron,
    "bptr": oracles.bptr_neuron,
    "static": oracles.static_neuron,
    "hart": oracles.hart_neuron,
    "pdsg": partial(oracles.pdsg_neuron, per_sample=False),
    "cba": oracles.ann_neuron,
    "relu": oracles.relu_neuron,
}
"""Rules that have a naive neuron; ASSG, which remembers, is held against its logits alone."""

Note = Callable[[object, str], None]
"""Takes every expectation: whether it holds, and what it is about."""


def drawn(seed: int) -> tuple[SpikingNetwork, torch.Tensor]:
    """A network of drawn layers, neurons and encoder, and a batch for it, in double precision."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    decay = draw.choice((1.0, 1.0, 0.9, 0.5, 0.1))
    threshold, reset = draw.choice((0.2, 0.5, 1.0, 3.0)), draw.choice(("hard", "soft"))
    neuron = partial(LIF, decay=decay, threshold=threshold, reset=reset)
    channels, side, layers = SHAPE[0], SHAPE[1], []
    for _ in range(draw.randint(0, 2)):
        wide = draw.randint(1, 5)
        layers += [_convolution(draw, channels, wide), neuron()]
        channels = wide
        if draw.random() < 0.3:
            layers.append(Residual(_convolution(draw, channels, channels), neuron()))
        if side > 1 and draw.random() < 0.5:
            pool = draw.choice((nn.AvgPool2d, nn.AvgPool2d, nn.MaxPool2d))
            layers.append(Timed(pool(2, ceil_mode=True)))
            side = (side + 1) // 2
    features, flatten = channels * side * side, [nn.Flatten()]
    for _ in range(draw.randint(0 if layers else 1, 2)):
        hidden = draw.randint(2, 12)
        norm = [nn.BatchNorm1d(hidden)] if draw.random() < 0.3 else []
        between = [nn.ReLU()] if draw.random() < 0.2 else []
        linear = nn.Linear(features, hidden, bias=draw.random() < 0.7)
        layers += [Timed(*flatten, linear, *norm, *between), neuron()]
        features, flatten = hidden, []
    layers.append(Timed(*flatten, nn.Linear(features, CLASSES)))
    steps = draw.randint(1, 7)
    encoder = draw.choice((Direct, Direct, Poisson, Frames))(steps)
    network = SpikingNetwork(layers, encoder, "bptr")
    samples = draw.randint(1, 4)
    shape = (samples, steps, *SHAPE) if isinstance(encoder, Frames) else (samples, *SHAPE)
    settled(network)
    return network, torch.rand(shape).double()


def _convolution(draw: random.Random, inputs: int, outputs: int) -> Timed:
    norm = [nn.BatchNorm2d(outputs)] if draw.random() < 0.7 else []
    return Timed(nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm), *norm)


def compared(seed: int, expect: Note) -> Iterator[str]:
    """One drawn network under every rule that applies to it; yields the rules.

    Where a potential lies within rounding of its threshold the two ways of adding up differ in a
    spike, so such networks are passed over."""
    network, x = drawn(seed)
    if clearance(network, x) < 1e-9:
        return
    for name, kind in GRADIENTS.items():
        rule = kind()
        if objection(rule, network.sites(), network.encoder):
            continue
        network.forget()
        network.gradient = rule
        where = f"network {seed} by {name}"
        torch.manual_seed(0)
        with torch.no_grad():
            plain = network(x)
        with network.using(rule):
            got = result(network, x)
            network.forget()
            again = result(network, x)
        expect(torch.equal(got.input, again.input), f"{where}: another gradient the second time")
        if rule.exact_logits:
            expect(torch.equal(got.logits, plain), f"{where}: other logits")
        if name in NAIVE:
            wanted = naive(network, x, NAIVE[name], averaged=isinstance(rule, Conversion))
            expect(_near(got.logits, wanted.logits), f"{where}: logits")
            expect(_near(got.input, wanted.input), f"{where}: gradient at the input")
            same = all(map(_near, got.weights, wanted.weights))
            expect(same, f"{where}: gradient at the weights")
        yield name


def _near(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    if not wanted.abs().max() > 0:
        return bool((got.double().abs() < 1e-9).all())
    return relative(got, wanted) < 1e-8


@pytest.mark.parametrize("start", range(0, 40, 10))
def test_drawn_networks_have_the_logits_and_gradients_of_naive_loops_under_every_rule(start):
    problems, rules = [], []
    for seed in range(varied(start), varied(start) + 10):
        rules += compared(seed, lambda holds, what: None if holds else problems.append(what))
    assert problems == []
    assert set(rules) >= set(NAIVE) - {"cba"}
    assert len(rules) >= 40


def test_a_gradient_of_another_rule_would_be_found_out(monkeypatch):
    problems = []
    monkeypatch.setattr(BPTR, "slope", lambda self, trace: trace.rate)
    for seed in range(5):
        list(compared(seed, lambda holds, what: None if holds else problems.append(what)))
    assert any("by bptr: gradient at the input" in problem for problem in problems)
    assert all("by bptr" in problem for problem in problems)
