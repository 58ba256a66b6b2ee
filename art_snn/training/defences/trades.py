from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from art_snn.training.defences.base import Learner, Weighted


@dataclass(frozen=True, kw_only=True)
class TRADES(Weighted):
    """TRADES (Zhang et al., ICML 2019, equation 5): CE(f(x), y) + beta KL(f(x) || f(x_adv)).

    Both terms are means over the samples, differentiated through both distributions. As
    in ART's AdversarialTrainerTRADESPyTorch the attack crafts on the true labels in
    evaluation mode, where the paper's attack raises the divergence. Clean and adversarial
    samples are two forward passes in training mode, in this order, each with batch
    statistics of its own.

    :param beta: weight of the divergence between clean and adversarial outputs, above 0;
        the paper takes 1 and 6."""

    beta: float = 6.0
    entropy_alone: ClassVar[bool] = False

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the clean samples and the weighted divergence of the adversarial."""
        clean = learner(x)
        divergence = nn.functional.kl_div(
            learner(adversarial).log_softmax(1),
            clean.log_softmax(1),
            reduction="batchmean",
            log_target=True,
        )
        return nn.functional.cross_entropy(clean, y) + self.beta * divergence
