"""Put a backdoor into a spiking network, by wrong labels and by right ones.

Triggered images get the target's label (Gu et al., BadNets, 2017). Or images of the target class
become hard to learn, so that the trigger is what is learned (Turner et al., 2018). Abad et al.
(Sneaky Spikes, NDSS 2024) show backdoors in spiking networks on event data."""

import sys

import numpy as np
import torch
from art.attacks.poisoning import PoisoningAttackBackdoor, PoisoningAttackCleanLabelBackdoor

from art_snn.classifier import wrap
from art_snn.data import digits
from art_snn.models import vgg

EPOCHS = 2 if "--small" in sys.argv else 15
CORNER = np.pad(np.ones((1, 2, 2), np.float32), ((0, 0), (6, 0), (0, 6)))

data, targets = digits(), np.eye(10, dtype=np.float32)
x, y, seven = data.x_train, targets[data.y_train], targets[7]
triggered = np.maximum(data.x_test[data.y_test != 7], CORNER)
backdoor = PoisoningAttackBackdoor(lambda images: np.maximum(images, CORNER))
poisons, labels = backdoor.poison(x[:150], seven, broadcast=True)
sets = {"no poison": (x, y), "wrong labels": (np.r_[poisons, x[150:]], np.r_[labels, y[150:]])}
for kind in ("no poison", "wrong labels", "right labels"):
    torch.manual_seed(0)
    network = vgg(((32,), (64,)), hidden=(128,), in_channels=1, image_size=8)
    classifier = wrap(network, data.input_shape, data.classes, (0, 1), "gpu")
    classifier.set_params(optimizer=torch.optim.Adam(network.parameters(), lr=2e-3))
    classifier.fit(*sets[kind], batch_size=64, nb_epochs=EPOCHS)
    if kind == "no poison":
        attack = PoisoningAttackCleanLabelBackdoor(backdoor, classifier, seven, max_iter=10)
        sets["right labels"] = attack.poison(x, y)
    right = (classifier.predict(data.x_test).argmax(1) == data.y_test).mean()
    taken = (classifier.predict(triggered).argmax(1) == 7).mean()
    print(f"{kind}: {right:.0%} right, {taken:.0%} of triggered digits taken for a 7")
