"""Attack a spiking network with a plan of attacks, and look for reasons to doubt the result."""

import sys

import torch

from art_snn.attacks import SpikingAutoAttack
from art_snn.classifier import wrap
from art_snn.data import digits
from art_snn.findings import examine
from art_snn.models import vgg

EPS = 0.1


def main(small: bool) -> None:
    torch.manual_seed(0)
    data = digits()
    network = vgg(((32,), (64,)), hidden=(128,), in_channels=1, image_size=8)
    classifier = wrap(network, data.input_shape, data.classes, (0, 1), "gpu")
    classifier.set_params(optimizer=torch.optim.Adam(network.parameters(), lr=2e-3))
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=2 if small else 15)
    count = 16 if small else 128
    x, y = data.x_test[:count], data.y_test[:count]

    for finding in examine(classifier, x, y, eps=EPS):
        print(finding)
    attack = SpikingAutoAttack(classifier, eps=EPS, plan="fast" if small else "standard")
    try:
        attack.generate(x, y)
    except KeyboardInterrupt:
        print("Interrupted. What was found so far:")
    print(attack.outcome)


if __name__ == "__main__":
    main(small="--small" in sys.argv)
