"""Images and event frames from a file, which may state more than it holds."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from art_snn.checks import ArgumentError
from art_snn.data import Dataset, from_npz


def arrays(train: int = 6, test: int = 2, shape: tuple[int, ...] = (1, 4, 5)) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {
        "x_train": draw.random((train, *shape), dtype=np.float32),
        "y_train": np.arange(train) % 3,
        "x_test": draw.random((test, *shape), dtype=np.float32),
        "y_test": np.arange(test) % 3,
    }


def saved(folder: Path, **change: Any) -> Path:
    """A file of good arrays but for the changes; None leaves an array out."""
    path = folder / "images.npz"
    content = arrays() | change
    np.savez(path, **{name: array for name, array in content.items() if array is not None})
    return path


@pytest.mark.parametrize("order", "<>")
def test_images_of_floating_point_come_back_as_they_were_saved(order, tmp_path):
    expected = arrays()
    others = {k: array.astype(f"{order}{array.dtype.str[1:]}") for k, array in expected.items()}
    file = saved(tmp_path, **others)
    for given in (file, str(file)):
        data = from_npz(given)
        assert data.name == "images.npz"
        assert (data.input_shape, data.classes) == ((1, 4, 5), 3)
        for name, array in expected.items():
            assert np.array_equal(getattr(data, name), array)
            assert getattr(data, name).dtype == (np.float32 if name[0] == "x" else np.int64)
    assert (data.value_range, data.events, data.steps) == ((0, 1), False, None)


PRESENT = {
    "channels first": lambda x: x,
    "channels last": lambda x: x.transpose(0, 2, 3, 1),
    "no channel": lambda x: x[:, 0],
}


@pytest.mark.parametrize(
    ("form", "channels"), [*product(("channels first", "channels last"), (1, 3)), ("no channel", 1)]
)
def test_bytes_become_shares_with_channels_first(form, channels, tmp_path):
    draw = np.random.default_rng(0)
    images = {
        name: draw.integers(0, 256, (count, channels, 4, 5), dtype=np.uint8)
        for name, count in (("x_train", 6), ("x_test", 2))
    }
    data = from_npz(saved(tmp_path, **{name: PRESENT[form](x) for name, x in images.items()}))
    for name, x in images.items():
        shares = getattr(data, name)
        assert (shares.dtype, shares.flags.c_contiguous) == (np.float32, True)
        assert np.allclose(shares, x / 255, atol=1e-7)
    assert data.input_shape == (channels, 4, 5)


def unsplit(folder: Path, count: int = 20, **change: Any) -> Path:
    """A file of x and y alone, whose images hold their numbers."""
    path = folder / "whole.npz"
    x = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 1, 2, 2))
    np.savez(path, **{"x": x, "y": np.arange(count) % 2} | change)
    return path


def numbers(x: np.ndarray) -> list[int]:
    return np.rint(255 * x[:, 0, 0, 0]).astype(int).tolist()


def test_samples_without_a_split_are_split_by_class_and_seed(tmp_path):
    data = from_npz(unsplit(tmp_path))
    assert (data.name, data.value_range) == ("whole.npz", (0, 1))
    assert (len(data.x_train), len(data.x_test)) == (16, 4)
    assert sorted(numbers(data.x_train) + numbers(data.x_test)) == list(range(20))
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert [number % 2 for number in numbers(x)] == y.tolist(), "labels go with their images"
    assert not np.array_equal(from_npz(unsplit(tmp_path), seed=1).x_test, data.x_test)
    half = from_npz(unsplit(tmp_path), test_share=0.5)
    assert (len(half.x_train), len(half.x_test)) == (10, 10)


def test_a_split_beside_x_and_y_is_taken_whole(tmp_path):
    assert np.array_equal(from_npz(unsplit(tmp_path, **arrays())).x_test, arrays()["x_test"])


UNSUITED = [
    (saved, arrays(shape=(3, 4, 3)), {}, "x_train: .*both"),
    (saved, {}, {"test_share": 0.2}, "test_share: .*None"),
    *((saved, {}, {"largest": n}, "largest: .*>= 1") for n in (0, -1, 1.5, None)),
    (unsplit, {}, {"test_share": 0.01}, "test_share: .*a share"),
    (unsplit, {"x_train": arrays()["x_train"]}, {}, r"data: .*with x, y, x_train\."),
    (unsplit, {"y": np.zeros(20)}, {}, "y: .*20 class indices"),
    (unsplit, {"x": np.full((20, 1, 2, 2), 2)}, {}, "x: .*from 0 to 1, got int64"),
    (unsplit, {"y": np.arange(20) // 19}, {}, "test_share: .*every class"),
]


@pytest.mark.parametrize(("write", "change", "options", "words"), UNSUITED)
def test_arrays_and_options_that_do_not_suit_are_refused(write, change, options, words, tmp_path):
    with pytest.raises(ValueError, match=f"^{words}"):
        from_npz(write(tmp_path, **change), **options)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_whole_type_are_taken_and_counted_over_both_parts(kind, tmp_path):
    y = np.array([1, 6], dtype=kind)
    for data in (from_npz(saved(tmp_path, y_test=y)), Dataset("mine", **arrays() | {"y_test": y})):
        assert (data.y_test.dtype, data.y_test.tolist(), data.classes) == (np.int64, [1, 6], 7)


def content(save: Callable[..., None], *given: Any, **named: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, *given, **named)
    return stream.getvalue()


def zipped(path: Any, method: int = zipfile.ZIP_DEFLATED, **change: bytes) -> Any:
    """A file of good arrays but for the members that are given as bytes."""
    content = {name: io.BytesIO() for name in arrays()}
    for name, array in arrays().items():
        np.save(content[name], array)
    members = {name: stream.getvalue() for name, stream in content.items()} | change
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


WHOLE, SMALLER = content(np.savez, **arrays()), content(np.savez_compressed, **arrays())
UNREADABLE = {
    "text": b"just words\n" * 20,
    "empty": b"",
    ".npy": content(np.save, np.zeros(3)),
    "pickled": content(np.savez, **arrays() | {"y_test": np.array([{}, {}], dtype=object)}),
    "truncated": WHOLE[:500],
    "altered": WHOLE[:300] + bytes([WHOLE[300] ^ 0xFF]) + WHOLE[301:],
    # The first array's content is no deflate stream any more.
    "altered where compressed": SMALLER[:60] + b"\xff" * 40 + SMALLER[100:],
    "zipped text": content(zipped, **dict.fromkeys(arrays(), b"just words")),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_file_of_arrays_is_refused(kind, tmp_path):
    path = tmp_path / "images.npz"
    path.write_bytes(UNREADABLE[kind])
    with pytest.raises(ValueError, match=r"(?s)^data: .*cannot be read"):
        from_npz(path)


@pytest.mark.parametrize("names", [*([name] for name in arrays()), list(arrays())], ids=str)
def test_missing_arrays_are_named_among_those_that_are_needed(names, tmp_path):
    there = ", ".join(name for name in arrays() if name not in names) or "none"
    with pytest.raises(ValueError, match=rf"^data: .* with {there}\."):
        from_npz(saved(tmp_path, **dict.fromkeys(names)))


@pytest.mark.parametrize("name", ["x_train", "x_test"])
@pytest.mark.parametrize(
    "shape", [(6, 64), (6, 2, 4, 4), (6, 4, 4, 2), (0, 1, 4, 5), (0, 4, 2, 4, 5), (6,)], ids=str
)
def test_what_has_no_form_of_images_is_refused(shape, name, tmp_path):
    with pytest.raises(ValueError, match=rf"^{name}: .*images"):
        from_npz(saved(tmp_path, **{name: np.zeros(shape, np.float32)}))


@pytest.mark.parametrize(
    ("value", "kind"),
    [*((v, np.float32) for v in (-0.1, np.nan, np.inf)), (1.5, np.float64), (255, np.int64)],
)
@pytest.mark.parametrize("name", ["x_train", "x_test"])
def test_images_out_of_range_are_refused(value, kind, name, tmp_path):
    x = np.zeros((2, 1, 4, 5), dtype=kind)
    x[1, 0, 2, 2] = value
    got = rf"{np.dtype(kind)} from .*{abs(value)}"
    with pytest.raises(ValueError, match=rf"^{name}: .*from 0 to 1, got {got}"):
        from_npz(saved(tmp_path, **{name: x}))


def frames(kind: type = np.int16) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        "x_train": draw.integers(0, 7, (6, 3, 2, 4, 5)).astype(kind),
        "x_test": draw.integers(0, 9, (2, 3, 2, 4, 5)).astype(kind),
    }


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64, bool])
def test_event_frames_are_taken_as_they_are_and_their_range_stays_open(kind, tmp_path):
    given = frames(kind)
    data = from_npz(saved(tmp_path, **given))
    for name, x in given.items():
        assert np.array_equal(getattr(data, name), x)
        assert getattr(data, name).dtype == np.float32
    assert (data.events, data.steps, data.input_shape) == (True, 3, (3, 2, 4, 5))
    assert data.value_range is None


@pytest.mark.parametrize(
    ("change", "value_range"),
    [
        (frames(), (0, 12)),
        ({"x_train": np.arange(6 * 20, dtype=np.uint8).reshape(6, 1, 4, 5)}, (0, 255)),
        ({"x_train": np.arange(6 * 20, dtype=np.float32).reshape(6, 1, 4, 5)}, (-1, 255)),
    ],
    ids=["frames", "bytes", "floating point"],
)
def test_samples_with_a_range_are_not_scaled(change, value_range, tmp_path):
    data = from_npz(saved(tmp_path, **change), value_range=value_range)
    assert np.array_equal(data.x_train, change["x_train"])
    assert data.value_range == data.clip_values() == value_range


def member(shape: tuple[int, ...], content: bytes = b"", kind: str = "|u1") -> bytes:
    """What a .npy file holds, with any shape in its header."""
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def bomb(folder: Path, size: int) -> Path:
    """Training images of that many zeros, which take a thousandth on disk."""
    path, shape = saved(folder, x_train=None), (6, 1, 1000, size // 6000)
    archive = zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open("x_train.npy", "w") as stream:
        stream.write(member(shape))
        for _ in range(6 * 1000):
            stream.write(bytes(shape[-1]))
    return path


def test_an_honest_bomb_is_refused_before_it_takes_memory(tmp_path, traced):
    path = bomb(tmp_path, 300_000_000)
    assert path.stat().st_size < 2_000_000
    tracemalloc.reset_peak()
    with pytest.raises(ArgumentError, match=r"^data: .*300,00\d,\d{3} bytes"):
        from_npz(path, largest=100_000_000)
    assert traced() < 1_000_000


def test_the_sizes_of_the_arrays_that_are_needed_count_together(tmp_path):
    path = saved(tmp_path, another=np.zeros(100_000))
    with zipfile.ZipFile(path) as archive:
        size = sum(archive.getinfo(f"{name}.npy").file_size for name in arrays())
    assert len(from_npz(path, largest=size).x_train) == 6
    with pytest.raises(ArgumentError, match=rf"{size:,} bytes, .* {size - 1:,}\)"):
        from_npz(path, largest=size - 1)


@pytest.mark.parametrize(
    "shape",
    [(10**12,), (10**6, 1, 1000, 1000), (0, 10**30), (-1,), (10**40,), (5, 1, 4, 5)],
    ids=str,
)
def test_a_shape_that_the_content_does_not_have_takes_no_memory(shape, tmp_path, traced):
    path = zipped(tmp_path / "x.npz", x_train=member(shape, bytes(120)))
    tracemalloc.reset_peak()
    with pytest.raises(ArgumentError, match=r"^data: .*x_train\.npy of"):
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
    with pytest.raises(ArgumentError, match="not compressed"):
        from_npz(path)
    later = npy.magic(3, 0) + member((6,))[8:]
    with pytest.raises(ArgumentError, match=r"cannot be read \(\(3, 0\)\)"):
        from_npz(zipped(tmp_path / "x.npz", x_train=later))


def test_labels_that_begin_at_one_are_refused_with_what_to_subtract(tmp_path):
    x, y = np.zeros((40, 1, 4, 4), np.float32), 1 + np.arange(40) % 4
    np.savez(tmp_path / "from_one.npz", x=x, y=y)
    with pytest.raises(ValueError, match=r"class 0 has no sample.*subtract 1"):
        from_npz(tmp_path / "from_one.npz")
