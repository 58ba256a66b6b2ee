import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from art_snn.training.defences.base import Learner, Watching, gaps, run_watched


@dataclass(frozen=True, kw_only=True)
class TGO(Watching):
    """TGO (ICLR 2026, arXiv 2602.20548): potentials that keep a distance from the threshold.

    CE(f(x_adv), y) + k weight * sum over layers of mean(max(0, margin - abs(u -
    threshold))), the mean over steps, samples and neurons. k = (1 - cos(pi p)) / 2 rises
    from 0 to 1 with the share p of the training. The noise of its neurons is a module of
    the model.

    Not settled by the source: whether neurons are averaged, the margin, and of the
    schedule more than that it is a cosine.

    :param weight: of the penalty at the end, above 0; the paper takes 0.6 for VGG-11.
        Its default is ours.
    :param margin: in the unit of the potential, above 0. Its default is ours."""

    weight: float = 0.2
    margin: float = 0.3

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the adversarial samples and the penalty, with its present weight."""
        logits, layers = run_watched(learner, adversarial)
        lacks = [
            self.margin - z.abs().clamp(max=self.margin).mean() for z in gaps(layers)
        ]
        weight = self.weight * (1 - math.cos(math.pi * learner.progress)) / 2
        return nn.functional.cross_entropy(logits, y) + weight * torch.stack(lacks).sum()
