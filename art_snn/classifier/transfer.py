"""Networks with their optimizers: to another device, and to a copy."""

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from art_snn.layers import device_of


def card_of(network: nn.Module) -> AbstractContextManager[Any]:
    """A block in which the CUDA device of the network, where it is on one, is the current one."""
    device = device_of(network)
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def move_all(
    device: torch.device,
    network: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    loss: object,
    preprocessing: list[Any],
) -> None:
    """Put a network and all that belongs to it on a device."""
    network.to(device)
    if optimizer is not None:
        # Loading casts the optimizer's state to the device of its parameters.
        optimizer.load_state_dict(optimizer.state_dict())
    if isinstance(loss, nn.Module):
        loss.to(device)
    for operation in preprocessing:
        if hasattr(operation, "_device"):
            operation._device = device


def rebuild_optimizer(
    optimizer: torch.optim.Optimizer, network: nn.Module, copied: nn.Module
) -> torch.optim.Optimizer:
    """An optimizer of the copied network, with the groups and settings of the given one."""
    twin = dict(zip(network.parameters(), copied.parameters(), strict=True))
    groups = [
        {**group, "params": [twin[p] for p in group["params"] if p in twin]}
        for group in optimizer.param_groups
    ]
    return type(optimizer)(groups, **defaults_of(optimizer))


def defaults_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's defaults, without those that its own constructor does not take."""
    accepted = inspect.signature(type(optimizer)).parameters
    return {name: value for name, value in optimizer.defaults.items() if name in accepted}
