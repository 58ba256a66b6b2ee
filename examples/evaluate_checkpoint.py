"""Save a trained network, load it where no training code runs, and measure its robustness."""

import sys
import tempfile
from pathlib import Path

import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import nn

from art_snn import PyTorchSpikingClassifier, SpikingNetwork, checkpoint
from art_snn.data import digits
from art_snn.metrics import robustness
from art_snn.models import vgg


def build() -> SpikingNetwork:
    return vgg(((32,), (64,)), hidden=(128,), in_channels=1, image_size=8, decay=0.9)


def wrap(network: SpikingNetwork) -> PyTorchSpikingClassifier:
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=(1, 8, 8),
        nb_classes=10,
        optimizer=torch.optim.Adam(network.parameters(), lr=2e-3),
        clip_values=(0, 1),
    )


def train(path: Path, epochs: int) -> None:
    data, network = digits(), build()
    wrap(network).fit(data.x_train, data.y_train, batch_size=64, nb_epochs=epochs)
    checkpoint.save(network, path, data="digits", epochs=epochs)


def evaluate(path: Path, count: int) -> None:
    data, network = digits(), build()
    notes = checkpoint.load(network, path)
    classifier = wrap(network)
    x, y = data.x_test[:count], data.y_test[:count]
    attack = ProjectedGradientDescent(classifier, eps=0.15, eps_step=0.04, max_iter=10)
    outcome = robustness(classifier.predict(x), classifier.predict(attack.generate(x, y)), y)
    print(f"{notes}: clean {outcome.clean_accuracy}, robust {outcome.robust_accuracy}")


if __name__ == "__main__":
    torch.manual_seed(0)
    small = "--small" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder) / "network.safetensors", epochs=1 if small else 15)
        evaluate(Path(folder) / "network.safetensors", count=32 if small else 360)
