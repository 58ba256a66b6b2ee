"""Labels that are no class indices, samples that are no numbers, and axes in another order."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from art_snn.data.samples import MOST_CLASSES

from art_snn.checks import ArgumentError
from art_snn.data import Dataset, from_npz
from tests import tiny
from tests.data.test_npz import arrays, saved


def through_a_file(folder: Path, **change: Any) -> Dataset:
    return from_npz(saved(folder, **change))


def by_hand(folder: Path, **change: Any) -> Dataset:
    return Dataset("mine", **arrays() | change)


MAKERS = [through_a_file, by_hand]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize("label", [MOST_CLASSES, 10**9, 2**63 - 1])
def test_a_label_beyond_all_classes_is_refused_at_once(label, name, make, tmp_path, traced):
    labels = arrays()[name]
    labels[0] = label
    with pytest.raises(ArgumentError, match=rf"^{name}: .*below 100,000, got {label:,}"):
        make(tmp_path, **{name: labels})
    assert traced() < 1_000_000
    labels[0] = MOST_CLASSES - 1
    assert make(tmp_path, **{name: labels}).classes == MOST_CLASSES


LABELS = {
    "negative": (lambda n: np.arange(n) - 1, "from -1"),
    "floating point": (lambda n: np.zeros(n), "float64 .*by integers"),
    "words": (lambda n: np.array(["cat"] * n), "<U3 .*by integers"),
    "truth values": (lambda n: np.zeros(n, bool), "bool .*by integers"),
    "durations": (lambda n: np.zeros(n, "m8[s]"), "timedelta64.*by integers"),
    "one-hot": (lambda n: np.eye(n), r"float64 .*indices: y\.argmax\(1\)"),
    "a column": (lambda n: np.zeros((n, 1), int), r"int64 .*: y\[:, 0\]"),
    "too many": (lambda n: np.zeros(n + 1, int), "int64 .*one label per sample"),
    "too few": (lambda n: np.zeros(n - 1, int), "int64 .*one label per sample"),
    "a single one": (lambda n: np.int64(1)[...], r"shape \(\)\. Give one label per sample"),
}


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize("kind", LABELS)
def test_what_are_no_class_indices_is_refused_with_what_to_do(kind, name, make, tmp_path):
    labels, got = LABELS[kind]
    count = len(arrays()[name])
    with pytest.raises(ArgumentError, match=rf"^{name}: expected {count} class indices .*{got}"):
        make(tmp_path, **{name: np.asarray(labels(count))})


def test_samples_without_labels_are_refused():
    data = tiny.images()
    with pytest.raises(ArgumentError, match=r"^y_test: expected some class indices"):
        replace(data, x_test=data.x_test[:0], y_test=data.y_test[:0])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["x_train", "x_test"])
@pytest.mark.parametrize("kind", ["c8", "U3", "S3", "M8[s]", "m8[s]", "f4,i4", "V4"])
def test_samples_of_no_real_numbers_are_refused(kind, name, make, tmp_path):
    x = np.zeros(arrays()[name].shape, kind)
    message = rf"^{name}: .*real numbers, got {re.escape(str(x.dtype))}"
    with pytest.raises(ArgumentError, match=message):
        make(tmp_path, **{name: x})


def test_objects_are_refused_as_samples_and_are_never_unpickled(tmp_path):
    x = np.zeros(arrays()["x_test"].shape, object)
    with pytest.raises(ArgumentError, match=r"^x_test: expected real numbers, got object\."):
        by_hand(tmp_path, x_test=x)
    with pytest.raises(ArgumentError, match=r"^data: .* cannot be read \(Object arrays cannot be"):
        through_a_file(tmp_path, x_test=x)


@pytest.mark.parametrize("name", ["x_train", "x_test", "y_train", "y_test"])
def test_lists_are_refused_with_what_to_do(name, tmp_path):
    with pytest.raises(ArgumentError, match=rf"^{name}: .*numpy array, got list.*asarray"):
        by_hand(tmp_path, **{name: arrays()[name].tolist()})


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
    message = rf"^x_train: .*channels seem to come last\. .*transpose{re.escape(str(order))}"
    with pytest.raises(ArgumentError, match=message):
        by_hand(tmp_path, x_train=x, x_test=x[:2])
    right = x.transpose(order)
    assert by_hand(tmp_path, x_train=right, x_test=right[:2]).input_shape == right.shape[1:]
    for narrow in ((700, 1, 1), (7, 700, 1, 1), (3, 32, 3), (12, 1, 900)):
        x = np.zeros((6, *narrow), np.float32)
        assert by_hand(tmp_path, x_train=x, x_test=x[:2]).input_shape == narrow


@pytest.mark.parametrize("side", [1, 3, 4, 32])
@pytest.mark.parametrize("last", [1, 3])
@pytest.mark.parametrize("first", [1, 3])
def test_every_shape_that_can_be_read_both_ways_needs_its_axes(first, last, side, tmp_path):
    x = np.zeros((6, first, side, last), np.uint8)
    with pytest.raises(ArgumentError, match=r"^axes: .*both suit x_train"):
        through_a_file(tmp_path, x_train=x, x_test=x[:2])


def test_labels_tell_grey_images_from_one_image_in_colour(tmp_path):
    x = np.zeros((3, 32, 3), np.uint8)
    files = {"x_train": x, "x_test": x, "y_train": np.arange(3), "y_test": np.arange(3)}
    assert through_a_file(tmp_path, **files).input_shape == (1, 32, 3)
    message = r"^x_test: .*one image for each of 1 labels.*x\[None\]"
    with pytest.raises(ArgumentError, match=message):
        through_a_file(tmp_path, **files | {"y_test": np.array([0])})
