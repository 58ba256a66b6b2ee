"""Arrays from .npz files, whose headers may state anything."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from art_snn.checks import invalid, require
from art_snn.files import damage

LARGEST = 16 * 2**30
"""Bytes that the arrays of one file may unpack to; a file of a thousandth of that can hold them."""

SPLIT, WHOLE = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")

# The third version is for names of fields, which no array of numbers has.
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; zipfile unpacks others a whole block at once, however large that becomes."""


def arrays(path: Path, largest: int = LARGEST) -> dict[str, np.ndarray]:
    """The arrays of :data:`SPLIT`, or else of :data:`WHOLE`; none is unpacked unless all may be.

    A file is refused where it is damaged, lacks one or states more than `largest` bytes."""
    if spoilt := damage(path, parts=False):
        remedy = "Take another copy, or write it again; frames of events are made again without it."
        raise invalid("data", "a .npz file of arrays", f"{path}, which {spoilt}", remedy)
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            whole = set(WHOLE) <= set(members) and not set(SPLIT) & set(members)
            needed = WHOLE if whole else SPLIT
            there = {name: members[name] for name in needed if name in members}
            size = sum(info.file_size for info in there.values())
            if size <= largest and len(there) == len(needed):
                return {name: _unpacked(archive, info) for name, info in there.items()}
    except Exception as error:
        # A damaged file fails in any way its bytes happen to lead to.
        got = f"{path}, which cannot be read ({error})"
        raise invalid("data", "a .npz file of arrays", got, "Write it with numpy.savez.") from error
    expected = f"the arrays {', '.join(SPLIT)}, or x and y to be split"
    got = f"{path} with {', '.join(members) or 'none'}"
    remedy = "Write it with numpy.savez(path, x_train=..., y_train=..., ...)."
    require(len(there) == len(needed), "data", expected, got, remedy)
    expected = f"arrays of at most {largest:,} bytes, unpacked"
    remedy = "Leave samples out, or allow more by from_npz(..., largest=...)."
    raise invalid("data", expected, f"{path} that states {size:,} bytes", remedy)


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array, whose header must fit the size of its member before memory is taken."""
    if info.compress_type not in _METHODS:
        raise ValueError(f"{info.filename} is not compressed as numpy does it")
    with archive.open(info) as member:
        version = npy.read_magic(member)
        if version not in _HEADERS:
            raise ValueError(f"{info.filename} is of the format {version}")
        shape, _, kind = _HEADERS[version](member)
        size = member.tell() + math.prod(shape) * kind.itemsize
    if not kind.hasobject and size != info.file_size:
        stated = f"{info.file_size:,} bytes states {kind} of shape {shape}"
        raise ValueError(f"{info.filename} of {stated}")
    with archive.open(info) as member:
        array: np.ndarray = npy.read_array(member, allow_pickle=False)
    return array
