"""Tell whether a sample was in the training set of a spiking network.

Li, Abad, Picek and Conti ("Membership Privacy Evaluation in Deep Spiking Neural Networks", 2024),
Moshruba et al. ("Are Neuromorphic Architectures Inherently Privacy-preserving?", 2024) and Guan et
al. ("On the Privacy Risks of Spiking Neural Networks: A Membership Inference Analysis", 2025)
compare spiking networks with others. Spikes alone are no promise of privacy: measure."""

import sys

import torch
from art.attacks.inference.membership_inference import (
    LabelOnlyGapAttack,
    MembershipInferenceBlackBox,
)
from torch import nn

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.models import vgg


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, network = digits(), vgg(((32,),), hidden=(128,), in_channels=1, image_size=8)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    victim = PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), (1, 8, 8), 10, optimizer)
    members, others = (data.x_train[:100], data.y_train[:100]), (data.x_test, data.y_test)
    victim.fit(*members, batch_size=20, nb_epochs=5 if small else 100)

    learned = MembershipInferenceBlackBox(victim, input_type="loss", attack_model_type="lr")
    learned.fit(*(array[:50] for array in (*members, *others)))
    for attack in (LabelOnlyGapAttack(victim), learned):
        inside, outside = (attack.infer(x[50:100], y[50:100]) for x, y in (members, others))
        accuracy = (inside.mean() + 1 - outside.mean()) / 2
        print(f"{type(attack).__name__}: right on {accuracy:.0%}, chance is 50%")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
