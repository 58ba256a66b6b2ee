"""Checks of arguments and paths: what passes, and the one form of every complaint."""

import math
import os
import pickle
import re
import socket
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from art_snn.app.architecture import Architecture
from art_snn.app.network import random_samples
from art_snn.checkpoint import load
from art_snn.checks import (
    ArgumentError,
    MissingFile,
    first_line,
    invalid,
    require_choice,
    require_count,
    require_distinct,
    require_memory,
    require_number,
    require_whole,
)
from art_snn.data import Source, events, from_folder, from_npz, images
from tests import classifiers as small
from tests.data.test_npz import saved


def test_a_complaint_names_argument_expectation_what_came_and_remedy():
    error = invalid("eps", expected="a number", got="'x'", remedy="Use 0.1.")
    assert isinstance(error, ArgumentError)
    assert str(error) == "eps: expected a number, got 'x'. Use 0.1."
    assert error.complaint == "expected a number, got 'x'. Use 0.1."
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("kind", "usual"), [(ArgumentError, ValueError), (MissingFile, FileNotFoundError)]
)
def test_a_complaint_is_what_python_calls_it_and_passes_through_a_pickle(kind, usual):
    for error in (kind("eps", "a, got b."), pickle.loads(pickle.dumps(kind("eps", "a, got b.")))):
        assert type(error) is kind
        assert isinstance(error, ArgumentError)
        assert isinstance(error, usual)
        assert (error.argument, str(error)) == ("eps", "eps: a, got b.")


def test_a_word_out_of_those_that_are_known_passes_and_any_other_is_refused():
    require_choice("reset", "hard", ("hard", "soft"), remedy="")
    for value in ("Hard", "", None, 1, ["hard"]):
        message = rf"^reset: .*hard, soft, got {re.escape(repr(value))}\. Choose\.$"
        with pytest.raises(ArgumentError, match=message):
            require_choice("reset", value, ("hard", "soft"), remedy="Choose.")


@pytest.mark.parametrize("value", [-3, 0, 1.0, 2.5, True, None, "4", math.nan])
def test_a_whole_number_is_returned_as_an_int_and_anything_else_is_refused(value):
    for whole, check in product((1, np.int64(3), 10**9), (require_whole, require_count)):
        number = check("n", whole, remedy="")
        assert number == whole
        assert type(number) is int
    with pytest.raises(ValueError, match=r"^steps: .*>= 1, got .*Count\.$"):
        require_count("steps", value, remedy="Count.")
    if value == 0:
        assert require_whole("seed", value, remedy="") == 0
        return
    with pytest.raises(ValueError, match=r"^seed: .*>= 0, got .*Use 0\.$"):
        require_whole("seed", value, remedy="Use 0.")


NO_NUMBERS = (math.nan, math.inf, True, None, "0.5", 1j)
BOUNDS = {
    "above 0 and at most 1": ({"above": 0, "up_to": 1}, (1e-300, 0.5, 1, 1.0), (0, -1, 1.0001)),
    "of at least 0 and below 1": ({"at_least": 0, "below": 1}, (0, 0.5), (1, 1.5, -0.1)),
    "above 2": ({"above": 2}, (2.5, 1e300), (2, 1.5, -math.inf)),
    "from 1e-06 to 1": ({"above": 0, "within": (1e-6, 1)}, (1e-6, 1), (1e-30, 1e30)),
}


@pytest.mark.parametrize("words", BOUNDS)
def test_a_number_within_the_bounds_is_returned_as_a_float_and_others_refused_by_them(words):
    bounds, good, bad = BOUNDS[words]
    for value in good:
        number = require_number("beta", value, **bounds, remedy="")
        assert number == value
        assert type(number) is float
    for value in bad:
        with pytest.raises(ValueError, match=rf"^beta: .*{words}, got .*Raise it\.$"):
            require_number("beta", value, **bounds, remedy="Raise it.")
    for value in NO_NUMBERS:
        with pytest.raises(ValueError, match=r"^beta: .*, got .*Raise it\.$"):
            require_number("beta", value, **bounds, remedy="Raise it.")


def test_what_is_long_is_told_without_its_middle():
    assert len(str(invalid("eps", "a number", "x " * 5000, "Use 0.1."))) < 2000
    assert "got 1000" in str(invalid("eps", "a number", 10**300, "Use 0.1."))


def test_no_values_and_values_that_occur_twice_are_refused():
    require_distinct("eps", (0.1, 0.25))
    with pytest.raises(ArgumentError, match=r"^eps: expected at least one, got none"):
        require_distinct("eps", ())
    with pytest.raises(ArgumentError, match=r"^eps: .*0\.1, 0\.25, 0\.1"):
        require_distinct("eps", (0.1, 0.25, 0.1))


def test_what_fits_into_memory_passes_and_what_does_not_is_refused_with_both_sizes(monkeypatch):
    pages = {"SC_PAGE_SIZE": 2**12, "SC_PHYS_PAGES": 2**18}
    monkeypatch.setattr(os, "sysconf", pages.get, raising=False)
    there = 2**30
    require_memory("width", 1, "weights", there, remedy="")
    with pytest.raises(ValueError, match=r"^width: .*weights that fit into the 1\.0 GiB"):
        require_memory("width", 9, "weights", there + 1, remedy="")
    with pytest.raises(ValueError, match=r"got 9, .*1,048,576\.0 GiB\. Less"):
        require_memory("width", 9, "weights", 2**50, remedy="Less.")


