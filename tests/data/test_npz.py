"""Images and event frames from a file."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_snn.data import from_npz


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


def test_images_of_floating_point_come_back_as_they_were_saved(tmp_path):
    expected = arrays()
    for given in (saved(tmp_path), str(saved(tmp_path))):
        data = from_npz(given)
        assert data.name == "images"
        assert (data.input_shape, data.classes) == ((1, 4, 5), 3)
        for name, array in expected.items():
            found = getattr(data, name)
            assert np.array_equal(found, array)
            assert found.dtype == (np.float32 if name.startswith("x") else np.int64)


PRESENT = {
    "channels first": lambda x: x,
    "channels last": lambda x: x.transpose(0, 2, 3, 1),
    "no channel": lambda x: x[:, 0],
}


@pytest.mark.parametrize(
    ("form", "channels"),
    [
        ("channels first", 1),
        ("channels first", 3),
        ("channels last", 1),
        ("channels last", 3),
        ("no channel", 1),
    ],
)
def test_bytes_become_shares_with_channels_first(form, channels, tmp_path):
    draw = np.random.default_rng(0)
    images = {
        name: draw.integers(0, 256, (count, channels, 4, 5), dtype=np.uint8)
        for name, count in (("x_train", 6), ("x_test", 2))
    }
    data = from_npz(saved(tmp_path, **{name: PRESENT[form](x) for name, x in images.items()}))
    for name, x in images.items():
        found = getattr(data, name)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert np.allclose(found, x / 255, atol=1e-7)
    assert data.input_shape == (channels, 4, 5)


def test_three_rows_of_three_channels_are_read_with_channels_first(tmp_path):
    x = arrays(shape=(3, 4, 3))
    data = from_npz(saved(tmp_path, **x))
    assert data.input_shape == (3, 4, 3)
    assert np.array_equal(data.x_train, x["x_train"])


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_whole_type_are_taken_and_counted_over_both_parts(kind, tmp_path):
    data = from_npz(saved(tmp_path, y_test=np.array([1, 6], dtype=kind)))
    assert data.y_test.dtype == np.int64
    assert list(data.y_test) == [1, 6]
    assert data.classes == 7


@pytest.mark.parametrize("place", ["none.npz", "."])
def test_a_missing_file_is_reported_as_such(place, tmp_path):
    message = r"^data: expected a \.npz file, but .* does not exist\."
    with pytest.raises(FileNotFoundError, match=message):
        from_npz(tmp_path / place)


def npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def pickled(path: Path) -> None:
    np.savez(path, **arrays() | {"y_test": np.array([{}, {}], dtype=object)})


def truncated(path: Path) -> None:
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:500])


def altered(path: Path) -> None:
    """One byte of the first array's content is another."""
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)


def altered_where_compressed(path: Path) -> None:
    """The first array's compressed content is no deflate stream any more."""
    np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    content[60:100] = b"\xff" * 40
    path.write_bytes(content)


