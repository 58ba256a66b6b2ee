"""Parts of a batch that are worked on at a time, so that a processor's cache holds them."""

from torch import Tensor

CACHED_ELEMENTS = 2**20
"""Elements of one tensor in a block, on the CPU."""


def blocks(x: Tensor, steps: int = 1) -> list[slice]:
    """Slices of the batch axis of x [T, N, ...], of which `steps` time steps fit into the cache."""
    samples = x.shape[1]
    size = samples
    if x.device.type == "cpu":
        size = CACHED_ELEMENTS * samples // max(1, steps * x[0].numel())
    size = max(1, size)
    return [slice(start, start + size) for start in range(0, samples, size)]
