"""One word, file or folder for every data set."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from art_snn.data import NAMES, digits, load
from tests.data.test_folder import picture


def arrays(**change):
    x = np.arange(4 * 12, dtype=np.uint8).reshape(4, 3, 4)
    y = np.array([0, 1, 0, 1])
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y} | change


def test_every_set_has_a_name_and_the_table_is_closed():
    assert list(NAMES) == [
        *("digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn", "eurosat"),
        *("nmnist", "dvs128-gesture", "cifar10-dvs"),
    ]
    with pytest.raises(TypeError, match="does not support item assignment"):
        NAMES["mine"] = NAMES["digits"]


def test_a_word_a_file_and_a_folder_are_told_apart(tmp_path):
    assert np.array_equal(load("digits").x_test, digits().x_test)
    np.savez(tmp_path / "mine.npz", **arrays())
    (tmp_path / "mine.npz").rename(tmp_path / "mine")
    assert load(str(tmp_path / "mine")).name == "mine"
    assert load(str(tmp_path / "mine"), value_range=(0, 255)).clip_values() == (0, 255)
    for label in ("cat", "dog"):
        for index in range(5):
            picture(tmp_path / "pets" / label / f"{index}.png", index)
    assert load(str(tmp_path / "pets"), image_size=2).input_shape == (1, 2, 2)


def test_the_options_reach_the_sets(monkeypatch, tmp_path):
    from art_snn.data.load import Source

    module = sys.modules["art_snn.data.load"]
    calls = []
    replaced = {
        name: Source(lambda **given: calls.append(given), source.options)
        for name, source in NAMES.items()
    }
    monkeypatch.setattr(module, "NAMES", replaced)
    load("nmnist", root=tmp_path, download=True, image_size=17, value_range=(0, 9), frames=4)
    load("mnist", root=tmp_path, image_size=14)
    load("digits")
    assert calls == [
        {"root": tmp_path, "download": True, "image_size": 17, "value_range": (0, 9), "frames": 4},
        {"root": tmp_path, "download": False, "image_size": 14},
        {},
    ]


@pytest.mark.parametrize("name", ["cifar11", "CIFAR10", "none/there"])
def test_an_unknown_name_is_answered_with_those_that_there_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = r"^data: expected one of digits, mnist, .*, cifar10-dvs, a \.npz file or a folder of"
    with pytest.raises(ValueError, match=message):
        load(name)


def test_a_missing_file_is_reported_as_such(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^data: expected a \.npz file, but .*none\.npz"):
        load(str(tmp_path / "none.npz"))


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("digits", {"image_size": 16}, r"^image_size: expected None for digits, whose images have"),
        ("digits", {"value_range": (0, 1)}, r"^value_range: expected None for digits, whose val"),
        ("mnist", {"value_range": (0, 1)}, r"^value_range: expected None for mnist, .*\. Leave it"),
        ("mine.npz", {"image_size": 16}, r"^image_size: expected None for mine\.npz, whose images"),
    ],
)
def test_an_option_without_use_is_refused(name, option, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", **arrays())
    with pytest.raises(ValueError, match=message):
        load(name, **option)
