"""Objectives that attacks raise: functions of logits [n, K] and classes [n], with values [n]."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

Objective = Callable[[Tensor, Tensor], Tensor]
"""(logits [n, K], classes [n]) -> what an attack raises [n]."""

SMALLEST = 1e-12


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


def logits_ratio(logits: Tensor, classes: Tensor) -> Tensor:
    """Difference of logits ratio (Croce and Hein, ICML 2020, equation 6), free of their scale.

    The margin over the largest less the third largest logit; of two classes the margin."""
    if logits.shape[1] < 3:
        return margin(logits, classes)
    ordered = logits.topk(3).values
    return margin(logits, classes) / (ordered[:, 0] - ordered[:, 2]).clamp_min(SMALLEST)


def logits_ratio_towards(logits: Tensor, aims: Tensor) -> Tensor:
    """Targeted difference of logits ratio (Croce and Hein, ICML 2020, section 4.1).

    The target's logit less that of the true class (aims, [n, 2]), over the largest less the mean of
    the third and the fourth. With fewer than four classes there is no divisor."""
    true, target = logits.gather(1, aims).unbind(1)
    if logits.shape[1] < 4:
        return target - true
    ordered = logits.topk(4).values
    return (target - true) / (ordered[:, 0] - ordered[:, 2:].mean(1)).clamp_min(SMALLEST)


LOSSES: Mapping[str, Objective] = MappingProxyType(
    {"cross_entropy": cross_entropy, "difference_logits_ratio": logits_ratio, "margin": margin}
)
"""Objectives that lead away from the true class, by the names of ART."""
