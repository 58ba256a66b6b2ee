"""Single bits that flip in files."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """The content with one bit of one byte flipped."""
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def flips(
    file: Path, content: bytes, unseen: Callable[[], bool], every: int = 97
) -> list[tuple[int, int]]:
    """Flip one bit of every 97th byte of a file, the bits in turn: those that go unseen.

    :param content: of the whole file, which is left damaged.
    :param unseen: whether nothing is complained about."""
    missed = []
    for turn, place in enumerate(range(0, len(content), every)):
        file.write_bytes(flipped(content, place, turn % 8))
        if unseen():
            missed.append((place, turn % 8))
    return missed


def random_flips(
    file: Path, content: bytes, unseen: Callable[[], bool], draw: random.Random, count: int = 30
) -> list[tuple[int, int]]:
    """Flip a bit anywhere, so many times: those that go unseen."""
    places = [(draw.randrange(len(content)), draw.randrange(8)) for _ in range(count)]
    missed = []
    for place in places:
        file.write_bytes(flipped(content, *place))
        if unseen():
            missed.append(place)
    return missed
