"""Pictures that take more memory than their files do, and folders that torchvision passes over."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from art_snn.checks import ArgumentError
from art_snn.data import from_folder, pictures
from tests.datasets import picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in ("cat", "dog"):
        for index in range(2):
            picture(tmp_path / "pets" / label / f"{index}.png", 10 + index)
    return tmp_path / "pets"


def vast(path: Path, width: int, height: int) -> None:
    """A grey PNG whose header states that size; its rows are missing but for one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(width + 1)))):
            file.write(struct.pack(">I", len(data)) + kind + data)
            file.write(struct.pack(">I", zlib.crc32(kind + data)))


@pytest.mark.parametrize(
    ("width", "height", "pil"),
    [
        (8_193, 8_192, "silent"),
        (10_000, 10_000, "warns"),
        (30_000, 30_000, "raises"),
        (30_000, 30_000, "without a limit"),
    ],
)
@pytest.mark.parametrize("size", [None, 4])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(
    width, height, pil, size, folder, monkeypatch, traced
):
    vast(folder / "dog" / "x.png", width, height)
    if pil == "without a limit":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ArgumentError, match=r"^data: .*at most 67,108,864 pixels, .*x\.png"):
        from_folder(folder, size, test_share=0.5)
    assert traced() < 5_000_000
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_picture_of_exactly_the_limit_is_read(folder, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 24)
    assert from_folder(folder, test_share=0.5).input_shape == (1, 4, 6)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 23)
    with pytest.raises(ArgumentError, match=r"at most 23 pixels, got .*0\.png \(6 x 4\)\."):
        from_folder(folder, test_share=0.5)


def test_pictures_below_the_class_are_of_that_class(folder):
    picture(folder / "dog" / "small" / "x.png", 12)
    data = from_folder(folder, test_share=0.5)
    assert np.bincount(np.concatenate([data.y_train, data.y_test])).tolist() == [2, 3]


@pytest.mark.parametrize("target", [".", "..", "../cat/back"])
def test_a_link_that_leads_back_is_refused_and_not_followed_until_it_is_too_deep(target, folder):
    (folder / "cat" / "back").symlink_to("../dog")
    (folder / "dog" / "loop").symlink_to(target)
    with pytest.raises(ArgumentError, match=r"^data: .*once, got .*(loop|back|dog) again"):
        from_folder(folder, test_share=0.5)


@pytest.mark.parametrize("place", ["dog", "dog/inner"])
def test_a_folder_below_that_may_not_be_read_is_refused_and_not_passed_over(place, folder):
    if os.geteuid() == 0:
        pytest.skip("root may read every folder")
    (folder / "dog" / "inner").mkdir()
    (folder / place).chmod(0)
    with pytest.raises(ArgumentError, match=r"^data: .*may be read, .*dog.*Permission denied"):
        from_folder(folder, test_share=0.5)
    (folder / place).chmod(0o700)
