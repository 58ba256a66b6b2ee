"""torchvision's image sets, which read their files themselves."""

from itertools import product
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from art_snn.data import digits, images
from art_snn.data.images import IMAGES
from tests.data.test_npz import numbers

DRAW = np.random.default_rng(0)
BYTES = {
    channels: {
        part: DRAW.integers(0, 256, (count, channels, 32, 32), dtype=np.uint8)
        for part, count in (("train", 6), ("test", 3))
    }
    for channels in (1, 3)
}
LABELS = {"train": np.array([0, 1, 2, 9, 1, 0]), "test": np.array([3, 0, 9])}
NAMES = ("mnist", "fashion-mnist", "cifar10", "cifar100", "svhn")


class StandIn:
    """What torchvision makes of the files of a set, in the order of axes that it has there."""

    def __init__(self, root: Path, part: bool | str, download: bool) -> None:
        part = {True: "train", False: "test"}.get(part, part)
        name, self.labels = root.name, LABELS[part]
        x = BYTES[1 if "mnist" in name else 3][part]
        if "mnist" in name:
            self.data, self.targets = torch.tensor(x[:, 0]), torch.tensor(self.labels)
        else:
            self.data = x if name == "svhn" else x.transpose(0, 2, 3, 1)
            self.targets = self.labels.tolist()


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads a set from files that torchvision takes for whole."""
    for name in NAMES:
        monkeypatch.setitem(IMAGES, name, (IMAGES[name][0], StandIn))
        (tmp_path / name).mkdir()
    return lambda name, **options: images(name, tmp_path / name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_read_as_shares_with_channels_first(name, read):
    data = read(name)
    expected = BYTES[1 if "mnist" in name else 3]
    for part in ("train", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert np.allclose(x, expected[part] / 255, atol=1e-7)
        assert np.array_equal(y, LABELS[part])
    assert (data.name, data.value_range, data.classes) == (name, (0, 1), 10)
    small = read(name, image_size=16)
    assert data.mirrored is small.mirrored is (name not in ("mnist", "svhn"))


def test_another_size_is_reached_by_averaging_and_becomes_part_of_the_name(read):
    data = read("cifar10", image_size=(16, 8))
    assert data.name == "cifar10 16x8"
    assert data.input_shape == (3, 16, 8)
    means = [(BYTES[3]["train"] / 255).mean(axis=(2, 3)), data.x_train.mean(axis=(2, 3))]
    assert np.allclose(*means, atol=0.03)
    assert np.array_equal(read("cifar10", image_size=32).x_test, read("cifar10").x_test)


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
    values = np.array(numbers(np.concatenate([data.x_train, data.x_test])))
    assert sorted(values) == [*range(10), *range(100, 110)]
    assert np.array_equal(values // 100, np.concatenate([data.y_train, data.y_test]))
    assert np.array_equal(images("eurosat", tmp_path, image_size=32).y_test, data.y_test)
    whole = images("eurosat", tmp_path)
    assert (whole.input_shape, whole.mirrored, data.mirrored) == ((3, 64, 64), True, True)


@pytest.mark.parametrize("name", IMAGES)
def test_a_missing_set_says_where_it_was_looked_for_and_what_to_do(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"^data: .*{tmp_path.name}.*missing"):
        images(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_set_that_cannot_be_fetched_or_is_damaged_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.SVHN, "download", Mock(side_effect=OSError("no network")))
    with pytest.raises(FileNotFoundError, match=r"^data: .*no network"):
        images("svhn", tmp_path, download=True)
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    for part, kind in product(("train", "t10k"), ("images-idx3", "labels-idx1")):
        (tmp_path / "MNIST/raw" / f"{part}-{kind}-ubyte").write_bytes(b"words")
    with pytest.raises(FileNotFoundError, match=r"^data: .*MNIST/raw"):
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
