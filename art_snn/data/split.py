"""Splits and draws of samples that keep the classes' proportions."""

import numpy as np
from sklearn.model_selection import train_test_split

from art_snn.checks import invalid, require, require_count

TEST_SHARE = 0.2
"""Share for testing where a data set has no split of its own and no other is asked for."""


def refuse_share(test_share: float | None, owner: str) -> None:
    """Refuse a share for testing where there is a split already."""
    expected = f"None, since {owner} has training and test samples of its own"
    require(test_share is None, "test_share", expected, repr(test_share), "Leave it out.")


def stratified(
    y: np.ndarray, share: float, seed: int, argument: str
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two disjoint parts that hold all samples, shuffled, each class in proportion.

    The share, between 0 and 1, is that of the second part; complaints name it as `argument`."""
    remedy = "A usual share is 0.1 or 0.2."
    require(0 < share < 1, argument, "a share between 0 and 1", repr(share), remedy)
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        single = ", ".join(map(str, classes[counts < 2][:5]))
        expected = "at least two samples of every class, one for each part"
        remedy = "Add samples of that class, or leave it out."
        raise invalid("y", expected, f"one of class {single}", remedy)
    held = int(np.ceil(share * len(y)))
    expected = f"a share that leaves each part one sample of each of {len(classes)} classes"
    got = f"{share!r} of {len(y)} samples"
    remedy = "Take a share nearer to 0.5, or more samples."
    require(min(held, len(y) - held) >= len(classes), argument, expected, got, remedy)
    rows = np.arange(len(y))
    train, test = train_test_split(rows, test_size=share, random_state=seed, stratify=y)
    return train, test


def thin(y: np.ndarray, count: int | None, seed: int, argument: str) -> np.ndarray:
    """Indices of `count` samples whose classes are in proportion, none drawn twice; None is all.

    One sample of every class comes first, as far as the count reaches; after that the classes take
    turns by their shares. A smaller draw of the same seed is the beginning of a larger one."""
    if count is None:
        return np.arange(len(y))
    remedy = f"There are {len(y)} samples; leave it out for all of them."
    count = require_count(argument, count, remedy=remedy)
    require(count <= len(y), argument, f"at most {len(y)}", count, remedy)
    shuffled = np.random.default_rng(seed).permutation(len(y))
    turn = np.empty(len(y))
    for members in (np.flatnonzero(y[shuffled] == label) for label in np.unique(y)):
        turn[members] = np.arange(len(members)) / len(members)
    return shuffled[np.argsort(turn, kind="stable")][:count]
