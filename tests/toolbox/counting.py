"""Classifiers that count the backward passes of both of their rules, in their copies, too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_snn import (
    LIF,
    RGA,
    STBP,
    Direct,
    PyTorchSpikingClassifier,
    SpikingNetwork,
    TimeDistributed as Timed,
)
from tests.conftest import seed_everything
from tests.networks import STEPS, Counted, Tally, build
from tests.toolbox.rules import NAMES


class Shared(Tally):
    """A tally that copies of a rule go on with, since defences train copies of a classifier."""

    def __deepcopy__(self, memo: Any) -> Shared:
        return self


def rules() -> dict[str, Any]:
    """Both rules of a network, counting."""
    return {"gradient": Counted(RGA(), Shared()), "training_gradient": Counted(STBP(), Shared())}


def counting(layers: nn.Module, form: str = "grey", **options: Any) -> PyTorchSpikingClassifier:
    """A classifier of digits around the layers."""
    return build(layers, form, **rules(), **options)


def small(
    shape: tuple[int, ...], classes: int, hidden: int = 16, lr: float = 0.01, **options: Any
) -> PyTorchSpikingClassifier:
    """An untrained classifier with one hidden layer around a network of inputs of that shape."""
    layers = [
        Timed(nn.Flatten(), nn.Linear(math.prod(shape), hidden)),
        LIF(),
        Timed(nn.Linear(hidden, classes)),
    ]
    network = SpikingNetwork(layers, Direct(STEPS), **rules(), input_shape=shape)
    options = {"input_shape": shape, "clip_values": (0.0, 1.0), "device_type": "cpu"} | options
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        nb_classes=classes,
        optimizer=torch.optim.Adam(network.parameters(), lr=lr),
        **options,
    )


def assert_differentiated_by(rule: str, classifier: PyTorchSpikingClassifier) -> None:
    """That the attack gradient, the training gradient, both or none went backward so far."""
    network: Any = classifier.model
    tallies = (network.gradient.tally, network.training_gradient.tally)
    attack, training = (tally.backwards > 0 for tally in tallies)
    assert NAMES[attack, training] == rule


def seeded(run: Any, *given: Any) -> Any:
    """What a call returns that draws from numpy or torch, the same ones every time."""
    seed_everything()
    return run(*given)


def fitted_on(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The samples and labels that one epoch of `fit` trains on, in the order of their values."""
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    hooks = (
        classifier.model.register_forward_pre_hook(lambda _, given: inputs.append(given[0])),
        classifier._loss.register_forward_pre_hook(lambda _, given: targets.append(given[1])),
    )
    try:
        classifier.fit(x, y, batch_size=8, nb_epochs=1)
    finally:
        for hook in hooks:
            hook.remove()
    samples, labels = torch.cat(inputs).numpy(), torch.cat(targets).numpy()
    order = np.lexsort(samples.reshape(len(samples), -1).T)
    return samples[order], labels[order]
