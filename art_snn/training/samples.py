"""What is trained on: samples and labels, checked, and whatever crafts adversarial ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import invalid, require
from art_snn.classifier.inputs import as_array, refuse_masked
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.seeding import seeded
from art_snn.training.defences import Defence

Craft = Callable[[Tensor, Tensor], Tensor]
"""Samples [N, ...] and class indices [N] to adversarial samples [N, ...]."""


class Adversary(Protocol):
    """Crafts the samples of every step, for its defence; its repr tells all its settings."""

    @property
    def defence(self) -> Defence:
        """What a step does with the samples that were crafted."""
        ...

    def against(self, network: SpikingNetwork, shape: tuple[int, ...], classes: int) -> Craft:
        """What crafts against the network as it is at every call, on the network's device.

        It leaves the network in the mode and with the rule that it has."""
        ...


@dataclass(frozen=True)
class Validation:
    """Samples [N, ...] and class indices [N] that choose the best epoch: never the test set."""

    x: np.ndarray
    y: np.ndarray


def check_pairs(argument: str, x: np.ndarray, y: np.ndarray) -> None:
    """Refuse anything but samples and as many class indices.

    :raises TypeError: when one of them is no numpy array.
    :raises ValueError: for other lengths, none at all, no class indices, NaN, infinity, or masked
        values."""
    for array in (x, y):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{argument}: expected numpy arrays, got {type(array).__name__}.")
        refuse_masked(argument, array)
    if not x.ndim or not len(x) or y.shape[:1] != x.shape[:1]:
        expected = "as many labels as samples, and at least one"
        got = f"{len(x) if x.ndim else 0} samples and {len(y) if y.ndim else 0} labels"
        raise invalid(argument, expected, got, "Give one class index per sample.")
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        got = f"{y.dtype} of shape {list(y.shape)}, from {y.min():g}"
        remedy = "Turn one-hot rows into indices: y.argmax(1)."
        raise invalid(argument, "class indices [N] from 0 as labels", got, remedy)
    remedy = "Clean the data, for instance by numpy.nan_to_num."
    require(np.isfinite(x).all(), argument, "finite values", "NaN or infinity", remedy)


def classes_of(
    network: SpikingNetwork, x: np.ndarray, y: np.ndarray, validation: Validation | None, seed: int
) -> int:
    """Number of classes K that the network tells apart, by a look at one sample.

    :raises ValueError: when a label is K or above, or validation samples have another shape."""
    device = next(network.parameters()).device
    with seeded(seed), torch.no_grad(), modes_kept(network):
        classes = network.eval()(copied(x[:1]).to(device)).shape[1]
    held = {} if validation is None else {"validation": validation.y}
    for argument, labels in ({"x, y": y} | held).items():
        if labels.max() >= classes:
            expected = f"labels from 0 to {classes - 1}, since the network has {classes} classes"
            remedy = "Build the network with more classes."
            raise invalid(argument, expected, str(labels.max()), remedy)
    if validation is not None and validation.x.shape[1:] != x.shape[1:]:
        expected = f"samples of shape {list(x.shape[1:])}, as those that are trained on"
        got = str(list(validation.x.shape[1:]))
        raise invalid("validation", expected, got, "Bring all samples to one size.")
    return int(classes)


def copied(array: np.ndarray) -> Tensor:
    """A tensor of its own in torch's usual layout; torch itself takes no negative strides."""
    return torch.tensor(as_array(array), device="cpu")
