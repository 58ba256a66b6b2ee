"""Folders of pictures, some of which take more memory than their files do."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from art_snn.checks import ArgumentError
from art_snn.data import from_folder
from tests.data.test_npz import numbers
from tests.datasets import picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: training pictures of value 10 and 11, 20 and 21, test pictures of 15, 25."""
    for part, values in (("train", (0, 1)), ("test", (5,))):
        for label, base in (("cat", 10), ("dog", 20)):
            for value in values:
                picture(tmp_path / "pets" / part / label / f"{value}.png", base + value)
    return tmp_path / "pets"


def test_folders_of_classes_become_numbered_grey_images(folder):
    data = from_folder(folder)
    assert (data.name, data.input_shape, data.value_range) == ("pets", (1, 4, 6), (0, 1))
    assert (numbers(data.x_train), data.y_train.tolist()) == ([10, 11, 20, 21], [0, 0, 1, 1])
    assert (numbers(data.x_test), data.y_test.tolist()) == ([15, 25], [0, 1])


@pytest.mark.parametrize("part", ["train/cat", "test/dog"])
@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_one_picture_in_colour_makes_all_of_them_rgb(part, mode, folder):
    picture(folder / part / "z.png", 30, mode=mode)
    data = from_folder(folder)
    assert data.input_shape == (3, 4, 6)
    x = np.concatenate([data.x_train, data.x_test])
    assert sorted(numbers(x)) == [10, 11, 15, 20, 21, 25, 30]
    assert np.array_equal(x[:, 0], x[:, 2])


def test_pictures_without_a_split_are_split_by_class_and_seed(folder):
    for index in range(8):
        for label in ("cat", "dog"):
            picture(folder / "train" / label / f"more{index}.png", 100 + index)
    data = from_folder(folder / "train")
    assert (len(data.x_train), len(data.x_test)) == (16, 4)
    assert np.bincount(data.y_test).tolist() == [2, 2]
    assert len(from_folder(folder / "train", test_share=0.5, seed=1).x_test) == 10
    with pytest.raises(ValueError, match=r"^test_share: .*None"):
        from_folder(folder, test_share=0.5)


def test_pictures_of_several_sizes_need_a_size(folder):
    picture(folder / "test" / "dog" / "z.png", 25, size=(12, 8))
    with pytest.raises(ValueError, match=r"^image_size: .*4x6 .* 8x12"):
        from_folder(folder)
    data = from_folder(folder, image_size=(3, 2))
    assert (data.name, data.input_shape) == ("pets 3x2", (1, 3, 2))
    assert sorted(numbers(data.x_test)) == [15, 25, 25]


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("none", FileNotFoundError, "data: .*folder of pictures.*not exist"),
        ("empty", FileNotFoundError, "data: .*one folder per class"),
        ("classes", FileNotFoundError, "data: .*one folder per class"),
        ("pets/test", ValueError, "test_share: .*a sample of every class"),
    ],
)
def test_folders_without_enough_pictures_are_refused(place, error, message, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "classes" / "cat").mkdir(parents=True)
    with pytest.raises(error, match=f"^{message}"):
        from_folder(tmp_path / place)


@pytest.mark.parametrize(("missing", "part"), [("train", "test"), ("test", "train")])
def test_half_a_split_is_refused(missing, part, folder):
    (folder / missing).rename(folder.parent / "elsewhere")
    with pytest.raises(ValueError, match=rf"^data: .*Add {missing}"):
        from_folder(folder)


def deep(path: Path) -> None:
    Image.fromarray(np.full((4, 6), 1000, np.uint16)).save(path)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("bird/0.png", lambda file: picture(file, 1), "same classes.*bird"),
        ("dog/z.png", lambda file: file.write_text("just words"), r"that PIL reads, .*z\.png"),
        ("dog/z.png", deep, r"8 bits per channel, .*z\.png of mode I"),
    ],
)
def test_a_file_that_does_not_belong_to_the_others_is_named(name, write, message, folder):
    write(folder / "test" / name)
    with pytest.raises(ValueError, match=f"^data: .*{message}"):
        from_folder(folder)


def vast(path: Path, width: int, height: int) -> None:
    """A grey PNG whose header states that size; its rows are missing but for one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(width + 1)))):
            file.write(struct.pack(">I", len(data)) + kind + data)
            file.write(struct.pack(">I", zlib.crc32(kind + data)))


def test_a_picture_of_more_pixels_than_pil_allows_is_refused_before_it_is_unpacked(folder, traced):
    vast(folder / "train" / "dog" / "x.png", 30_000, 8_192)
    with pytest.raises(ArgumentError, match=r"^data: .*that PIL reads, .*x\.png"):
        from_folder(folder)
    assert traced() < 5_000_000


def test_pictures_below_the_class_are_of_that_class(folder):
    picture(folder / "train" / "dog" / "small" / "x.png", 12)
    assert np.bincount(from_folder(folder).y_train).tolist() == [2, 3]
