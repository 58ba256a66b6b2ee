"""A network in a step of training: its forward passes in the precision of the recipe."""

from dataclasses import dataclass

import torch
from torch import Tensor

from art_snn.network import SpikingNetwork, readout_dtype
from art_snn.precision import mixed


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Forward passes of a network that is trained, in the mode that it has.

    :param network: by its training gradient.
    :param train_dtype: precision of the layers' arithmetic, see
        :class:`art_snn.training.Recipe`."""

    network: SpikingNetwork
    train_dtype: str | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def __call__(self, x: Tensor) -> Tensor:
        """Samples [N, ...] on any device -> logits [N, K], of single precision at least."""
        with mixed(self.train_dtype, self.device):
            logits: Tensor = self.network(x.to(self.device))
        return logits.to(readout_dtype(logits))

    def at_input(self, x: Tensor) -> Tensor:
        """The same for samples that require a gradient: one graph by the training gradient alone.

        Both the samples and the weights take a gradient in it, and no precision of attacks
        holds."""
        rule, network = self.network.training_gradient, self.network
        with network.using(rule), network.fixed(False), network.crafting(None):
            return self(x)
