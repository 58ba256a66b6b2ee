"""Parts of both engines: blocks of a batch, repeated steps, and gradients that exist once.

The latter refuse to be differentiated again, naming the rule. torch's
`once_differentiable` cuts them off, so a second derivative at an input would miss a part
in silence. Here the gradient of a function stays connected to the function, and with it
to all its inputs."""

import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from art_snn.checks import invalid
from art_snn.dynamics import Dynamics, least, operand

_CACHED_ELEMENTS = 2**20
"""Elements of one tensor in a block, on the CPU."""


def blocks(x: Tensor, steps: int) -> list[slice]:
    """Slices of the batch axis of x [T, N, ...], of which `steps` time steps fit into the cache.

    All threads of torch share that of one. An empty batch is one block."""
    size = samples = x.shape[1]
    if x.device.type == "cpu":
        size = _CACHED_ELEMENTS * samples // max(1, steps * x[0].numel())
    size = max(1, size)
    return [slice(start, start + size) for start in range(0, max(1, samples), size)]


def sum_slopes(
    slope: Callable[[Tensor], Tensor], z: Tensor, dynamics: Dynamics
) -> Tensor:
    """Slope of the number of spikes in a step: the sum over k of h(z - k threshold) at z [...].

    Of more than 16 thresholds those within 1 of the potential count, 8 on either side at
    most. The function h, `slope`, may change its tensor; z is u - threshold."""
    if dynamics.max_spikes == 1:
        return slope(z)
    threshold, most = operand(dynamics.threshold, z), dynamics.max_spikes or math.inf
    near = min(math.ceil(1 / least(dynamics.threshold)), 8)
    ks: Iterable[Any] = range(int(min(most, 16)))
    if most > 16:
        below = torch.floor(z.detach() / threshold)
        ks = (below + i for i in range(1 - near, near + 1))
    return sum(
        (slope(z - k * threshold) * ((k >= 0) & (k < most)) for k in ks), z.new_zeros(())
    )


def apply(function: type[Function], *arguments: Any) -> Tensor:
    """The output of an autograd function, the first where there are several."""
    output: Tensor | tuple[Tensor, ...]
    output = function.apply(*arguments)
    return output[0] if isinstance(output, tuple) else output


def needs_gradient(node: Any) -> bool:
    """True if the backward pass that runs needs the gradient at a node."""
    return node is None or torch._C._will_engine_execute_node(node)


def graph_task() -> int:
    """The number of the backward pass that runs."""
    return torch._C._current_graph_task_id()


class _Repeat(Function):
    """A view [T, N, ...] of one step [N, ...]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int) -> Tensor:
        return x.expand(steps, *x.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        # Steps of the same values may still have graphs that differ.
        if repeats_one_step(grad) and not grad.requires_grad:
            return grad[0] * len(grad), None
        return grad.sum(0), None


def repeat_step(x: Tensor, steps: int) -> Tensor:
    """A view [T, N, ...] that repeats one step [N, ...].

    Only the sum over time of a gradient at it is read: layers may give its mean at every step."""
    if type(x) is not Tensor:
        return x.expand(steps, *x.shape)
    return apply(_Repeat, x, steps)


def repeats_one_step(x: Tensor) -> bool:
    """True if x [T, ...] is a view that repeats one step, and not itself what is differentiated."""
    return x.shape[0] > 1 and x.stride(0) == 0 and not (x.is_leaf and x.requires_grad)


def mean_over_time(x: Tensor) -> Tensor:
    """Mean over axis 0, kept as an axis of size 1; free for a view that repeats one step."""
    if len(x) == 1 or repeats_one_step(x):
        return x[:1]
    return x.mean(0, keepdim=True)


def align(values: Tensor, like: Tensor, axis: int = 0) -> Tensor:
    """A view of values [K] that broadcasts them along one axis of another tensor."""
    shape = [1] * like.ndim
    shape[axis] = -1
    return values.view(shape)


class _StraightThrough(Function):
    """The values of one tensor forward, the gradient of another one backward."""

    @staticmethod
    def forward(ctx: Any, values: tuple[Tensor], graph: Tensor) -> Tensor:
        return values[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


def straight_through(values: Tensor, graph: Tensor) -> Tensor:
    """A tensor of these values that passes its gradient on to `graph`, of the same shape."""
    # In a tuple: a view of an argument could not be changed in place.
    return apply(_StraightThrough, (values,), graph)


def attach_anchor(
    ctx: Any, rule: object, output: Tensor, *kept: Tensor
) -> tuple[Tensor, Tensor]:
    """The output of a function, and an anchor: a tensor that leads back to the function.

    The function is :func:`differentiable_once`. Its backward pass finds `kept` as the
    first of `ctx.saved_tensors`."""
    anchor = output.new_empty(0)
    ctx.named = rule
    ctx.save_for_backward(*kept, anchor)
    return output, anchor


def differentiable_once(
    backward: Callable[..., tuple[Any, ...]],
) -> Callable[..., tuple[Any, ...]]:
    """A backward whose gradients refuse to be differentiated again, naming the rule.

    It receives the gradient at the output of :func:`attach_anchor` alone."""

    @wraps(backward)
    def first(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        with torch.no_grad():
            results = backward(ctx, *grads[:-1])
        if not torch.is_grad_enabled():
            return results
        ends = (ctx.saved_tensors[-1], ctx.named)
        return tuple(x if x is None else apply(Final, x, *ends) for x in results)

    return first


def has_no_second_derivative(rule: object) -> ValueError:
    """The error for a rule whose gradient is to be differentiated again."""
    return invalid(
        "gradient",
        "a rule with a second derivative",
        f"{rule}, which has none",
        (
            "Take a rule whose second_derivative is True, such as STBP(), where neurons get all "
            "time steps in one call. Or take differences between "
            "the gradients of two inputs."
        ),
    )


class Final(Function):
    """A gradient as it is, whose own gradient is refused; `anchor` leads back to its function."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, anchor: Tensor, rule: object) -> Tensor:
        ctx.rule = rule
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise has_no_second_derivative(ctx.rule)
