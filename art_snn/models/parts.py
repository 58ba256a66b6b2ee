"""The layers that the models are made of, and their initial weights."""

from collections.abc import Sequence
from typing import Literal, TypeVar

from torch import nn

from art_snn.layers import TimeDistributed

Module = TypeVar("Module", bound=nn.Module)


def convolution(
    inputs: int,
    outputs: int,
    *,
    kernel: Literal[1, 3] = 3,
    stride: int = 1,
    before: Sequence[nn.Module] = (),
) -> TimeDistributed:
    """Convolution without bias and batch norm, after stateless modules if `before` has any.

    [T, N, inputs, ...] -> [T, N, outputs, ...]; a side is divided by the stride and rounded up."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return TimeDistributed(*before, layer, nn.BatchNorm2d(outputs))


def pooling() -> TimeDistributed:
    """Average of 2x2 pixels; a side that cannot be halved is rounded up."""
    return TimeDistributed(nn.AvgPool2d(2, ceil_mode=True))


def halved(sides: tuple[int, int]) -> tuple[int, int]:
    """Height and width after a :func:`pooling`, or a convolution of stride 2."""
    height, width = sides
    return (height + 1) // 2, (width + 1) // 2


def kaiming(network: Module) -> Module:
    """Draw weights anew: He normal for convolutions and linear layers, zero biases; norms at 1, 0.

    He et al., ICCV 2015, with fan-out for convolutions, fan-in for linear layers, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
            continue
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return network
