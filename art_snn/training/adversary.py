"""What training asks of an adversary."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from art_snn.network import SpikingNetwork

Craft = Callable[[Tensor, Tensor], Tensor]
"""Samples [N, ...] and class indices [N] to adversarial samples [N, ...]."""


class Adversary(Protocol):
    """Crafts the samples of every step; its repr tells all its settings."""

    def against(self, network: SpikingNetwork, shape: tuple[int, ...], classes: int) -> Craft:
        """What crafts against the network as it is at every call, on the network's device.

        :param network: the network in training; left in the mode and with the rule it has.
        :param shape: of one sample.
        :param classes: number of classes K.
        """
        ...
