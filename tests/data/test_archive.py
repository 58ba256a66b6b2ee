"""Files of arrays that state more than they hold, or hold more than memory does."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from art_snn.checks import ArgumentError
from art_snn.data import from_npz
from tests.data.test_npz import arrays, saved


def member(shape: tuple[int, ...], content: bytes = b"", kind: str = "|u1") -> bytes:
    """What a .npy file holds, with any shape in its header."""
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def zipped(path: Path, method: int = zipfile.ZIP_DEFLATED, **change: bytes) -> Path:
    """A file of good arrays but for the members that are given as bytes."""
    content = {name: io.BytesIO() for name in arrays()}
    for name, array in arrays().items():
        np.save(content[name], array)
    members = {name: stream.getvalue() for name, stream in content.items()} | change
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def bomb(path: Path, size: int) -> Path:
    """Training images of that many zeros, which take a thousandth on disk."""
    shape = (6, 1, 1000, size // 6000)
    with zipfile.ZipFile(zipped(path, x_train=b""), "r") as whole:
        rest = {name: whole.read(name) for name in whole.namelist() if name != "x_train.npy"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in rest.items():
            archive.writestr(name, data)
        with archive.open("x_train.npy", "w") as stream:
            stream.write(member(shape))
            for _ in range(6 * 1000):
                stream.write(bytes(shape[-1]))
    return path


def test_an_honest_bomb_is_refused_before_it_takes_memory(tmp_path, traced):
    path = bomb(tmp_path / "bomb.npz", 300_000_000)
    assert path.stat().st_size < 2_000_000
    tracemalloc.reset_peak()
    message = r"^data: .*at most 100,000,000 bytes, .*bomb\.npz that states 300,00\d,\d{3} bytes"
    with pytest.raises(ArgumentError, match=message):
        from_npz(path, largest=100_000_000)
    assert traced() < 1_000_000


def test_the_sizes_of_the_arrays_that_are_needed_count_together(tmp_path):
    path = saved(tmp_path, another=np.zeros(100_000))
    with zipfile.ZipFile(path) as archive:
        size = sum(archive.getinfo(f"{name}.npy").file_size for name in arrays())
    assert len(from_npz(path, largest=size).x_train) == 6
    with pytest.raises(ArgumentError, match=rf"at most {size - 1:,} bytes, .* {size:,} bytes\."):
        from_npz(path, largest=size - 1)


@pytest.mark.parametrize("largest", [0, -1, 1.5, None])
def test_a_largest_size_that_is_none_is_refused(largest, tmp_path):
    with pytest.raises(ArgumentError, match=r"^largest: expected a whole number >= 1, got"):
        from_npz(saved(tmp_path), largest=largest)


@pytest.mark.parametrize(
    "shape",
    [(10**12,), (10**6, 1, 1000, 1000), (0, 10**30), (-1,), (10**40,), (5, 1, 4, 5)],
    ids=str,
)
def test_a_shape_that_the_content_does_not_have_takes_no_memory(shape, tmp_path, traced):
    path = zipped(tmp_path / "x.npz", x_train=member(shape, bytes(120)))
    tracemalloc.reset_peak()
    with pytest.raises(ArgumentError, match=r"^data: .*cannot be read \(x_train\.npy of"):
        from_npz(path)
    assert traced() < 1_000_000


@pytest.mark.parametrize("stated", [100, 10**9])
def test_a_member_of_another_size_than_the_archive_states_is_damaged(stated, tmp_path, traced):
    path = zipped(tmp_path / "x.npz", zipfile.ZIP_STORED, y_test=member((stated,), bytes(100)))
    content = path.read_bytes()
    true = len(member((stated,), bytes(100))).to_bytes(4, "little")
    path.write_bytes(content.replace(true * 2, true + (stated + 128).to_bytes(4, "little")))
    assert (content == path.read_bytes()) == (stated == 100)
    tracemalloc.reset_peak()
    with pytest.raises(ArgumentError, match=r"^(data|y_test): expected"):
        from_npz(path, largest=10**8)
    assert traced() < 1_000_000


def test_members_that_numpy_does_not_write_so_are_refused(tmp_path):
    path = zipped(tmp_path / "x.npz", zipfile.ZIP_BZIP2)
    with pytest.raises(ArgumentError, match=r"x_train\.npy is not compressed as numpy"):
        from_npz(path)
    later = npy.magic(3, 0) + member((6,))[8:]
    with pytest.raises(ArgumentError, match=r"x_train\.npy is of the format \(3, 0\)"):
        from_npz(zipped(tmp_path / "x.npz", x_train=later))


def test_one_bare_array_is_not_even_read(tmp_path, traced):
    (tmp_path / "x.npz").write_bytes(member((10**12,), bytes(100)))
    with pytest.raises(ArgumentError, match=r"cannot be read \(File is not a zip file\)"):
        from_npz(tmp_path / "x.npz")
    assert traced() < 1_000_000
