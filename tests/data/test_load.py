"""One word, file or folder for every data set."""

import sys
from inspect import signature

import numpy as np
import pytest

from art_snn.checks import MissingFile
from art_snn.data import NAMES, Dataset, Source, digits
from tests.datasets import images, picture


def load(name: str, **options) -> Dataset:
    return Source(data=name, **options).load()


def pets(folder, name="pets"):
    for label in ("cat", "dog"):
        for index in range(5):
            picture(folder / name / label / f"{index}.png", index)
    return str(folder / name)


def test_a_word_a_file_and_a_folder_are_told_apart(tmp_path):
    assert np.array_equal(load("digits").x_test, digits().x_test)
    file = str(images(tmp_path / "mine.npz").rename(tmp_path / "mine"))
    assert load(file).name == "mine"
    assert load(file, value_range=(0, 255)).clip_values() == (0, 255)
    whole = load(pets(tmp_path), image_size=2, test_share=0.4)
    assert (whole.input_shape, len(whole.x_test)) == ((1, 2, 2), 4)


def test_the_options_reach_the_sets(monkeypatch, tmp_path):
    module = sys.modules["art_snn.data.load"]
    calls = []

    def stand_in(make):
        def note(**given):
            calls.append(given)

        note.__signature__ = signature(make)
        return note

    replaced = {name: stand_in(make) for name, make in NAMES.items()}
    monkeypatch.setattr(module, "NAMES", replaced)
    load("nmnist", root=tmp_path, download=True, image_size=17, value_range=(0, 9), frames=4)
    load("mnist", root=tmp_path, image_size=14)
    load("digits")
    load("digits", test_share=0.5)
    assert calls == [
        {"root": tmp_path, "download": True, "image_size": 17, "value_range": (0, 9), "frames": 4},
        {"root": tmp_path, "download": False, "image_size": 14},
        {},
        {"test_share": 0.5},
    ]


@pytest.mark.parametrize("name", ["cifar11", "CIFAR10", "none/there"])
def test_an_unknown_name_is_answered_with_those_that_there_are(name, here):
    with pytest.raises(ValueError, match=r"^data: .*one of"):
        load(name)
    with pytest.raises(MissingFile, match=r"^data: .*not exist"):
        load(str(here / "none.npz"))


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("digits", "image_size", 16),
        ("digits", "value_range", (0, 1)),
        ("mnist", "value_range", (0, 1)),
        ("mine.npz", "image_size", 16),
        *((name, "frames", 4) for name in ("mnist", "pets", "mine.npz")),
        *((name, "test_share", 0.5) for name in ("mnist", "nmnist", "mine.npz")),
    ],
)
def test_an_option_without_use_is_refused(name, option, value, here):
    images(here / "mine.npz")
    pets(here)
    with pytest.raises(ValueError, match=rf"^{option}: .*None.* {name}"):
        load(name, **{option: value})


def test_a_set_in_another_folder_has_the_folder_before_its_name(here):
    (here / "kept" / "eurosat" / "2750" / "Forest").mkdir(parents=True)  # As torchvision does.
    places = {"kept/cifar10": "kept/cifar-10", "./mnist": "MNIST", "kept/eurosat": "kept/eurosat"}
    for name, place in places.items():
        with pytest.raises(MissingFile, match=rf"^data: .*{place}.*FOLDER"):
            load(name)
    pets(here / "mine", "cifar10")
    assert load("mine/cifar10").classes == 2
    with pytest.raises(ValueError, match=r"^data: .*FOLDER/NAME"):
        load("kept/digits")