def zipped_text(path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", "just words")
    path.write_bytes(content.getvalue())


UNREADABLE = {
    "text": lambda path: path.write_text("just words\n" * 20),
    "empty": lambda path: path.write_bytes(b""),
    ".npy": npy,
    "pickled": pickled,
    "truncated": truncated,
    "altered": altered,
    "altered where compressed": altered_where_compressed,
    "zipped text": zipped_text,
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_file_of_arrays_is_refused(kind, tmp_path):
    path = tmp_path / "images.npz"
    UNREADABLE[kind](path)
    message = (
        r"(?s)^data: expected a \.npz file of arrays, got .*images\.npz, which cannot be read "
        r"\(.*\)\. Write it with numpy\.savez\."
    )
    with pytest.raises(ValueError, match=message):
        from_npz(path)


@pytest.mark.parametrize("name", arrays())
def test_a_missing_array_is_named_among_those_that_are_needed(name, tmp_path):
    found = ", ".join(other for other in arrays() if other != name)
    message = rf"^data: expected the arrays x_train, .*, got .*images\.npz with {found}\. Write"
    with pytest.raises(ValueError, match=message):
        from_npz(saved(tmp_path, **{name: None}))


def test_a_file_without_any_array_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^data: expected the arrays .* with none\."):
        from_npz(saved(tmp_path, **dict.fromkeys(arrays())))


@pytest.mark.parametrize("name", ["x_train", "x_test"])
@pytest.mark.parametrize(
    "shape", [(6, 64), (6, 2, 4, 4), (6, 4, 4, 2), (0, 1, 4, 5), (0, 4, 2, 4, 5), (6,)], ids=str
)
def test_what_has_no_form_of_images_is_refused(shape, name, tmp_path):
    message = (
        r"expected images \[N, H, W\], \[N, H, W, C\] or \[N, C, H, W\] with C = 1 or 3, "
        r"or event frames \[N, T, C, H, W\], got "
    )
    with pytest.raises(ValueError, match=rf"^{name}: {message}shape {re.escape(str(shape))}\."):
        from_npz(saved(tmp_path, **{name: np.zeros(shape, np.float32)}))


@pytest.mark.parametrize(
    ("value", "kind", "got"),
    [
        (-0.1, np.float32, r"float32 from -0\.1 to"),
        (1.5, np.float64, r"float64 from .* to 1\.5"),
        (255, np.int64, r"int64 from 0 to 255"),
        (np.nan, np.float32, r"float32 from nan to nan"),
        (np.inf, np.float32, r"float32 from .* to inf"),
    ],
)
@pytest.mark.parametrize("name", ["x_train", "x_test"])
def test_images_out_of_range_are_refused(value, kind, got, name, tmp_path):
    x = np.zeros((2, 1, 4, 5), dtype=kind)
    x[1, 0, 2, 2] = value
    with pytest.raises(
        ValueError, match=rf"^{name}: expected uint8, or values from 0 to 1, got {got}"
    ):
        from_npz(saved(tmp_path, **{name: x}))


@pytest.mark.parametrize("kind", [complex, "U3"], ids=str)
def test_images_of_no_real_numbers_are_refused(kind, tmp_path):
    with pytest.raises(ValueError, match=r"^x_train: expected real numbers, got"):
        from_npz(saved(tmp_path, x_train=np.zeros((6, 1, 4, 5)).astype(kind)))


@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (lambda n: np.zeros(n), r"float64 of shape \(\d,\)"),
        (lambda n: np.eye(n, dtype=np.int64), r"int64 of shape \(\d, \d\)"),
        (lambda n: np.zeros(n + 1, dtype=np.int64), r"int64 of shape \(\d,\)"),
        (lambda n: np.arange(n) - 1, r"int64 of shape \(\d,\)"),
        (lambda n: np.zeros(n, dtype=bool), r"bool of shape \(\d,\)"),
    ],
    ids=["floating point", "one-hot", "too many", "negative", "truth values"],
)
def test_what_are_no_class_indices_is_refused(labels, got, name, tmp_path):
    count = len(arrays()[name])
    with pytest.raises(
        ValueError, match=rf"^{name}: expected {count} class indices from 0, got {got}"
    ):
        from_npz(saved(tmp_path, **{name: labels(count)}))


def test_test_images_of_another_size_are_refused(tmp_path):
    message = r"^x_test: expected samples of shape \(1, 4, 5\), as in x_train, got \(1, 5, 5\)"
    with pytest.raises(ValueError, match=message):
        from_npz(saved(tmp_path, x_test=np.zeros((2, 5, 5), np.uint8)))


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


def test_event_frames_may_be_given_a_range(tmp_path):
    data = from_npz(saved(tmp_path, **frames()), value_range=(0, 12))
    assert data.clip_values() == (0, 12)
    assert data.x_test.max() == 8


def test_images_have_the_range_of_shares(tmp_path):
    data = from_npz(saved(tmp_path))
    assert (data.value_range, data.events, data.steps) == ((0, 1), False, None)


@pytest.mark.parametrize(("kind", "value_range"), [(np.uint8, (0, 255)), (np.float32, (-1, 255))])
def test_images_with_a_range_are_not_scaled(kind, value_range, tmp_path):
    x = np.arange(6 * 20).reshape(6, 1, 4, 5).astype(kind)
    data = from_npz(saved(tmp_path, x_train=x), value_range=value_range)
    assert np.array_equal(data.x_train, x)
    assert data.value_range == value_range


@pytest.mark.parametrize(
    ("value_range", "message"),
    [
        ((0, 7), r"^x_test: expected values within value_range, 0 to 7, got values from 0 to 8\."),
        ((1, 9), r"^x_train: expected values within value_range, 1 to 9, got values from 0 to 6\."),
        ((9, 0), r"^value_range: expected \(low, high\), two finite numbers with low < high"),
    ],
)
def test_a_range_that_does_not_hold_the_counts_is_refused(value_range, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        from_npz(saved(tmp_path, **frames()), value_range=value_range)


def test_event_frames_that_are_not_finite_are_refused(tmp_path):
    given = frames(np.float32)
    given["x_train"][0, 0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"^x_train: expected finite values, got values from 0 to"):
        from_npz(saved(tmp_path, **given))


def test_event_frames_and_images_do_not_mix(tmp_path):
    x_train = frames()["x_train"]
    with pytest.raises(ValueError, match=r"^x_test: expected samples of shape \(3, 2, 4, 5\)"):
        from_npz(saved(tmp_path, x_train=x_train))
