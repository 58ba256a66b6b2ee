"""Compressed files in the idx format of MNIST."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from art_snn.checks import invalid

BYTES = 8
"""The idx format's number for unsigned bytes."""


def read(path: Path) -> np.ndarray:
    """The array of bytes in a gzip-compressed idx file, of the shape that its head names.

    :raises ValueError: when the file is damaged or holds anything but unsigned bytes.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        zeros, kind, axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{axes}I", content, 4)
        if (zeros, kind) != (0, BYTES) or len(content) != 4 + 4 * axes + math.prod(shape):
            raise ValueError("its head does not fit its length")
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        got = f"{path}, which cannot be read ({error})"
        expected = "a gzip-compressed idx file of bytes"
        raise invalid("data", expected, got, "Install or download it again.") from error
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
