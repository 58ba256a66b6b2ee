"""Mean: the average direction, or the plain average, of several rules."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import quote, require, set_fields
from art_snn.gradients.base import Body, Composite, Execution, Gradient
from art_snn.gradients.shared import attach_anchor, differentiable_once


@dataclass(frozen=True, init=False, repr=False)
class Mean(Composite):
    """The mean of the input gradients of several rules, normalised per sample.

    Each gradient is divided by its Euclidean norm over the sample before they are
    averaged, so that none drowns another. The result is scaled back to the mean of the
    norms, for attacks that use its length. With normalise=False gradients are averaged as
    they are, as in the MIX attack of HART (Hao et al., ICLR 2024): then the longest one
    counts most.

    The logits are those of the first rule whose logits are exact. Gradients at the
    weights are averaged as they are. The cost is the sum of that of the rules.

    :param rules: two or more rules.
    :param normalise: True if all rules count the same in the direction.
    :raises TypeError, ValueError: for what is no rule or truth value, or fewer than two rules."""

    rules: tuple[Gradient, ...]
    normalise: bool = field(default=True, init=False)

    def __init__(self, *rules: Gradient, normalise: bool = True) -> None:
        count = len(rules)
        require(count > 1, "rules", "two rules or more", count, "Use one rule as it is.")
        require(
            isinstance(normalise, bool),
            "normalise",
            "True or False",
            quote(normalise),
            "False averages gradients as they are.",
        )
        set_fields(self, rules=rules, normalise=normalise)
        self.__post_init__()

    def __repr__(self) -> str:
        """With `normalise` only where it is False: fingerprints of results are made of it."""
        how = () if self.normalise else ("normalise=False",)
        return f"Mean({', '.join([*map(repr, self.rules), *how])})"

    @property
    def parts(self) -> tuple[Gradient, ...]:
        return self.rules

    @property
    def second_derivative(self) -> bool:
        return not self.normalise and super().second_derivative

    @property
    def exact_logits(self) -> bool:
        return any(rule.exact_logits for rule in self.rules)

    def logits(self, body: Body, x: Tensor) -> Tensor:
        inputs = [x] * len(self.rules)
        if self.normalise:
            *inputs, _ = _FanOut.apply(x, self)  # type: ignore[no-untyped-call]  # Autograd's apply has no types.
        logits = []
        ways = []
        for rule, copy in zip(self.rules, inputs, strict=True):
            logits.append(rule.logits(body, copy))
            ways.append(f"{type(rule).__name__} {body.execution}")
        body.execution = Execution("several rules", "; ".join(ways))

        leader = [rule.exact_logits for rule in self.rules].index(self.exact_logits)
        mean = torch.stack(logits).mean(0)
        return logits[leader].detach() + (mean - mean.detach())


class _FanOut(torch.autograd.Function):
    """Copies of x [N, ...] forward; backward the mean of their gradients, of equal length each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: Mean) -> tuple[Tensor, ...]:
        first, anchor = attach_anchor(ctx, rule, x.view_as(x))
        return first, *(x.view_as(x) for _ in rule.rules[1:]), anchor

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Scaled by the largest element first, so that squares of small gradients do not underflow.
        stacked = torch.stack(grads)
        dims = tuple(range(2, stacked.ndim))
        largest = stacked.abs().amax(dims, keepdim=True)
        scaled = torch.where(largest > 0, stacked / largest, 0)
        norms = torch.linalg.vector_norm(scaled, dim=dims, keepdim=True)
        directions = torch.where(norms > 0, scaled / norms, 0).mean(0)
        # The mean of the logits has divided every gradient by the number of rules already.
        return directions * (norms * largest).sum(0), None
