"""Tensors between host and device, with as few waits for each other as that takes."""

from collections.abc import Sequence

import torch
from torch import Tensor


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; on its way to a CUDA one from pinned memory, which nobody waits for."""
    if device.type != "cuda" or x.device.type != "cpu" or x.requires_grad:
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def fetched(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors on the CPU, without a graph: those there as they are, all of a card in one transfer.

    Those with gaps or another order of axes come one by one, since they keep these."""
    cards: dict[torch.device, list[int]] = {}
    for place, tensor in enumerate(tensors):
        if tensor.is_cuda and tensor.layout is torch.strided and tensor.is_contiguous():
            cards.setdefault(tensor.device, []).append(place)
    fetched = {place: copy for places in cards.values() for place, copy in _flat(tensors, places)}
    return [fetched.get(i, tensor.detach()).cpu() for i, tensor in enumerate(tensors)]


@torch.no_grad()
def _flat(tensors: Sequence[Tensor], places: Sequence[int]) -> list[tuple[int, Tensor]]:
    """The tensors at some places, of one device, by way of one buffer of bytes."""
    parts = [tensors[place].detach().reshape(-1).view(torch.uint8) for place in places]
    values = torch.split(torch.cat(parts).cpu(), [len(part) for part in parts])
    # Each with memory of its own, as files are made of that.
    return [
        (place, part.clone().view(tensors[place].dtype).view(tensors[place].shape))
        for place, part in zip(places, values, strict=True)
    ]
