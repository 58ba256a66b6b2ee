from dataclasses import dataclass

import torch
from torch import Tensor, nn

from art_snn.training.defences.base import Learner, Weighted


@dataclass(frozen=True, kw_only=True)
class SR(Weighted):
    """Sparsity regularisation (Liu et al., ICML 2024): adversarial training with sparse gradients.

    CE(f(x), y) + sparsity * mean over samples of ((p(x + step sign g) - p(x)) / step)^2
    at the adversarial samples x. p is the softmax over two logits, of the true class and
    of the best other one at x. g = dp/dx is a constant, from the training gradient; for
    small steps the quotient is its l1 norm.

    Two forward passes in training mode: at x, and at the moved samples, which may leave
    the value range by a step.

    :param sparsity: weight of the penalty, above 0. Its default is ours.
    :param step: of the difference quotient, in the unit of the samples, above 0."""

    sparsity: float = 2e-3
    step: float = 0.01

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the adversarial samples and the weighted penalty."""
        start = adversarial.detach().to(learner.device).requires_grad_()
        logits = learner.at_input(start)
        # The best other class at x stays the other class at the moved samples.
        other = logits.detach().scatter(1, y[:, None], -torch.inf).argmax(1)
        here = _ahead(logits, y, other)
        (gradient,) = torch.autograd.grad(here.sum(), start, retain_graph=True)
        there = _ahead(learner(start.detach() + self.step * gradient.sign()), y, other)

        penalty = ((there - here) / self.step).square().mean()
        return nn.functional.cross_entropy(logits, y) + self.sparsity * penalty


def _ahead(logits: Tensor, y: Tensor, other: Tensor) -> Tensor:
    """Probability [N] of class y [N] where only the other one [N] could be."""
    lead = logits.gather(1, y[:, None]) - logits.gather(1, other[:, None])
    return lead[:, 0].sigmoid()
