from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from art_snn.checks import require_number, set_fields
from art_snn.metrics.energy import count_synapses, metered
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import Defence, Learner
from art_snn.training.defences.potentials import check_watched


@dataclass(frozen=True, kw_only=True)
class Operations(Defence):
    """Adversarial training of networks that spare operations, also where inputs are attacked.

    CE(f(x_adv), y) + weight * mean of the synaptic operations of x_adv in a step, as
    :func:`art_snn.metrics.synaptic_operations` counts them, as a share of all synapses. A network
    in which every neuron fires at every step has 1. Spikes have the training gradient.

    :param weight: of the operations, above 0. Its default is ours."""

    weight: float = 1.0
    entropy_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        remedy, within = "Adversarial training alone is AT.", (1e-6, 1e6)
        weight = require_number("weight", self.weight, above=0, within=within, remedy=remedy)
        set_fields(self, weight=weight)

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network whose spikes are not seen, or whose synapses cannot be counted."""
        check_watched(network, "operations")
        if network.input_shape is not None and None not in network.input_shape:
            count_synapses(network, network.input_shape)  # type: ignore[arg-type]

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the adversarial samples and their weighted operations."""
        synapses = count_synapses(learner.network, tuple(x.shape[1:]))
        outputs = learner.through(metered(learner.network, synapses))(adversarial)
        most = torch.stack([leaving.sum() for _, leaving in synapses]).sum()
        entropy = nn.functional.cross_entropy(outputs[:, :-1], y)
        return entropy + self.weight * outputs[:, -1].mean() / most

    def describe(self) -> str:
        """Name and weight."""
        return f"Operations, weight {self.weight:g}"
