"""Random states of torch, numpy and Python for the length of a block."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from operator import methodcaller

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set torch's, numpy's and Python's global random states to a seed, and put them back after."""
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002
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
    """These states as they are, and those of CUDA devices, as JSON."""
    cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = np.random.get_state(), random.getstate(), [torch.get_rng_state(), *cards]  # noqa: NPY002
    return json.dumps(states, default=methodcaller("tolist"))


def restore_random_state(state: str) -> None:
    """Set them to what :func:`random_state` gave, on a machine of as many devices."""
    of_numpy, (version, words, spare), of_torch = json.loads(state)
    np.random.set_state(of_numpy)  # noqa: NPY002
    random.setstate((version, tuple(words), spare))
    first, *cards = (torch.tensor(one, dtype=torch.uint8, device="cpu") for one in of_torch)
    torch.set_rng_state(first)
    torch.cuda.set_rng_state_all(cards)
