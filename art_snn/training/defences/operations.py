from dataclasses import dataclass

import torch
from torch import Tensor, nn

from art_snn.metrics.energy import count_accumulates, count_synapses
from art_snn.training.defences.base import Learner, Watching, run_watched


@dataclass(frozen=True, kw_only=True)
class Operations(Watching):
    """Adversarial training of networks that save operations, even on attacked inputs.

    CE(f(x_adv), y) + weight * mean share of the synapses after neurons at which a step of
    x_adv costs an operation, as :func:`art_snn.metrics.synaptic_operations` counts them:
    1 if all fire at every step. Spikes have the training gradient. Operations of the
    input, which no weight changes, are left out.

    :param weight: of that share, above 0. Its default is ours."""

    weight: float = 1.0

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the adversarial samples and their weighted operations."""
        logits, layers = run_watched(learner, adversarial)
        # The first synapses are those of the input.
        _, *synapses = count_synapses(learner.network, tuple(x.shape[1:]))

        used = []
        most = []
        for (_, _, spikes, _), (_, leaving) in zip(layers, synapses, strict=True):
            used.append(count_accumulates(spikes.sum(0), leaving))
            most.append(leaving.sum())
        share = torch.stack(used).sum(0).mean() / (len(spikes) * torch.stack(most).sum())
        entropy = nn.functional.cross_entropy(logits, y)
        return entropy + self.weight * share.to(logits.dtype)
