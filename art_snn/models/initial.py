"""Initial weights of the models."""

from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def kaiming(network: Module) -> Module:
    """Draw weights anew: He normal for convolutions and linear layers, zero biases; norms at 1, 0.

    He et al., ICCV 2015, with fan-out for convolutions and fan-in for linear layers.

    :param network: any module; changed in place.
    :return: the same module.
    """
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
