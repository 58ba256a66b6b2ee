"""Images and event frames from a file."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_snn.checks import ArgumentError
from art_snn.data import from_npz
from art_snn.files import write_arrays
from tests.faults.flips import flips


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


def test_images_that_can_be_read_both_ways_need_their_axes_to_be_told(tmp_path):
    path = saved(tmp_path, **arrays(shape=(3, 4, 3)))
    message = (
        r"^axes: expected NCHW or NHWC, since both suit x_train of shape \(6, 3, 4, 3\), got "
        r"neither\. Say which axis holds the channels: axes='NCHW' or 'NHWC', --axes in commands\."
    )
    with pytest.raises(ValueError, match=message):
        from_npz(path)
    for axes, order in (("NCHW", (0, 1, 2, 3)), ("NHWC", (0, 3, 1, 2))):
        data = from_npz(path, axes=axes)
        for name in ("x_train", "x_test"):
            expected = arrays(shape=(3, 4, 3))[name].transpose(order)
            assert np.array_equal(getattr(data, name), expected)
            assert getattr(data, name).flags.c_contiguous


@pytest.mark.parametrize(("axes", "shape"), [("NCHW", (3, 4, 5)), ("NHWC", (4, 5, 3))])
def test_axes_that_are_told_although_they_are_seen_are_taken(axes, shape, tmp_path):
    path = saved(tmp_path, **arrays(shape=shape))
    assert from_npz(path, axes=axes).input_shape == from_npz(path).input_shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        *(("NHWC", (3, 4, 5)), ("NCHW", (4, 5, 3)), ("nhwc", (4, 5, 3)), ("CHWN", (3, 4, 3))),
        *(("NCHW", (4, 5)), ("NHWC", (3, 2, 4, 5))),
    ],
)
def test_axes_that_the_images_do_not_have_are_refused(axes, shape, tmp_path):
    message = (
        r"^axes: expected NCHW or NHWC, as the images have them, with C = 1 or 3, got "
        rf"'{axes}' for x_train of shape {re.escape(str((6, *shape)))}\. Leave it out, or correct"
    )
    with pytest.raises(ValueError, match=message):
        from_npz(saved(tmp_path, **arrays(shape=shape)), axes=axes)


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
    assert (data.name, data.value_range) == ("whole", (0, 1))
    assert (len(data.x_train), len(data.x_test)) == (16, 4)
    assert sorted(numbers(data.x_train) + numbers(data.x_test)) == list(range(20))
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert [number % 2 for number in numbers(x)] == y.tolist(), "labels go with their images"
        assert np.bincount(y).tolist() == [len(y) // 2] * 2
    again, other = from_npz(unsplit(tmp_path)), from_npz(unsplit(tmp_path), seed=1)
    assert np.array_equal(again.x_test, data.x_test)
    assert not np.array_equal(other.x_test, data.x_test)


def test_the_share_for_testing_is_chosen(tmp_path):
    data = from_npz(unsplit(tmp_path), test_share=0.5)
    assert (len(data.x_train), len(data.x_test)) == (10, 10)
    for share in (0, 1, -0.5):
        with pytest.raises(ValueError, match=r"^test_share: expected a share between 0 and 1, got"):
            from_npz(unsplit(tmp_path), test_share=share)
    with pytest.raises(ValueError, match=r"^test_share: expected a share that leaves each part"):
        from_npz(unsplit(tmp_path), test_share=0.01)


def test_a_share_beside_a_split_is_refused(tmp_path):
    message = (
        r"^test_share: expected None, since .*images\.npz has training and test samples of its "
        r"own, got 0\.2\. Leave it out\."
    )
    with pytest.raises(ValueError, match=message):
        from_npz(saved(tmp_path), test_share=0.2)


def test_event_frames_and_ranges_are_split_as_well(tmp_path):
    x = np.arange(20 * 3 * 2 * 4).reshape(20, 3, 2, 2, 2)
    data = from_npz(unsplit(tmp_path, x=x), (0, 500))
    assert (data.events, data.value_range, data.input_shape) == (True, (0, 500), (3, 2, 2, 2))
    assert sorted(np.concatenate([data.x_train, data.x_test])[:, 0, 0, 0, 0]) == [
        *range(0, 480, 24)
    ]


def test_a_split_beside_x_and_y_is_taken_whole_and_a_part_of_one_is_refused(tmp_path):
    path = unsplit(tmp_path, **arrays())
    assert np.array_equal(from_npz(path).x_test, arrays()["x_test"])
    message = (
        r"^data: expected the arrays x_train, y_train, x_test, y_test, or x and y to be split, got "
        r".*whole\.npz with x, y, x_train\."
    )
    with pytest.raises(ValueError, match=message):
        from_npz(unsplit(tmp_path, x_train=arrays()["x_train"]))


def test_a_complaint_about_samples_without_a_split_names_their_own_arrays(tmp_path):
    with pytest.raises(ValueError, match=r"^y: expected 20 class indices from 0, got float64"):
        from_npz(unsplit(tmp_path, y=np.zeros(20)))
    with pytest.raises(ValueError, match=r"^x: expected uint8, or values from 0 to 1, got int64"):
        from_npz(unsplit(tmp_path, x=np.full((20, 1, 2, 2), 2)))
    with pytest.raises(ValueError, match=r"^y: expected at least two samples of every class"):
        from_npz(unsplit(tmp_path, y=np.arange(20) // 19))


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_whole_type_are_taken_and_counted_over_both_parts(kind, tmp_path):
    data = from_npz(saved(tmp_path, y_test=np.array([1, 6], dtype=kind)))
    assert data.y_test.dtype == np.int64
    assert list(data.y_test) == [1, 6]
    assert data.classes == 7


def test_a_missing_file_is_reported_as_such(tmp_path):
    message = r"^data: expected a \.npz file, but .* does not exist\."
    with pytest.raises(FileNotFoundError, match=message):
        from_npz(tmp_path / "none.npz")


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
        r"(?s)^data: expected a \.npz file of arrays, got .*images\.npz, which (cannot be read \("
        r".*\)\. Write it with numpy\.savez\.|is cut off or damaged at its end\. Take another copy)"
    )
    with pytest.raises(ValueError, match=message):
        from_npz(path)


def test_every_flipped_bit_of_recordings_that_were_kept_is_found(tmp_path):
    path = tmp_path / "frames.npz"
    write_arrays(path, **arrays())
    content = path.read_bytes()

    def unseen():
        try:
            from_npz(path)
        except ArgumentError:
            return False
        return True

    assert flips(path, content, unseen) == []
    path.write_bytes(content)
    assert len(from_npz(path).x_train) == len(arrays()["x_train"])


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