@pytest.mark.parametrize(
    ("argument", "options", "side"), [("width", {"width": 64.0}, 2**12), ("image_size", {}, 2**15)]
)
def test_networks_and_samples_that_do_not_fit_are_never_made(argument, options, side):
    with pytest.raises(ValueError, match=rf"^{argument}: .*makes weights"):
        Architecture(**options).build(shape=(3, side, side))
    with pytest.raises(ValueError, match=r"^samples: .*makes samples"):
        random_samples(Architecture(width=0.01), 2**31 - 1, channels=3, image_size=2**10)


READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "Source(data)": ("data", lambda path: Source(data=path).load()),
    "from_npz": ("data", from_npz),
    "from_folder": ("data", from_folder),
    "images(root)": ("root", lambda path: images("mnist", path)),
    "events(root)": ("root", lambda path: events("nmnist", path)),
    "load(path)": ("path", lambda path: load(small.classifier().model, path)),
    "Source(root)": ("root", lambda path: Source(data="cifar10", root=Path(path)).load()),
}
"""Whatever takes a path, with the name of the argument."""


def link(path: Path) -> None:
    path.symlink_to("gone")


def listening(path: Path) -> None:
    # By a relative name, since a socket's may have a hundred letters only.
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)
    os.chdir(here)


OTHERS: dict[str, Callable[[Path], None]] = {
    "a named pipe": lambda path: os.mkfifo(path),
    "a socket": listening,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize(
    ("path", "got"),
    [
        ("x" * 5_000, r"'x{39}\.\.\.x{19}' \(File name too long\)"),
        ("a\0b.npz", r"'a\\x00b\.npz' \(.*embedded null .*\)"),
        ("~nobody-of-this-name/x", r"'~nobody-of-this-name/x' \(.+\)"),
    ],
    ids=["too long", "a NUL byte", "no such home"],
)
@pytest.mark.parametrize("reader", READERS)
def test_a_path_that_no_file_can_have_is_refused_by_its_argument(reader, path, got):
    argument, read = READERS[reader]
    message = rf"^{argument}: .*looked up, got {got}\. "
    with pytest.raises(ArgumentError, match=message) as caught:
        read(path)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("reader", READERS)
def test_what_lies_in_a_folder_that_may_not_be_entered_is_refused(reader, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may enter every folder")
    folder = tmp_path / "shut"
    folder.mkdir(mode=0)
    argument, read = READERS[reader]
    with pytest.raises(ArgumentError, match=rf"^{argument}: .*Permission denied"):
        read(str(folder / "x.npz"))


@pytest.mark.parametrize(
    "reader", ["Source(data)", "from_folder", "images(root)", "events(root)", "from_npz"]
)
def test_what_may_not_be_read_is_refused(reader, tmp_path, monkeypatch):
    if reader == "from_npz":
        path = saved(tmp_path)
    else:
        path = tmp_path / "sets"
        path.mkdir()
    path.chmod(0)
    if os.geteuid() == 0:  # It may read everything, and is told otherwise.
        monkeypatch.setattr(os, "access", lambda other, mode: Path(other) != path)
    argument, read = READERS[reader]
    with pytest.raises(ArgumentError, match=rf"^{argument}: .*{path.name}, .*not be read"):
        read(str(path))


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("reader", ["from_npz", "load(path)", "Source(data)"])
def test_what_is_no_file_is_not_waited_for_under_the_name_of_one(reader, kind, tmp_path):
    if (reader, kind) == ("Source(data)", "a folder"):
        pytest.skip("it is read as a folder of pictures")
    path = tmp_path / "x.npz"
    OTHERS[kind](path)
    argument, read = READERS[reader]
    with pytest.raises(ArgumentError, match=rf"^{argument}: .*x\.npz, {kind}\."):
        read(str(path))


ROOTS = ("images(root)", "events(root)", "Source(root)")
UNSUITED = [
    ("Source(data)", "x", OTHERS["a named pipe"], "data: .*a named pipe"),
    ("Source(data)", "x", Path.touch, "data: .*cannot be read"),
    *((name, "x.npz", link, "data: .*link to gone") for name in ("Source(data)", "from_npz")),
    *((name, "sets", Path.touch, "root: .*a file") for name in ROOTS),
]


@pytest.mark.parametrize(("reader", "name", "make", "words"), UNSUITED)
def test_what_is_none_of_the_data_is_named(reader, name, make, words, tmp_path):
    make(tmp_path / name)
    with pytest.raises(ArgumentError, match=f"^{words}") as caught:
        READERS[reader][1](str(tmp_path / name))
    assert isinstance(caught.value, MissingFile) == (make is link)


def test_an_empty_word_is_none_of_the_data_sets():
    with pytest.raises(ArgumentError, match=r"^data: .*empty string"):
        Source(data="").load()
