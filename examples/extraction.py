"""Steal a spiking network by its answers alone, into a spiking network and an ordinary one.

KnockoffNets (Orekondy et al., 2018) trains a thief on the victim's classes, without its gradient.
FunctionallyEquivalentExtraction (Jagielski et al., 2019) measures slopes of a ReLU network. Those
of a spiking network are 0 nearly everywhere, so it cannot run."""

import sys

import torch
from art.attacks.extraction import KnockoffNets
from art.estimators.classification import PyTorchClassifier
from torch import nn

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.models import vgg


def wrapped(kind: type[PyTorchClassifier], network: nn.Module) -> PyTorchClassifier:
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    return kind(network, nn.CrossEntropyLoss(), (1, 8, 8), 10, optimizer, clip_values=(0, 1))


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, epochs = digits(), 3 if small else 15
    networks = [vgg(((16,),), hidden=(64,), in_channels=1, image_size=8) for _ in range(2)]
    victim, spiking = (wrapped(PyTorchSpikingClassifier, network) for network in networks)
    ordinary = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    victim.fit(data.x_train[::2], data.y_train[::2], batch_size=64, nb_epochs=epochs)
    for thief in (spiking, wrapped(PyTorchClassifier, ordinary)):
        attack = KnockoffNets(victim, 64, 128, nb_epochs=epochs, nb_stolen=500, verbose=False)
        attack.extract(data.x_train[1::2], thieved_classifier=thief)
        same = thief.predict(data.x_test).argmax(1) == victim.predict(data.x_test).argmax(1)
        print(f"{type(thief).__name__} agrees with its victim on {same.mean():.0%}")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
