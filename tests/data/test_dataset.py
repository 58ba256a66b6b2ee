"""Samples, labels and ranges that are accepted or refused; splits and draws of samples."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from art_snn.checks import ArgumentError
from art_snn.data import Dataset, from_npz
from tests.data.test_npz import arrays, saved


def numbered(y_train, y_test=None, shape=(1, 1, 1)):
    """Samples that hold their own number: training samples from 0, test samples from 10,000."""
    y_test = y_train if y_test is None else y_test
    x_train, x_test = (
        np.full((len(y), *shape), first) + np.arange(len(y)).reshape(-1, *[1] * len(shape))
        for y, first in ((y_train, np.float32(0)), (y_test, np.float32(10_000)))
    )
    samples = (x.astype(np.float32) for x in (x_train, x_test))
    return Dataset("few", next(samples), y_train, next(samples), y_test, (0, 20_000))


def numbers(x: np.ndarray) -> list[int]:
    return x.reshape(len(x), -1)[:, 0].astype(int).tolist()


COUNTS = st.lists(st.integers(10, 60), min_size=2, max_size=5)


def labels(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


@settings(deadline=None, max_examples=30)
@given(counts=COUNTS, share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_validation_samples_are_training_samples_each_class_in_proportion(counts, share, seed):
    data = numbered(labels(counts))
    split = data.hold_out(share, seed)
    kept, held = numbers(split.x_train), numbers(split.x_test)
    assert sorted(kept + held) == list(range(sum(counts)))
    assert np.array_equal(split.y_train, data.y_train[kept])
    assert np.array_equal(split.y_test, data.y_train[held])
    expected = np.multiply(counts, len(held) / sum(counts))
    assert np.abs(np.bincount(split.y_test) - expected).max() <= 1
    assert split.value_range == data.value_range


def test_the_validation_split_follows_from_its_seed_and_its_name_says_so():
    data = numbered(labels([20, 20]))
    again, other = data.hold_out(0.25, 1), data.hold_out(0.25, 2)
    assert numbers(data.hold_out(0.25, 1).x_test) == numbers(again.x_test)
    assert numbers(again.x_test) != numbers(other.x_test)
    assert len(again.x_test) == 10
    assert len(data.hold_out().x_test) == 4
    assert again.name == "few (validation 0.25, seed 1)"


@pytest.mark.parametrize(
    ("y", "share", "message"),
    [
        *((labels([20, 20]), v, "between 0 and 1") for v in (0, 1, -0.1, 1.5, np.nan)),
        *((labels([10] * 3), v, f"every class, got {v}") for v in (0.05, 0.95)),
        (np.array([0] * 20 + [1] + [2] * 20 + [3]), 0.2, "least populated class"),
    ],
)
def test_a_share_that_cannot_hold_every_class_is_refused(y, share, message):
    with pytest.raises(ValueError, match=f"^share: .*{message}"):
        numbered(y).hold_out(share)


@pytest.mark.parametrize(
    ("low", "high", "remedy"), [(-0.5, 2.5, "(-1, 3)"), (0, 0, "(0, 1)"), (3, 10_005, "(0, 10005)")]
)
def test_an_open_range_is_refused_with_one_that_holds_the_data(low, high, remedy):
    x = np.array([low, high], np.float32).reshape(2, 1, 1, 1)
    data = Dataset("few", x, np.array([0, 1]), x, np.array([0, 1]), value_range=None)
    with pytest.raises(ValueError, match=f"^value_range: .*{re.escape(remedy)}"):
        data.clip_values("adversarial training")


def changed(part: str, value: float) -> dict[str, np.ndarray]:
    x = getattr(numbered(labels([3, 3])), part).copy()
    x[0] = value
    return {part: x}


WHOLE, OPEN = {"value_range": (0, 20_000)}, {"value_range": None}
NO_RANGES = [(1, 0), (0, 0), (0,), (0, 1, 2), 1, "01", (0, np.inf), (None, 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"value_range": v}, r"value_range: .*\(low, high\), two finite") for v in NO_RANGES),
        *((one | changed("x_train", np.nan), "x_train: .*finite") for one in (WHOLE, OPEN)),
        *((one | changed("x_test", -np.inf), "x_test: .*finite") for one in (WHOLE, OPEN)),
        (changed("x_train", 20_001), "x_train: .*within value_range, 0 to 200"),
        (changed("x_test", 30_000), "x_test: .*within value_range, 0 to 200"),
        ({"x_train": np.zeros((6, 1))}, r"x_train: .*images .* event frames .*\(6, 1\)"),
        ({"x_test": np.zeros((6, 1, 1))}, r"x_test: .*shape \(1, 1, 1\).*got \(1, 1\)"),
    ],
)
def test_samples_and_ranges_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        replace(numbered(labels([3, 3])), **change)


def test_a_bound_that_no_float32_is_holds_its_own_float32():
    x = np.full((2, 1, 1, 1), 0.1, np.float32)
    y = np.array([0, 1])
    assert Dataset("few", x, y, x, y, (0.0, 0.1)).value_range == (0.0, 0.1)
    with pytest.raises(ValueError, match=r"^x_train: .*within"):
        Dataset("few", x, y, x, y, (0.0, 0.0999999))


@pytest.mark.parametrize("mirrored", [True, False])
def test_parts_of_a_set_may_be_mirrored_where_the_set_may(mirrored):
    whole = replace(numbered(labels([20, 20])), mirrored=mirrored)
    assert whole.hold_out(0.2).mirrored is mirrored


def through_a_file(folder: Path, **change: Any) -> Dataset:
    return from_npz(saved(folder, **change))


def by_hand(folder: Path, **change: Any) -> Dataset:
    return Dataset("mine", **arrays() | change)


MAKERS, GOOD = [through_a_file, by_hand], [*arrays().items()]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize("label", [100_000, 10**9, 2**63 - 1])
def test_a_label_beyond_all_classes_is_refused_at_once(label, name, make, tmp_path, traced):
    labels = arrays()[name]
    labels[0] = label
    with pytest.raises(ArgumentError, match=rf"^{name}: .*{label:,}"):
        make(tmp_path, **{name: labels})
    assert traced() < 1_000_000
    labels[0] = 99_999
    assert make(tmp_path, **{name: labels}).classes == 100_000


LABELS = {
    "negative": (lambda n: np.arange(n) - 1, "class indices from 0 .*-1 to"),
    "floating point": (lambda n: np.zeros(n), "class indices .*float64"),
    "words": (lambda n: np.array(["cat"] * n), "class indices .*<U3"),
    "truth values": (lambda n: np.zeros(n, bool), "class indices .*bool"),
    "durations": (lambda n: np.zeros(n, "m8[s]"), "class indices .*timedelta64"),
    "one-hot": (lambda n: np.eye(n), r"class indices .*float64 .*y\.argmax\(1\)"),
    "a column": (lambda n: np.zeros((n, 1), int), r"class indices .*int64 .*, 1\)"),
    "too many": (lambda n: np.zeros(n + 1, int), "class indices .*int64 .*every sample"),
    "too few": (lambda n: np.zeros(n - 1, int), "class indices .*int64 .*every sample"),
    "a single one": (lambda n: np.int64(1)[...], r"class indices .*shape \(\)"),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize("kind", LABELS)
def test_what_are_no_class_indices_is_refused_with_what_to_do(kind, name, make, tmp_path):
    labels, message = LABELS[kind]
    with pytest.raises(ArgumentError, match=rf"^{name}: expected .*{message}"):
        make(tmp_path, **{name: labels(len(arrays()[name]))})


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["x_train", "x_test"])
@pytest.mark.parametrize("kind", ["c8", "U3", "S3", "M8[s]", "m8[s]", "f4,i4", "V4"])
def test_samples_of_no_real_numbers_are_refused(kind, name, make, tmp_path):
    x = np.zeros(arrays()[name].shape, kind)
    with pytest.raises(ArgumentError, match=rf"^{name}: .*got {re.escape(str(x.dtype))}"):
        make(tmp_path, **{name: x})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({k: array.tolist()}, f"{k}: .*numpy array, got list.*asarray") for k, array in GOOD),
        ({"y_test": np.ma.masked_array(np.arange(2))}, "y_test: .*numpy array, got MaskedArray"),
        ({"x_test": np.zeros((2, 1, 4, 5), object)}, "x_test: .*real numbers, got object "),
        ({"x_test": GOOD[0][1][:0], "y_test": np.arange(0)}, r"x_test: .*samples .*shape \(0,"),
    ],
)
def test_what_are_no_plain_arrays_with_samples_is_refused(change, message, tmp_path):
    with pytest.raises(ArgumentError, match=f"^{message}"):
        by_hand(tmp_path, **change)
    if "object" in message:
        with pytest.raises(ArgumentError, match=r"^data: .*cannot be read"):
            through_a_file(tmp_path, **change)


@pytest.mark.parametrize("shape", [(6, 1, 4, 5), (6, 3, 2, 4, 5)], ids=["images", "frames"])
def test_values_that_float32_cannot_hold_are_refused_without_a_warning(shape, tmp_path):
    x = np.full(shape, 1e300)
    with pytest.raises(ArgumentError, match=r"^x_train: expected .*, got .* to inf\."):
        through_a_file(tmp_path, x_train=x, x_test=x[:2])


@pytest.mark.parametrize(
    ("shape", "order"),
    [((28, 28, 1), (0, 3, 1, 2)), ((32, 48, 3), (0, 3, 1, 2)), ((10, 34, 34, 2), (0, 1, 4, 2, 3))],
    ids=str,
)
def test_channels_that_come_last_are_refused_where_the_axes_are_known(shape, order, tmp_path):
    x = np.zeros((6, *shape), np.float32)
    with pytest.raises(ArgumentError, match=rf"^x_train: .*{re.escape(str(order))}"):
        by_hand(tmp_path, x_train=x, x_test=x[:2])
    right = x.transpose(order)
    assert by_hand(tmp_path, x_train=right, x_test=right[:2]).input_shape == right.shape[1:]
    for narrow in ((700, 1, 1), (7, 700, 1, 1), (3, 32, 3), (12, 1, 900)):
        x = np.zeros((6, *narrow), np.float32)
        assert by_hand(tmp_path, x_train=x, x_test=x[:2]).input_shape == narrow


def test_labels_tell_grey_images_from_one_image_in_colour(tmp_path):
    x = np.zeros((3, 32, 3), np.uint8)
    files = {"x_train": x, "x_test": x, "y_train": np.arange(3), "y_test": np.arange(3)}
    assert through_a_file(tmp_path, **files).input_shape == (1, 32, 3)
    with pytest.raises(ArgumentError, match=r"^y_test: .*3 class indices"):
        through_a_file(tmp_path, **files | {"y_test": np.array([0])})
