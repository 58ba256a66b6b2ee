"""Digests of what a run depends on, to know it again when it is taken up."""

from __future__ import annotations

import hashlib
import re

import numpy as np


def digest(settings: object, *arrays: np.ndarray) -> str:
    """Changes with whatever the settings tell in their repr, and with the values of the arrays.

    Places in memory, which the repr of a function tells, are not counted: they change at every
    start of the program.
    """
    told = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(settings))
    found = hashlib.sha256(told.encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
