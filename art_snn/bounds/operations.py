"""What torch's operations do to boxes: a table, and the mode that looks it up.

The interval around an output contains every output for inputs of their intervals, and what rounding
can make of it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from art_snn.bounds.arithmetic import (
    mean,
    minus,
    negative,
    plus,
    product,
    quotient,
    reversed_minus,
    total,
)
from art_snn.bounds.box import Unbounded, has_boxes
from art_snn.bounds.layers import adaptive, average_pooling, layer, monotone, norm
from art_snn.bounds.moves import divided, joined, moved, permuted, same, unchanged
from art_snn.gradients.fixed import LOOKS


class Propagation(TorchFunctionMode):
    """Within the block, and in the present thread, operations on boxes give boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.with_graph = torch.is_grad_enabled()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", str(func))
        if func in LOOKS:
            return func(*args, **kwargs)
        if func in DRAWS:
            raise Unbounded(f"{name}, which draws at random")
        if torch._C._are_functorch_transforms_active():
            raise Unbounded(f"{name} in a transform of torch.func, which hides boxes")
        if not has_boxes((*args, *kwargs.values())):
            return func(*args, **kwargs)
        operation = OPERATIONS.get(func)
        if operation is None:
            raise Unbounded(name)
        if kwargs.get("out") is not None:
            raise Unbounded(f"{name} into another tensor")
        if self.with_graph and not torch.is_grad_enabled():
            # Margins need the slope of every operation, and gradients of one's own are none.
            raise Unbounded(f"{name} without a graph, or in an autograd function of its own")
        return operation(func, *args, **kwargs)


Operation = Callable[..., Any]


def _named(operation: Operation, *names: str) -> dict[Any, Operation]:
    """The operation for functions of torch and methods of tensors of these names."""
    kinds = (torch, Tensor, functional)
    return {getattr(k, name): operation for k in kinds for name in names if hasattr(k, name)}


_DRAWS = "rand randn randint randperm rand_like randn_like randint_like normal bernoulli poisson"
_DRAWS += " multinomial normal_ uniform_ random_ bernoulli_ exponential_ log_normal_ geometric_"

DRAWS = frozenset(
    getattr(kind, name)
    for kind in (torch, Tensor)
    for name in _DRAWS.split()
    if hasattr(kind, name)
)
"""Functions of which one draw says nothing about the next."""

OPERATIONS: Mapping[Any, Operation] = MappingProxyType(
    _named(layer, "linear", "conv1d", "conv2d", "conv3d")
    | {functional.batch_norm: norm}
    | _named(average_pooling, "avg_pool1d", "avg_pool2d", "avg_pool3d")
    | _named(adaptive, *(f"adaptive_avg_pool{n}d" for n in (1, 2, 3)))
    | _named(monotone, *(f"max_pool{n}d" for n in (1, 2, 3)), "relu")
    | _named(monotone, *(f"adaptive_max_pool{n}d" for n in (1, 2, 3)))
    | _named(moved, "flatten", "reshape", "view", "unflatten", "expand", "contiguous", "clone")
    | _named(permuted, "transpose", "permute", "squeeze", "unsqueeze", "movedim", "__getitem__")
    | _named(divided, "chunk", "split", "unbind")
    | _named(joined, "cat", "stack")
    | _named(unchanged, "dropout", *(f"dropout{n}d" for n in (1, 2, 3)))
    | _named(same, "to", "float", "double", "detach")
    | _named(plus, "add", "__add__", "__radd__")
    | _named(minus, "sub", "__sub__")
    | _named(reversed_minus, "__rsub__", "rsub")
    | _named(product, "mul", "__mul__", "__rmul__")
    | _named(quotient, "div", "__truediv__", "true_divide")
    | _named(negative, "neg", "__neg__")
    | _named(mean, "mean")
    | _named(total, "sum")
)
"""Operations of torch that have bounds, and what they do to boxes."""
