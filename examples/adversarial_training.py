"""Adversarial training: ART's trainer crafts with RGA gradients, the weights learn with STBP."""

import sys

import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.defences.trainer import AdversarialTrainerMadryPGD
from torch import nn

from art_snn import RGA, STBP, PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.metrics import robustness
from art_snn.models import vgg

EPS = 0.15


def build() -> PyTorchSpikingClassifier:
    network = vgg(
        ((32,), (64,)),
        hidden=(128,),
        in_channels=1,
        image_size=8,
        gradient=RGA(beta=2.0, gamma=0.2),
        training_gradient=STBP(),
    )
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=(1, 8, 8),
        nb_classes=10,
        optimizer=torch.optim.Adam(network.parameters(), lr=2e-3),
        clip_values=(0, 1),
    )


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, epochs = digits(), 1 if small else 15
    plain, hardened = build(), build()
    plain.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=epochs, verbose=True)
    AdversarialTrainerMadryPGD(
        hardened, nb_epochs=epochs, batch_size=64, eps=0.1, eps_step=0.025, max_iter=7
    ).fit(data.x_train, data.y_train)

    x, y = data.x_test[: 32 if small else None], data.y_test[: 32 if small else None]
    for name, classifier in {"plain": plain, "adversarially trained": hardened}.items():
        attack = ProjectedGradientDescent(classifier, eps=EPS, eps_step=EPS / 4, max_iter=10)
        outcome = robustness(classifier.predict(x), classifier.predict(attack.generate(x, y)), y)
        print(f"{name}: clean {outcome.clean_accuracy}, robust {outcome.robust_accuracy}")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
