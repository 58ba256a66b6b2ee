"""Folders of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from art_snn.data import from_folder
from tests.datasets import picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: training pictures of value 10 and 11, 20 and 21, test pictures of 15, 25."""
    for part, values in (("train", (0, 1)), ("test", (5,))):
        for label, base in (("cat", 10), ("dog", 20)):
            for value in values:
                picture(tmp_path / "pets" / part / label / f"{value}.png", base + value)
    return tmp_path / "pets"


def values(x: np.ndarray) -> list[int]:
    return np.rint(255 * x[:, 0, 0, 0]).astype(int).tolist()


def test_folders_of_classes_become_numbered_grey_images(folder):
    data = from_folder(folder)
    assert (data.name, data.input_shape, data.value_range) == ("pets", (1, 4, 6), (0, 1))
    assert (values(data.x_train), data.y_train.tolist()) == ([10, 11, 20, 21], [0, 0, 1, 1])
    assert (values(data.x_test), data.y_test.tolist()) == ([15, 25], [0, 1])


@pytest.mark.parametrize("part", ["train/cat", "test/dog"])
@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_one_picture_in_colour_makes_all_of_them_rgb(part, mode, folder):
    picture(folder / part / "z.png", 30, mode=mode)
    data = from_folder(folder)
    assert data.input_shape == (3, 4, 6)
    x = np.concatenate([data.x_train, data.x_test])
    assert sorted(values(x)) == [10, 11, 15, 20, 21, 25, 30]
    assert np.array_equal(x[:, 0], x[:, 2])


def test_pictures_without_a_split_are_split_by_class_and_seed(folder):
    for index in range(8):
        for label in ("cat", "dog"):
            picture(folder / "train" / label / f"more{index}.png", 100 + index)
    data = from_folder(folder / "train")
    assert (len(data.x_train), len(data.x_test)) == (16, 4)
    assert np.bincount(data.y_test).tolist() == [2, 2]
    assert np.array_equal(from_folder(folder / "train").x_test, data.x_test)
    half = from_folder(folder / "train", test_share=0.5, seed=1)
    assert len(half.x_test) == 10
    with pytest.raises(ValueError, match=r"^test_share: expected a share between 0 and 1, got 0\."):
        from_folder(folder / "train", test_share=0)


def test_a_share_beside_a_split_is_refused(folder):
    with pytest.raises(ValueError, match=r"^test_share: expected None, since the folder .*pets"):
        from_folder(folder, test_share=0.5)


def test_pictures_of_several_sizes_need_a_size(folder):
    picture(folder / "test" / "dog" / "z.png", 25, size=(12, 8))
    with pytest.raises(ValueError, match=r"^image_size: .*4x6 .*0\.png.* 8x12 .*z\.png"):
        from_folder(folder)
    data = from_folder(folder, image_size=(3, 2))
    assert (data.name, data.input_shape) == ("pets 3x2", (1, 3, 2))
    assert sorted(values(data.x_test)) == [15, 25, 25]


def test_a_missing_folder_is_reported_as_such(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^data: .*folder of pictures.*not exist"):
        from_folder(tmp_path / "none")


@pytest.mark.parametrize("kind", ["no class", "an empty class"])
def test_a_folder_without_pictures_is_refused(kind, tmp_path):
    if kind == "an empty class":
        (tmp_path / "cat").mkdir()
    with pytest.raises(FileNotFoundError, match=r"^data: .*one folder per class"):
        from_folder(tmp_path)


@pytest.mark.parametrize(("missing", "part"), [("train", "test"), ("test", "train")])
def test_half_a_split_is_refused(missing, part, folder):
    (folder / missing).rename(folder.parent / "elsewhere")
    with pytest.raises(ValueError, match=rf"^data: .* with {part} alone\. Add {missing}"):
        from_folder(folder)


def test_parts_of_other_classes_are_refused(folder):
    picture(folder / "test" / "bird" / "0.png", 1)
    with pytest.raises(ValueError, match=r"^data: .*same classes.*bird"):
        from_folder(folder)


def test_a_file_that_is_no_picture_is_named(folder):
    (folder / "test" / "dog" / "z.png").write_text("just words")
    with pytest.raises(ValueError, match=r"^data: expected pictures that PIL reads, .*z\.png"):
        from_folder(folder)


def test_pictures_of_more_than_eight_bits_are_refused(folder):
    deep = np.full((4, 6), 1000, np.uint16)
    Image.fromarray(deep).save(folder / "test" / "dog" / "z.png")
    with pytest.raises(ValueError, match=r"^data: .*8 bits per channel, .*z\.png of mode I"):
        from_folder(folder)


def test_a_class_with_one_picture_cannot_be_split(folder):
    with pytest.raises(ValueError, match=r"^y: expected at least two .*class 0, 1"):
        from_folder(folder / "test")
