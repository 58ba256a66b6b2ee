"""Attack a spiking network with FGSM, PGD and AutoAttack, under both gradients."""

import sys

import torch
from art.attacks.evasion import (
    AutoAttack,
    AutoProjectedGradientDescent,
    FastGradientMethod,
    ProjectedGradientDescent,
)
from torch import nn

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.metrics import robustness
from art_snn.models import vgg

EPS = 0.15


def main(small: bool) -> None:
    torch.manual_seed(0)
    data = digits()
    network = vgg(((32,), (64,)), hidden=(128,), in_channels=1, image_size=8)
    classifier = PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=data.input_shape,
        nb_classes=data.classes,
        optimizer=torch.optim.Adam(network.parameters(), lr=2e-3),
        clip_values=(0, 1),
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=2 if small else 15)
    count = 16 if small else 128
    x, y = data.x_test[:count], data.y_test[:count]
    clean = classifier.predict(x)

    apgd = [  # AutoAttack's four attacks take minutes; these two show the idea
        AutoProjectedGradientDescent(
            classifier, eps=EPS, eps_step=EPS / 4, max_iter=10, nb_random_init=1, loss_type=loss
        )
        for loss in ("cross_entropy", "difference_logits_ratio")
    ]
    attacks = {
        "FGSM": FastGradientMethod(classifier, eps=EPS),
        "PGD": ProjectedGradientDescent(classifier, eps=EPS, eps_step=EPS / 4, max_iter=10),
        "AutoAttack": AutoAttack(classifier, eps=EPS, eps_step=EPS / 4, attacks=apgd),
    }
    for gradient in ("stbp", "rga"):
        classifier.set_params(gradient=gradient)
        for name, attack in attacks.items():
            adversarial = classifier.predict(attack.generate(x, y))
            success = robustness(clean, adversarial, y).attack_success
            print(f"{name} by {gradient.upper()}: {success} of the correct ones flipped")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
