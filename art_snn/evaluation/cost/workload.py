"""The load of one input gradient: network, batch, and the rows that are measured.

The rows are those of table S2 of Bu et al. (CVPR 2023), for one gradient: plain inference, the
gradient by RGA and by STBP through PyTorchSpikingClassifier, and through ART's stock
PyTorchClassifier around the same network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn

from art_snn.checks import invalid, require_count
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.encoders import Frames
from art_snn.evaluation.cost.machine import require_device, require_threads
from art_snn.gradients import resolve
from art_snn.models import MODELS
from art_snn.network import SpikingNetwork


@dataclass(frozen=True)
class Workload:
    """The network and batch to measure on.

    :param model: a name of art_snn.models.MODELS.
    :param steps: time steps T.
    :param batch: samples per gradient.
    :param image_size: side of the square input.
    :param channels: input channels.
    :param decay: decay of the neurons.
    :param device: "cpu" or "cuda".
    :param threads: threads of torch on the CPU; None leaves torch's choice.
    :param rules: names of GRADIENTS whose cost is measured.
    :param keep_memory: keep freed memory in the measuring processes, for time and peak alike
        (:func:`art_snn.evaluation.memory.keep_freed_memory`).
    :raises ValueError: for an unknown model, a count below 1, or CUDA where there is none.
    """

    model: str = "vgg11"
    steps: int = 8
    batch: int = 32
    image_size: int = 32
    channels: int = 3
    decay: float = 0.5
    device: str = "cpu"
    threads: int | None = None
    rules: tuple[str, ...] = ("rga", "stbp")
    keep_memory: bool = False

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise invalid(
                "model",
                expected=f"one of {', '.join(MODELS)}",
                got=repr(self.model),
                remedy="Other networks can be timed with art_snn.evaluation.cost.medians.",
            )
        for name in ("steps", "batch", "image_size", "channels"):
            require_count(name, getattr(self, name), remedy="The paper uses T = 8 and batch 32.")
        require_threads(self.threads)
        for rule in self.rules:
            resolve(rule, "rules")
        require_device(self.device)

    def rows(self) -> dict[str, str]:
        """What is measured, and in which words."""
        return {
            "inference": "inference, no gradient",
            **{rule: f"gradient by {rule.upper()}" for rule in self.rules},
            "stock rga": "ART's stock classifier, RGA",
            "stock stbp": "ART's stock classifier, STBP",
        }

    def network(self) -> SpikingNetwork:
        """The network, in evaluation mode."""
        torch.manual_seed(0)
        network = MODELS[self.model](
            steps=self.steps,
            image_size=self.image_size,
            in_channels=self.channels,
            decay=self.decay,
        )
        return network.to(self.device).eval()

    def samples(self, network: SpikingNetwork) -> tuple[np.ndarray, np.ndarray]:
        """Uniform random images (batch, C, H, W) and one-hot labels (batch, 10).

        For a network of event frames they are random frames (batch, T, C, H, W).
        """
        generator = np.random.default_rng(0)
        frames = (self.steps,) if isinstance(network.encoder, Frames) else ()
        shape = (self.batch, *frames, self.channels, self.image_size, self.image_size)
        labels = np.eye(10, dtype=np.float32)[generator.integers(0, 10, self.batch)]
        return generator.random(shape, dtype=np.float32), labels

    def of(self, samples: int) -> Workload:
        """The same workload with that many samples at most."""
        return replace(self, batch=min(samples, self.batch))

    def operation(self, row: str, network: SpikingNetwork) -> Callable[[], object]:
        """The call that a row measures, with samples and classifier made beforehand.

        :param row: a key of :meth:`rows`.
        """
        x, y = self.samples(network)
        kind = PyTorchClassifier if row.startswith("stock") else PyTorchSpikingClassifier
        classifier = kind(
            network,
            nn.CrossEntropyLoss(),
            input_shape=x.shape[1:],
            nb_classes=10,
            device_type="cpu" if self.device == "cpu" else "gpu",
        )
        if row == "inference":
            return lambda: classifier.predict(x, batch_size=len(x))

        def gradient() -> object:
            with network.using(row.split()[-1]):
                return classifier.loss_gradient(x, y)

        return gradient
