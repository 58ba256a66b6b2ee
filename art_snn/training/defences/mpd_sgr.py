import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from art_snn.training.defences.base import Learner, Watching, gaps, run_watched


@dataclass(frozen=True, kw_only=True)
class MPDSGR(Watching):
    """MPD-SGR (AAAI 2026, arXiv 2511.12199): potentials that leave the band of surrogate slopes.

    CE(f(x_adv), y) + weight * mean of Omega, the share of normal values within the width
    of the threshold: Phi((mu + width) / sigma) - Phi((mu - width) / sigma). mu and sigma
    are those of u - threshold for each layer, channel and step, over samples and
    positions; every neuron of a linear layer is a channel. The mean is over channels and
    steps, then layers.

    Not settled by the source: the weight, and that potentials count from the threshold.
    The variance has 1e-5 added, as in batch norms.

    :param weight: of the penalty, above 0. Its default is ours.
    :param width: of the band on either side, above 0: 1, that of the triangle."""

    weight: float = 0.01
    width: float = 1.0

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the adversarial samples and the weighted share within the band."""
        logits, layers = run_watched(learner, adversarial)
        shares = []
        for gap in gaps(layers):
            axes = (1, *range(3, gap.ndim))
            variance, mean = torch.var_mean(gap, axes, correction=0)
            shares.append(share_within(mean, (variance + 1e-5).sqrt(), self.width).mean())

        entropy = nn.functional.cross_entropy(logits, y)
        return entropy + self.weight * torch.stack(shares).mean()


def share_within(mean: Tensor, deviation: Tensor, width: float) -> Tensor:
    """Share of normal values of that mean and standard deviation between -width and width."""
    # Phi(x) = (1 + erf(x / sqrt(2))) / 2
    scale = math.sqrt(2) * deviation
    high = ((mean + width) / scale).erf()
    low = ((mean - width) / scale).erf()
    return (high - low) / 2
