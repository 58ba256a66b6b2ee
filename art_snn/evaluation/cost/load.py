"""One network of the cost protocol under attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.evaluation.cost.table_s2 import INFERENCE, TableS2
from art_snn.network import SpikingNetwork


@dataclass(frozen=True)
class Load:
    """One network of the protocol under attack: what is measured in one go.

    :param protocol: the protocol.
    :param model: one of its models.
    :param steps: one of its numbers of time steps T.
    :param x: images (N, C, H, W).
    :param y: one-hot labels (N, K).
    """

    protocol: TableS2
    model: str
    steps: int
    x: np.ndarray
    y: np.ndarray

    @property
    def device(self) -> str:
        """As in the protocol."""
        return self.protocol.device

    @property
    def threads(self) -> int | None:
        """As in the protocol."""
        return self.protocol.threads

    @property
    def keep_memory(self) -> bool:
        """As in the protocol."""
        return self.protocol.keep_memory

    def network(self) -> SpikingNetwork:
        """The network with weights from seed 0, on the device."""
        torch.manual_seed(0)
        return self.protocol.network(self.model, self.steps).to(self.device)

    def of(self, samples: int) -> Load:
        """The same load with the first of its samples, that many at most."""
        return replace(self, x=self.x[:samples], y=self.y[:samples])

    def operation(self, row: str, network: SpikingNetwork) -> Callable[[], object]:
        """Inference over the images, or ART's attack on them by the rule that the row names."""
        batch = self.protocol.batch
        classifier = PyTorchSpikingClassifier(
            network,
            nn.CrossEntropyLoss(),
            input_shape=self.x.shape[1:],
            nb_classes=self.protocol.classes,
            clip_values=(0.0, 1.0),
            device_type="cpu" if self.device == "cpu" else "gpu",
        )
        if row == INFERENCE:
            return lambda: classifier.predict(self.x, batch_size=batch)
        method = self.protocol.attack.method(classifier, batch)

        def attack() -> object:
            network.forget()
            with network.using(row):
                return method.generate(self.x, self.y)

        return attack
