"""Single bits that flip in files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

Place = tuple[int, int]
"""A byte of a file, and a bit of it."""


def flipped(content: bytes, place: int, bit: int) -> bytes:
    """The content with one bit of one byte flipped."""
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def spread(content: bytes, every: int = 97) -> list[Place]:
    """Every 97th byte of a file, and the bits in turn."""
    return [(place, turn % 8) for turn, place in enumerate(range(0, len(content), every))]


def unseen_flips(
    file: Path, content: bytes, unseen: Callable[[], bool], places: Iterable[Place]
) -> list[Place]:
    """Flip one bit after the other: those that go unseen.

    :param content: of the whole file, which is left damaged.
    :param unseen: whether nothing is complained about."""
    missed = []
    for place in places:
        file.write_bytes(flipped(content, *place))
        if unseen():
            missed.append(place)
    return missed


def flips(file: Path, content: bytes, unseen: Callable[[], bool], every: int = 97) -> list[Place]:
    """Flip bits that are spread over the file: those that go unseen."""
    return unseen_flips(file, content, unseen, spread(content, every))
