"""Classes that look and compute as those of the spiking frameworks, which tests need not install.

Each carries the qualified name of the class it stands for, keeps its state where that one keeps it
and computes in the same order, so that spikes agree bit for bit; tests/frameworks compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def of(module: str) -> Callable[[T], T]:
    """Gives a class or function the name that it would have in that module."""

    def named(thing: T) -> T:
        thing.__module__ = module
        return thing

    return named
