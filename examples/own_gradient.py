"""Write your own gradient rules: a temporal one and a rate one, each in a few lines."""

import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.gradients import NeuronRef, RateGradient, TemporalGradient, Trace
from art_snn.models import vgg5


@dataclass(frozen=True, kw_only=True)
class Exponential(TemporalGradient):
    """Back-propagation through time with the slope exp(-sharpness |u - threshold|)."""

    sharpness: float = 2.0
    elementwise = True

    def slope(self, distance: Tensor, site: NeuronRef) -> Tensor:
        return torch.exp(-self.sharpness * distance.abs())


@dataclass(frozen=True, kw_only=True)
class Bernoulli(RateGradient):
    """A rate rule whose slope is the variance of a spike, rate (1 - rate), over the threshold."""

    floor: float = 0.05

    def slope(self, trace: Trace) -> Tensor:
        return (trace.rate * (1 - trace.rate) + self.floor) / trace.dynamics.threshold


def main(small: bool) -> None:
    torch.manual_seed(0)
    data = digits()
    network = vgg5(in_channels=1, image_size=8, gradient=Exponential())
    classifier = PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=data.input_shape,
        nb_classes=data.classes,
        optimizer=torch.optim.Adam(network.parameters()),
        clip_values=(0, 1),
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=1 if small else 5)
    x, y = data.x_test[:16], data.y_test[:16]
    reference = classifier.loss_gradient(x, y, gradient="stbp").ravel()
    for rule in (Exponential(), Bernoulli()):
        own = classifier.loss_gradient(x, y, gradient=rule).ravel()
        cosine = own @ reference / np.linalg.norm(own) / np.linalg.norm(reference)
        print(f"{rule}: cosine to STBP {cosine:.3f}")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
