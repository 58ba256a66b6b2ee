"""Random states for the length of a block, and random numbers of a sample."""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from operator import methodcaller

import numpy as np
import torch
from torch import Tensor


@contextmanager
def fix_seed(seed: int) -> Iterator[None]:
    """Set torch's, numpy's and Python's global random states to a seed, and put them back after."""
    of_numpy = np.random.get_state()  # noqa: NPY002
    of_python = random.getstate()
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(int(seed))
        try:
            yield
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)


def random_state() -> str:
    """The global random states of torch, numpy, Python and CUDA devices, as JSON."""
    of_torch = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    states = (np.random.get_state(), random.getstate(), of_torch)  # noqa: NPY002
    return json.dumps(states, default=methodcaller("tolist"))


def restore_random_state(state: str) -> None:
    """Set the states of :func:`random_state` again, on a machine of as many devices."""
    of_numpy, of_python, of_torch = json.loads(state)
    np.random.set_state(of_numpy)  # noqa: NPY002
    version, words, spare = of_python
    random.setstate((version, tuple(words), spare))
    first, *cards = (
        torch.tensor(one, dtype=torch.uint8, device="cpu") for one in of_torch
    )
    torch.set_rng_state(first)
    torch.cuda.set_rng_state_all(cards)


def uniform_noise(
    x: Tensor, seed: int, draw: int = 0, shape: tuple[int, ...] | None = None
) -> Tensor:
    """Numbers in (-1, 1) for every sample, from a seed of its own.

    That is made of the sample's values in single precision. So the numbers are the same
    alone, in any batch and on any device, and equal samples have equal ones.

    :param draw: distinguishes several draws of one sample.
    :param shape: of the numbers of a sample; None: that of the sample."""
    noise = torch.empty(len(x), *(shape or x.shape[1:]), dtype=x.dtype, device="cpu")
    for row, sample in zip(noise, x.detach().to("cpu", torch.float32), strict=True):
        text = f"{seed}, {draw}, ".encode() + sample.contiguous().numpy().tobytes()
        own_seed = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
        generator = torch.Generator().manual_seed(own_seed)
        numbers = torch.rand(
            row.shape, generator=generator, dtype=torch.float64, device="cpu"
        )
        row.copy_(numbers.mul_(2).sub_(1))
    return noise.to(x.device)
