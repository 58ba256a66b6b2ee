"""The seed of this run of the tests."""

import os

# What holds for one network must hold for its sisters: `make test-processors` draws others.
SEED = int(os.environ.get("ART_SNN_TEST_SEED", "0"))


def varied(seed: int = 0) -> int:
    """The seed of a network or of samples, another one under every ART_SNN_TEST_SEED."""
    return seed + 1000 * SEED
