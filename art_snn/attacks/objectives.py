"""What attacks raise: functions of logits [n, K] and classes [n], one value per sample [n]."""

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy at the true classes; raising it leads away from them."""
    return functional.cross_entropy(logits, classes, reduction="none")


def towards(logits: Tensor, classes: Tensor) -> Tensor:
    """Negative cross entropy at target classes; raising it leads to them."""
    return -cross_entropy(logits, classes)


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Best other logit minus that of the true class: above 0 where a sample is misclassified."""
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return others.amax(1) - logits.gather(1, classes[:, None])[:, 0]
