"""What is trained on: samples and labels, checked, and whatever crafts adversarial ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import invalid, require
from art_snn.classifier.inputs import as_array, refuse_masked
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.seeding import seeded
from art_snn.training.defences import Defence

Craft = Callable[[Tensor, Tensor], Tensor]
"""Samples [N, ...] and class indices [N] to adversarial samples [N, ...]."""


class Adversary(Protocol):
    """Crafts the samples of every step, for its defence; its repr has all its settings."""

    @property
    def defence(self) -> Defence:
        """What a step does with the samples that were crafted."""
        ...

    def against(self, network: SpikingNetwork, shape: tuple[int, ...], classes: int) -> Craft:
        """What crafts against the network as it is at every call, and leaves its mode and rule."""
        ...


@dataclass(frozen=True)
class Validation:
    """Samples [N, ...] and class indices [N] that choose the best epoch: never the test set."""

    x: np.ndarray
    y: np.ndarray


def check_pairs(argument: str, x: np.ndarray, y: np.ndarray) -> None:
    """Refuse anything but numpy arrays of finite samples and as many class indices."""
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


def count_classes(
    network: SpikingNetwork, x: np.ndarray, y: np.ndarray, validation: Validation | None, seed: int
) -> int:
    """Number of classes of the network, from a pass of one sample; refuses what does not fit it."""
    with seeded(seed), torch.no_grad(), modes_kept(network):
        classes = network.eval()(copy_tensor(x[:1]).to(device_of(network))).shape[1]
    held = {} if validation is None else {"validation": validation.y}
    expected = f"labels from 0 to {classes - 1}, since the network has {classes} classes"
    for argument, labels in ({"x, y": y} | held).items():
        largest, remedy = labels.max(), "Build the network with more classes."
        require(largest < classes, argument, expected, largest, remedy)
    if validation is not None:
        shape, got = list(x.shape[1:]), list(validation.x.shape[1:])
        expected = f"samples of shape {shape}, as the training samples"
        require(got == shape, "validation", expected, got, "Bring all samples to one size.")
    return int(classes)


def copy_tensor(array: np.ndarray) -> Tensor:
    """A copy as a tensor in torch's usual layout; torch itself takes no negative strides."""
    return torch.tensor(as_array(array), device="cpu")
