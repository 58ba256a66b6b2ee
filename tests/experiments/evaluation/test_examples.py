"""Samples beside their adversarials: on disk, and left out where they are damaged."""

from __future__ import annotations

import numpy as np
import pytest

from art_snn.checks import ArgumentError
from art_snn.experiments.evaluation import Examples, Opened
from tests.evaluations import images, large, small

FILE = "examples.npz"


def test_examples_are_read_as_they_were_written(tmp_path):
    written = images(3)
    written.write(tmp_path)
    found = Examples.read(tmp_path)
    assert found is not None
    assert (found.trial, found.eps) == ("standard", 8 / 255)
    for name in ("rows", "x", "adversarial", "predicted"):
        assert np.array_equal(getattr(found, name), getattr(written, name))


def test_a_folder_without_examples_has_none(tmp_path):
    assert Examples.read(tmp_path) is None
    assert Opened.of("", small(), tmp_path).lacking == "No examples lie beside the evaluation."


def test_as_many_samples_as_adversarials_are_expected():
    message = r"^adversarial: expected as many samples and adversarials, alike in shape, got arrays"
    with pytest.raises(ArgumentError, match=message):
        Examples("a", 0.1, np.arange(2), np.zeros((2, 3)), np.zeros((2, 4)), np.arange(2))


def test_rows_and_classes_are_whole_numbers():
    message = (
        r"^rows: expected rows and predicted classes as whole numbers, got float64 and int64\."
    )
    with pytest.raises(ArgumentError, match=message):
        Examples("a", 0.1, np.zeros(1), np.zeros((1, 3)), np.zeros((1, 3)), np.arange(1))


@pytest.mark.parametrize("place", [40, -1], ids=["middle", "end"])
def test_a_damaged_file_is_refused_by_name_and_the_page_goes_without(place, tmp_path):
    images(3).write(tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[place] ^= 1
    (tmp_path / FILE).write_bytes(content)
    message = r"^examples: expected samples beside their adversarials, got .*npz, which is damaged"
    with pytest.raises(ArgumentError, match=message):
        Examples.read(tmp_path)
    opened = Opened.of("", large(20), tmp_path)
    assert opened.examples is None
    assert opened.lacking.startswith("Left out: expected samples beside their adversarials, got")


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\x05\x06"], ids=["empty", "text", "pk"]
)
def test_a_file_that_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ArgumentError, match=r"^examples: expected .* got .*examples\.npz, which"):
        Examples.read(tmp_path)


@pytest.mark.parametrize(
    "arrays", [{"x": np.zeros(3)}, {"trial": np.array("a"), "eps": np.array("b")}], ids=["x", "eps"]
)
def test_an_archive_of_something_else_is_refused(arrays, tmp_path):
    np.savez(tmp_path / FILE, **arrays)
    with pytest.raises(ArgumentError, match=r"^examples: expected .* which cannot be read \("):
        Examples.read(tmp_path)


def test_examples_of_another_evaluation_are_left_out(tmp_path):
    images(6).write(tmp_path)
    # It has four samples, and the sixth example is of another one.
    assert Opened.of("", small(), tmp_path).lacking == (
        "Left out: the examples are of another evaluation."
    )
    images(3).write(tmp_path)
    assert Opened.of("", small(), tmp_path).examples is not None
