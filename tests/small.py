"""A tiny classifier for the evaluations, its samples, and an attack written by hand."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from art_snn import LIF, Direct, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed as Timed
from tests.conftest import varied

SHAPE = (1, 8, 8)
CLASSES = 4
STEPS = 4


def classifier(*, seed=0, encoder=None, hidden=24, **neuron):
    """Two linear layers around one layer of neurons, with weights from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(varied(seed))
        layers = [
            Timed(nn.Flatten(), nn.Linear(64, hidden)),
            LIF(**neuron),
            Timed(nn.Linear(hidden, CLASSES)),
        ]
        # In double precision no batch size and no processor rounds a potential over its threshold.
        network = SpikingNetwork(layers, encoder or Direct(STEPS), input_shape=SHAPE).double()
        with torch.no_grad():
            layers[0].module[1].weight.mul_(3)
            # No class wins everywhere, so that a small step can flip a sample; and ART does not
            # take the logits for probabilities, as where they are positive with the sum 1.
            layers[2].module[0].bias.sub_(network(torch.rand(64, *SHAPE)).mean(0) + 1)
    return around(network)


def around(network: SpikingNetwork, lr: float = 0.0) -> PyTorchSpikingClassifier:
    """The network as ART sees it, with Adam of a learning rate for trainers of ART."""
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=SHAPE,
        nb_classes=CLASSES,
        clip_values=(0.0, 1.0),
        optimizer=torch.optim.Adam(network.parameters(), lr=lr) if lr else None,
        device_type="cpu",
    )


def samples(wrapped, count=10, wrong=2):
    """Random images with the labels that the network gives them, the first `wrong` ones others."""
    x = np.random.default_rng(varied()).random((count, *SHAPE), dtype=np.float32)
    y = wrapped.predict(x).argmax(1)
    y[:wrong] = (y[:wrong] + 1) % CLASSES
    return x, y


def pgd_by_hand(network, rule, eps, step, iterations, x, y):
    """PGD in the maximum norm from the samples themselves, by torch alone."""
    clean, labels = torch.as_tensor(x), torch.as_tensor(y)
    moved = clean.clone()
    for _ in range(iterations):
        leaf = moved.clone().requires_grad_(True)
        with network.using(rule):
            loss = nn.functional.cross_entropy(network(leaf), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        moved = (moved + step * gradient.sign()).clamp(0, 1)
        moved = clean + (moved - clean).clamp(-eps, eps)
    return moved.numpy()


@contextmanager
def untouched(wrapped: PyTorchSpikingClassifier) -> Iterator[None]:
    """Whatever the block raises, it leaves rule, network and random states as they are."""
    rule, numpy, state = wrapped.gradient, np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        after = np.random.get_state()  # noqa: NPY002
        assert str(numpy) == str(after)
        assert np.array_equal(numpy[1], after[1])
        assert torch.equal(state, torch.get_rng_state())
        assert wrapped.gradient is rule
        assert wrapped.model.body.context.rule is None
        assert wrapped.model.body.memory == {}
        assert not wrapped.model.training
