"""Adversarial training through ART: an attack of ART crafts, by any rule; STBP trains."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.checks import require_number
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.evaluation.attacks import Attack
from art_snn.gradients import RGA, Gradient
from art_snn.network import SpikingNetwork
from art_snn.training import Craft


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining:
    """Adversarial training (Madry et al., ICLR 2018), for :func:`art_snn.training.train`.

    Every step trains on adversarial samples that the attack crafts from the samples of the step and
    the network as it is, in evaluation mode, on the true labels; validation is under the same
    attack. That is the algorithm of ART's AdversarialTrainer; running it here gives it the
    augmentation, the schedule and the resumption of plain training. ART's other trainers (TRADES,
    AWP, ...) run on :class:`~art_snn.PyTorchSpikingClassifier` directly.

    :param attack: in the maximum norm.
    :param rule: gradient that the attack uses; weights are trained by the training gradient.
    :param share: share of the samples of every step that are attacked, in (0, 1].
    :param value_range: lowest and highest value of a sample, ART's clip_values.
    :raises ValueError: when the share lies outside its range.
    """

    attack: Attack = field(default_factory=Attack)
    rule: Gradient = field(default_factory=RGA)
    share: float = 1.0
    value_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        share = require_number(
            "share", self.share, above=0, up_to=1, remedy="1 trains on adversarial samples only."
        )
        object.__setattr__(self, "share", share)

    def words(self) -> str:
        """Attack and rule."""
        return f"{self.attack} by {self.rule!r}"

    def against(self, network: SpikingNetwork, shape: tuple[int, ...], classes: int) -> Craft:
        """What crafts against the network as it is at every call.

        :param network: left in the mode, with the rule and on the device it has.
        :param shape: of one sample.
        :param classes: number of classes K.
        """
        device = next(network.parameters()).device
        training = network.training
        classifier = PyTorchSpikingClassifier(
            network,
            nn.CrossEntropyLoss(),
            input_shape=shape,
            nb_classes=classes,
            clip_values=self.value_range,
            device_type="cpu" if device.type == "cpu" else "gpu",
        )
        network.train(training)

        def craft(x: Tensor, y: Tensor) -> Tensor:
            samples = x.cpu().numpy().copy()
            chosen = np.arange(len(samples))
            if self.share < 1:
                count = int(np.ceil(self.share * len(samples)))
                chosen = np.random.choice(chosen, count, replace=False)  # noqa: NPY002
            network.forget()
            with network.using(self.rule):
                samples[chosen] = self.attack.craft(classifier, samples[chosen], y.numpy()[chosen])
            network.forget()
            return torch.as_tensor(samples)

        return craft
