from dataclasses import dataclass

from torch import Tensor, nn

from art_snn.training.defences.base import Defence
from art_snn.training.learner import Learner


@dataclass(frozen=True, kw_only=True)
class AT(Defence):
    """Adversarial training alone (Madry et al., ICLR 2018): CE(f(x_adv), y)."""

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy of the adversarial samples."""
        return nn.functional.cross_entropy(learner(adversarial), y)
