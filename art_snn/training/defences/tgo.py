import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from art_snn.checks import require_number, set_fields
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import Defence, Learner
from art_snn.training.defences.potentials import check_watched, distances, run_watched


@dataclass(frozen=True, kw_only=True)
class TGO(Defence):
    """TGO (ICLR 2026, arXiv 2602.20548): potentials that keep a distance from the threshold.

    CE(f(x_adv), y) + k weight * sum over layers of mean(max(0, margin - abs(u - threshold))), the
    mean over steps, samples and neurons. k = (1 - cos(pi p)) / 2 rises from 0 to 1 with the share p
    of the training. The noise of its neurons is a module of the model.

    Not settled by the source: whether neurons are averaged, the schedule, of which we know that it
    is a cosine, and the margin.

    :param weight: of the penalty at the end, above 0; the paper takes 0.6 for VGG-11.
    :param margin: in the unit of the potential, above 0. Its default is ours."""

    weight: float = 0.6
    margin: float = 0.3
    entropy_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("weight", "margin"):
            within, value = (1e-6, 1e6), getattr(self, name)
            remedy = "Adversarial training alone is AT."
            number = require_number(name, value, above=0, within=within, remedy=remedy)
            set_fields(self, **{name: number})

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network whose potentials are not seen."""
        check_watched(network, "TGO")

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the adversarial samples and the penalty, at its weight by now."""
        logits, layers = run_watched(learner, adversarial)
        lacks = [(self.margin - z.abs()).relu().mean() for z in distances(layers)]
        weight = self.weight * (1 - math.cos(math.pi * learner.progress)) / 2
        return nn.functional.cross_entropy(logits, y) + weight * torch.stack(lacks).sum()

    def describe(self) -> str:
        """Name, weight and margin."""
        return f"TGO, weight {self.weight:g} at the end, margin {self.margin:g}"
