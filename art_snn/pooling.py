"""Average pooling on a CPU in a few passes over memory.

torch's kernel goes through window by window, unless the channels are last. Where windows
cover every value once, all rows can be added at a time, and then all columns. Averages of
spikes are the same bit for bit; others may differ by rounding, since they are added in
another order."""

from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function, forward_ad
from torch.nn import Module

Pair = tuple[int, int]


def suits(module: Module, x: Tensor) -> bool:
    """True for an average pooling of x [N, C, H, W] that :func:`average` can compute."""
    return (
        type(module) is nn.AvgPool2d
        and type(x) is Tensor
        and x.device.type == "cpu"
        and x.ndim == 4
        and x.is_floating_point()
        and x.is_contiguous()
        and tiles(x.shape, module.kernel_size, module.stride, module.padding)
        and forward_ad._current_level < 0
    )


def tiles(
    shape: torch.Size, size: Any, stride: Any = None, padding: Any = 0, *_: Any
) -> bool:
    """True if windows of settings as torch takes them cover every value once."""
    kernel, step = pair(size), pair(size if stride is None else stride)
    whole = all(side % width == 0 for side, width in zip(shape[-2:], kernel, strict=True))
    return kernel == step and pair(padding) == (0, 0) and whole


def average(x: Tensor, kernel: Pair, divisor: int | None = None) -> Tensor:
    """Averages of windows that tile the planes of x [N, C, H, W]; none of its values is kept."""
    return _Average.apply(x, kernel, divisor)  # type: ignore[no-any-return, no-untyped-call]  # Autograd's apply has no types.


def unpool(values: Tensor, kernel: Pair) -> Tensor:
    """Every value [N, C, h, w] at all places of its window, [N, C, h * height, w * width]."""
    return _Spread.apply(values, kernel)  # type: ignore[no-any-return, no-untyped-call]  # Autograd's apply has no types.


def pair(value: Any) -> Pair:
    """Height and width of a setting of torch's, which may be one number for both."""
    several = (value,) if isinstance(value, int) else tuple(value)
    return several * 2 if len(several) == 1 else several


class _Average(Function):
    """Sums over windows by a divisor. This and :class:`_Spread` are each other's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Pair, divisor: int | None) -> Tensor:
        height, width = ctx.kernel = kernel
        ctx.divisor = divisor or height * width
        rows = reduce(torch.add, [x[..., i::height, :] for i in range(height)])
        sums = reduce(torch.add, [rows[..., j::width] for j in range(width)])
        # With a width of 1 the sums may be a view of x.
        return sums.div_(ctx.divisor) if width > 1 else sums.div(ctx.divisor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return unpool(grad / ctx.divisor, ctx.kernel), None, None


class _Spread(Function):
    """Values at all places of their windows."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, kernel: Pair) -> Tensor:
        height, width = ctx.kernel = kernel
        *outer, h, w = values.shape
        if values.device.type != "cpu":  # One kernel is better there than several.
            whole = values.reshape(*outer, h, 1, w, 1).expand(*outer, h, height, w, width)
            return whole.reshape(*outer, h * height, w * width)
        if width == 2 and values.dtype.itemsize >= 4:
            # Both at once, as one complex number.
            row = torch.view_as_real(torch.complex(values, values))
        else:
            row = values.new_empty(*outer, h, w, width)
            for j in range(width):
                row[..., j] = values
        return torch.cat([row.flatten(-2)] * height, -1).view(
            *outer, h * height, w * width
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return average(grad, ctx.kernel, 1), None
