"""Samples with their adversarials: on disk, and left out where they are damaged."""

import numpy as np
import pytest

from art_snn.app.report.evaluation import Examples, ReportItem
from art_snn.checks import ArgumentError
from tests.evaluations import images, large, small

FILE = "examples.npz"


def test_examples_are_read_as_they_were_written(tmp_path):
    written = images(3)
    written.write(tmp_path)
    read = Examples.read(tmp_path)
    assert vars(read).keys() == vars(written).keys()
    assert all(np.array_equal(getattr(read, name), value) for name, value in vars(written).items())


def test_a_folder_without_examples_has_none(tmp_path):
    assert Examples.read(tmp_path) is None
    assert "no examples" in ReportItem.of("", small(), tmp_path).objection


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((np.arange(2), np.zeros((2, 3)), np.zeros((2, 4)), np.arange(2)), "adversarial: .*alike"),
        ((np.zeros(1), np.zeros((1, 3)), np.zeros((1, 3)), np.arange(1)), "rows: .*float64"),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_name(columns, message):
    with pytest.raises(ArgumentError, match=f"^{message}"):
        Examples("a", 0.1, *columns)


@pytest.mark.parametrize("place", [40, -1], ids=["middle", "end"])
def test_a_damaged_file_is_refused_by_name_and_the_page_goes_without(place, tmp_path):
    images(3).write(tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[place] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ArgumentError, match=r"^examples: .*npz, which is damaged"):
        Examples.read(tmp_path)
    item = ReportItem.of("", large(20), tmp_path)
    assert item.examples is None
    assert item.objection.startswith("Left out: expected samples next to")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06"])
def test_a_file_that_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ArgumentError, match=r"^examples: .*examples\.npz, which"):
        Examples.read(tmp_path)


@pytest.mark.parametrize(
    "arrays", [{"x": np.zeros(3)}, {"trial": np.array("a"), "eps": np.array("b")}], ids=["x", "eps"]
)
def test_an_archive_of_something_else_is_refused(arrays, tmp_path):
    np.savez(tmp_path / FILE, **arrays)
    with pytest.raises(ArgumentError, match=r"^examples: .*cannot be read"):
        Examples.read(tmp_path)


def test_examples_of_another_evaluation_are_left_out(tmp_path):
    images(6).write(tmp_path)
    # It has four samples, and the sixth example is of another one.
    assert "of another evaluation" in ReportItem.of("", small(), tmp_path).objection
    images(3).write(tmp_path)
    assert ReportItem.of("", small(), tmp_path).examples is not None
