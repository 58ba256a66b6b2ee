"""Random states of torch, numpy and Python for the length of a block."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's, numpy's and Python's global random states set to a seed, and put back afterwards.

    ART draws from those of numpy and Python, layers and encoders from torch's."""
    state, own = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(int(seed))
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
            random.setstate(own)
