"""Gradients that can be differentiated once: what asks for more is refused by name.

torch's `once_differentiable` refuses only where the backward pass that is asked for runs through
its node. That node leads to no input, so a second derivative with respect to an input alone passes
by, and what is missing is missing in silence. Here the gradient of a function stays connected to
the function itself, and with it to all that the function was computed from."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import invalid

Backward = Callable[..., tuple[Any, ...]]


def anchored(ctx: Any, rule: object, output: Tensor, *kept: Tensor) -> tuple[Tensor, Tensor]:
    """What the forward of a function returns that is differentiated :func:`once`.

    :param rule: named where a second derivative is refused.
    :param kept: tensors for the backward pass, the first of `ctx.saved_tensors`.
    :return: the output, and an empty one that leads from its gradient back to the function."""
    anchor = output.new_empty(0)
    ctx.named = rule
    ctx.save_for_backward(*kept, anchor)
    return output, anchor


def once(backward: Backward) -> Backward:
    """A backward whose gradients refuse to be differentiated again, naming the rule.

    It is given the gradient at the output of :func:`anchored` alone."""

    @wraps(backward)
    def first(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        with torch.no_grad():
            found = backward(ctx, *grads[:-1])
        if not torch.is_grad_enabled():
            return found
        anchor = ctx.saved_tensors[-1]
        return tuple(
            None if grad is None else _Final.apply(grad, anchor, ctx.named)  # type: ignore[no-untyped-call]
            for grad in found
        )

    return first


class _Final(torch.autograd.Function):
    """A gradient as it is, whose own gradient is refused."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, anchor: Tensor, rule: object) -> Tensor:
        ctx.rule = rule
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        remedy = (
            "Differentiate its gradients no further, or take differences of them at two inputs."
        )
        expected = "a rule with a second derivative"
        raise invalid("gradient", expected, f"{ctx.rule}, which has none", remedy)
