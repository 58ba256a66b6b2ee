"""A network in a step of training: its forward passes in the precision of the recipe."""

from dataclasses import dataclass

import torch
from torch import Tensor

from art_snn.layers import device_of
from art_snn.network import SpikingNetwork, readout_dtype
from art_snn.precision import autocast
from art_snn.state import to_device


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Forward passes of a network with its training gradient, in the precision of a recipe.

    :param progress: share of the steps of the training up to the end of this one, in (0, 1]."""

    network: SpikingNetwork
    train_dtype: str | None = None
    progress: float = 1.0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return device_of(self.network)

    def __call__(self, x: Tensor) -> Tensor:
        """Samples [N, ...] on any device -> logits [N, K], of single precision at least."""
        with autocast(self.train_dtype, self.device):
            logits: Tensor = self.network(to_device(x, self.device))
        return logits.to(readout_dtype(logits))

    def at_input(self, x: Tensor) -> Tensor:
        """The same for samples that require a gradient: one graph of the training gradient alone.

        Samples and weights both take a gradient in it; the precision of attacks does not apply."""
        rule, network = self.network.training_gradient, self.network
        with network.using(rule), network.fixed(False), network.crafting(None):
            return self(x)
