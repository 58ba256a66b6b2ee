"""torchvision's image sets, from tiny files in their formats on disk."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

from art_snn.data import digits, images

DRAW = np.random.default_rng(0)
BYTES = {
    channels: {
        part: DRAW.integers(0, 256, (count, channels, 32, 32), dtype=np.uint8)
        for part, count in (("train", 6), ("test", 3))
    }
    for channels in (1, 3)
}
LABELS = {"train": np.array([0, 1, 2, 9, 1, 0]), "test": np.array([3, 0, 9])}


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_idx(folder: Path) -> None:
    folder.mkdir(parents=True)
    for part, word in (("train", "train"), ("test", "t10k")):
        for kind, array in (("images-idx3", BYTES[1][part][:, 0]), ("labels-idx1", LABELS[part])):
            (folder / f"{word}-{kind}-ubyte").write_bytes(idx(array))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(root: Path, patch: pytest.MonkeyPatch, kind: Any, key: str) -> None:
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        rows = BYTES[3][part].reshape(len(LABELS[part]), -1)
        content = {"data": rows, key: LABELS[part].tolist()}
        (folder / part).write_bytes(pickle.dumps(content))
        patch.setattr(kind, f"{part}_list", [[part, md5(folder / part)]])
    (folder / "meta").write_bytes(pickle.dumps({"names": list("abcdefghij")}))
    meta = {"filename": "meta", "key": "names", "md5": md5(folder / "meta")}
    patch.setattr(kind, "meta", meta)


def write_svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    root.mkdir(parents=True, exist_ok=True)
    places = {}
    for part in ("train", "test"):
        path = root / f"{part}_32x32.mat"
        y = np.where(LABELS[part] == 0, 10, LABELS[part])[:, None]
        savemat(path, {"X": BYTES[3][part].transpose(2, 3, 1, 0), "y": y})
        places[part] = ["", path.name, md5(path)]
    patch.setattr(datasets.SVHN, "split_list", places)


WRITE: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "mnist": lambda root, patch: write_idx(root / "MNIST/raw"),
    "fashion-mnist": lambda root, patch: write_idx(root / "FashionMNIST/raw"),
    "cifar10": lambda root, patch: write_cifar(root, patch, datasets.CIFAR10, "labels"),
    "cifar100": lambda root, patch: write_cifar(root, patch, datasets.CIFAR100, "fine_labels"),
    "svhn": write_svhn,
}


@pytest.mark.parametrize("name", WRITE)
def test_a_set_is_read_as_shares_with_channels_first(name, tmp_path, monkeypatch):
    WRITE[name](tmp_path, monkeypatch)
    data = images(name, tmp_path)
    expected = BYTES[1 if "mnist" in name else 3]
    for part in ("train", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert np.allclose(x, expected[part] / 255, atol=1e-7)
        assert np.array_equal(y, LABELS[part])
    assert (data.name, data.value_range, data.classes) == (name, (0, 1), 10)
    small = images(name, tmp_path, image_size=16)
    assert data.mirrored is small.mirrored is (name not in ("mnist", "svhn"))


def test_another_size_is_reached_by_averaging_and_becomes_part_of_the_name(tmp_path, monkeypatch):
    WRITE["cifar10"](tmp_path, monkeypatch)
    data = images("cifar10", tmp_path, image_size=(16, 8))
    assert data.name == "cifar10 16x8"
    assert data.input_shape == (3, 16, 8)
    means = [(BYTES[3]["train"] / 255).mean(axis=(2, 3)), data.x_train.mean(axis=(2, 3))]
    assert np.allclose(*means, atol=0.03)
    assert np.array_equal(
        images("cifar10", tmp_path, image_size=32).x_test, images("cifar10", tmp_path).x_test
    )


def write_eurosat(root: Path) -> None:
    for number, label in enumerate(("Forest", "River")):
        folder = root / "eurosat/2750" / label
        folder.mkdir(parents=True)
        for index in range(10):
            pixels = np.full((64, 64, 3), 100 * number + index, np.uint8)
            Image.fromarray(pixels).save(folder / f"{label}_{index}.png")


def test_eurosat_is_split_by_class_and_can_be_made_smaller(tmp_path):
    write_eurosat(tmp_path)
    data = images("eurosat", tmp_path, image_size=32)
    assert (data.x_train.shape, data.x_test.shape) == ((16, 3, 32, 32), (4, 3, 32, 32))
    assert np.bincount(data.y_test).tolist() == [2, 2]
    values = np.rint(255 * np.concatenate([data.x_train, data.x_test])[:, 0, 0, 0]).astype(int)
    assert sorted(values) == [*range(10), *range(100, 110)]
    assert np.array_equal(values // 100, np.concatenate([data.y_train, data.y_test]))
    assert np.array_equal(images("eurosat", tmp_path, image_size=32).y_test, data.y_test)
    whole = images("eurosat", tmp_path)
    assert (whole.input_shape, whole.mirrored, data.mirrored) == ((3, 64, 64), True, True)


@pytest.mark.parametrize("name", [*WRITE, "eurosat"])
def test_a_missing_set_says_where_it_was_looked_for_and_what_to_do(name, tmp_path):
    message = rf"^data: expected {name} in .*{tmp_path.name}.*missing.*--download in commands"
    with pytest.raises(FileNotFoundError, match=message):
        images(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_set_that_cannot_be_fetched_or_is_damaged_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.SVHN, "download", Mock(side_effect=OSError("no network")))
    with pytest.raises(FileNotFoundError, match=r"^data: .*svhn .*\(no network\)\. Look at"):
        images("svhn", tmp_path, download=True)
    write_idx(tmp_path / "MNIST/raw")
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"words")
    with pytest.raises(FileNotFoundError, match=r"^data: expected mnist in .*MNIST/raw, which is"):
        images("mnist", tmp_path)


@pytest.mark.parametrize(
    ("argument", "value"), [("name", "imagenet"), ("image_size", 0), ("image_size", (1, 2, 3))]
)
def test_what_makes_no_sense_is_refused(argument, value, tmp_path):
    with pytest.raises(ValueError, match=rf"^{argument}: expected "):
        images(**{"name": "mnist", argument: value}, root=tmp_path)


def test_digits_are_split_by_class_into_images_between_0_and_1():
    data = digits()
    assert data.x_train.shape == (1437, 1, 8, 8)
    assert data.x_test.shape == (360, 1, 8, 8)
    assert data.x_train.dtype == np.float32
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert data.classes == 10
    assert np.bincount(data.y_test).min() >= 34
    assert data.value_range == (0, 1)
    assert not data.mirrored
    assert not np.array_equal(digits(seed=4).x_test, data.x_test)
