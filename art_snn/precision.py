"""Half precision, of crafting and of training: which dtype, where it pays, a network in it."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from art_snn.checks import invalid
from art_snn.layers import TimeDistributed, foldable, folded_weights

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"bfloat16": torch.bfloat16, "float16": torch.float16}
)


def require_attack_dtype(value: object, argument: str = "attack_dtype") -> str | None:
    """A name of DTYPES, "auto" or None.

    :raises ValueError: for anything else."""
    remedy = "None crafts in the network's own precision."
    return _required(argument, value, tuple(DTYPES), remedy)


def require_train_dtype(value: object, argument: str = "train_dtype") -> str | None:
    """ "bfloat16", "auto" or None.

    :raises ValueError: for anything else, float16 included."""
    remedy = (
        "None trains in the network's own precision. Gradients in float16 vanish unless the loss "
        "is scaled; bfloat16 has the range of single precision."
    )
    return _required(argument, value, ("bfloat16",), remedy)


def _required(argument: str, value: object, names: tuple[str, ...], remedy: str) -> str | None:
    told = str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
    if told is None or (isinstance(told, str) and told in (*names, "auto")):
        return told
    raise invalid(argument, f"'auto', {', '.join(map(repr, names))} or None", repr(value), remedy)


def taken(asked: str | None, device: torch.device) -> tuple[torch.dtype | None, str]:
    """The dtype that is computed in, and why; None is the network's own.

    :param asked: a name of DTYPES, "auto" or None."""
    if asked is None:
        return None, ""
    if asked in DTYPES:
        return DTYPES[asked], asked
    if multiplies_bfloat16(device):
        return torch.bfloat16, f"bfloat16, which {_named(device)} multiplies natively"
    return None, f"no bfloat16, which {_named(device)} does not multiply natively"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has units or instructions of its own for products of bfloat16.

    AMX and AVX-512 BF16 in processors, and CUDA from compute capability 8 on."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    asked: list[Any] = [getattr(torch.cpu, name, None) for name in names]
    return any(supported() for supported in asked if callable(supported))


def mixed(train_dtype: str | None, device: torch.device) -> AbstractContextManager[object]:
    """A block in which layers with weights compute in half precision, and weights keep theirs."""
    dtype, _ = taken(train_dtype, device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"


@torch.no_grad()
def lowered(layers: nn.Module, dtype: torch.dtype, kept: Collection[str] = ()) -> nn.Module:
    """A copy of the layers that computes in half precision; its weights take no gradient.

    A batch norm behind a convolution is folded into it before its weights are rounded; another
    keeps its own in the precision they had.

    :param kept: names of layers that do so, too."""
    copy = deepcopy(layers)
    for module in copy.modules():
        if isinstance(module, TimeDistributed):
            module.module = nn.Sequential(*_folded(list(module.module)))
    copy.requires_grad_(False)
    for name, module in copy.named_modules():
        if not isinstance(module, nn.modules.batchnorm._NormBase) and name not in kept:
            _cast(module, dtype)
    return copy


def _folded(modules: list[nn.Module]) -> list[nn.Module]:
    found = []
    while modules:
        module = modules.pop(0)
        if modules and foldable(module, modules[0]):
            weight, bias = folded_weights(module, modules.pop(0))
            module.weight, module.bias = nn.Parameter(weight), nn.Parameter(bias)
        found.append(module)
    return found


def _cast(module: nn.Module, dtype: torch.dtype) -> None:
    for name, weight in module._parameters.items():
        if weight is not None and weight.is_floating_point():
            module._parameters[name] = nn.Parameter(weight.detach().to(dtype), False)
    for name, buffer in module._buffers.items():
        if buffer is not None and buffer.is_floating_point():
            module._buffers[name] = buffer.to(dtype)
