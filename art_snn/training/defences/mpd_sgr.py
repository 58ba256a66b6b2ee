import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from art_snn.checks import require_number, set_fields
from art_snn.network import SpikingNetwork
from art_snn.team import moments
from art_snn.training.defences.base import Defence, Learner
from art_snn.training.defences.potentials import check_watched, distances, run_watched

_EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class MPDSGR(Defence):
    """MPD-SGR (AAAI 2026, arXiv 2511.12199): potentials that leave the band of surrogate slopes.

    CE(f(x_adv), y) + weight * mean of Omega, the share of normal potentials within the width of
    the threshold: Phi((mu + width) / sigma) - Phi((mu - width) / sigma). mu and sigma are those of
    u - threshold for each layer, channel and step, over samples and positions; each neuron of a
    linear layer is a channel. The mean is over channels and steps, then over layers.

    Not settled by the source: whether the potential counts from the threshold, and the weight.
    The variance has 1e-5 added, as in batch norm.

    :param weight: of the penalty, above 0. Its default is ours.
    :param width: of the band on either side, above 0: 1, that of the triangle."""

    weight: float = 0.1
    width: float = 1.0
    entropy_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        remedies = {"weight": "Adversarial training alone is AT.", "width": "The triangle has 1."}
        for name, remedy in remedies.items():
            within, value = (1e-6, 1e6), getattr(self, name)
            number = require_number(name, value, above=0, within=within, remedy=remedy)
            set_fields(self, **{name: number})

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network whose potentials are not seen."""
        check_watched(network, "MPD-SGR")

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the adversarial samples and the weighted share within the band."""
        logits, layers = run_watched(learner, adversarial)
        shares = logits.new_zeros(())
        for distance in distances(layers):
            axes, together = (1, *range(3, distance.ndim)), learner.team.size > 1
            mean, variance, _ = moments(distance, axes, together)
            shares = shares + share_within(mean, (variance + _EPS).sqrt(), self.width).mean()
        return nn.functional.cross_entropy(logits, y) + self.weight * shares / len(layers)

    def describe(self) -> str:
        """Name and weight."""
        return f"MPD-SGR, weight {self.weight:g}"


def share_within(mean: Tensor, deviation: Tensor, width: float) -> Tensor:
    """Share of normal values of that mean and standard deviation between -width and width."""
    ends = ((mean + sign * width) / (math.sqrt(2) * deviation) for sign in (1, -1))
    above, below = (end.erf() for end in ends)
    return (above - below) / 2
