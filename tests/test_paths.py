"""Paths that no file can have, that may not be read, and behind which something else lies."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from art_snn.checkpoint import load
from art_snn.checks import ArgumentError, MissingFile
from art_snn.data import Source, events, from_folder, from_npz, images
from tests import small
from tests.data.test_npz import saved
from tests.datasets import picture

READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "Source(data)": ("data", lambda path: Source(data=path).load()),
    "from_npz": ("data", from_npz),
    "from_folder": ("data", from_folder),
    "images(root)": ("root", lambda path: images("mnist", path)),
    "images(packaged)": ("packaged", lambda path: images("fashion-mnist", packaged=path)),
    "events(root)": ("root", lambda path: events("nmnist", path)),
    "load(path)": ("path", lambda path: load(small.classifier().model, path)),
    "Source(root)": ("root", lambda path: Source(data="cifar10", root=Path(path)).load()),
}
"""Whatever takes a path, with the name of the argument."""


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Takes the right to read away; root has it all the same, and is told otherwise."""

    def shut(path: Path) -> None:
        path.chmod(0)
        if os.geteuid() == 0:
            monkeypatch.setattr(os, "access", lambda other, mode: Path(other) != path)

    return shut


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    # By a relative name, since a socket's may have a hundred letters only.
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)
    os.chdir(here)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


OTHERS = {"a named pipe": pipe, "a socket": listening, "a device": device, "a folder": Path.mkdir}


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
    message = rf"^{argument}: expected a path that can be looked up, got {got}\. Check the spelling"
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
    message = rf"^{argument}: expected a path that .*shut/x\.npz' \(Permission denied\)\. Check"
    with pytest.raises(ArgumentError, match=message):
        read(str(folder / "x.npz"))


@pytest.mark.parametrize(
    "reader", ["Source(data)", "from_folder", "images(root)", "events(root)", "from_npz"]
)
def test_what_may_not_be_read_is_refused(reader, tmp_path, shut):
    if reader == "from_npz":
        path, expected = saved(tmp_path), r"a \.npz file"
    else:
        path, expected = tmp_path / "sets", "a folder of .*"
        path.mkdir()
    shut(path)
    argument, read = READERS[reader]
    message = (
        rf"^{argument}: expected {expected}, got .*{path.name}, which may not be read\. Change"
    )
    with pytest.raises(ArgumentError, match=message):
        read(str(path))


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("reader", ["from_npz", "load(path)", "Source(data)"])
def test_what_is_no_file_is_not_waited_for_under_the_name_of_one(reader, kind, tmp_path):
    if (reader, kind) == ("Source(data)", "a folder"):
        pytest.skip("it is read as a folder of pictures")
    path = tmp_path / "x.npz"
    OTHERS[kind](path)
    argument, read = READERS[reader]
    message = rf"^{argument}: expected a .* file, got .*x\.npz, {kind}\. Give a file instead\."
    with pytest.raises(ArgumentError, match=message):
        read(str(path))


def test_an_empty_word_or_a_pipe_of_another_name_is_none_of_the_data_sets(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(ArgumentError, match=r"^data: expected one of .*, got '.*x', a named pipe"):
        Source(data=str(tmp_path / "x")).load()
    with pytest.raises(ArgumentError, match=r"^data: expected a path, got an empty word\. Check"):
        Source(data="").load()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures of two classes."""
    for name in ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"):
        picture(tmp_path / name, 1)
    return tmp_path


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_named_like_a_picture_and_is_none_is_refused_by_its_name(kind, pictures):
    OTHERS[kind](pictures / "cat" / "x.png")
    expected = "files of that name" if kind == "a folder" else "pictures that PIL reads"
    with pytest.raises(ArgumentError, match=rf"^data: expected {expected}, got .*x\.png, {kind}\."):
        from_folder(pictures, test_share=0.5)


@pytest.mark.parametrize("reader", ["Source(data)", "from_npz", "from_folder"])
def test_a_link_to_nothing_is_named_with_what_it_leads_to(reader, pictures):
    path = link = pictures / "x.npz"
    read = READERS[reader][1]
    if reader == "from_folder":
        path, link, read = pictures, pictures / "dog/x.png", partial(from_folder, test_share=0.5)
    link.symlink_to("gone")
    with pytest.raises(
        MissingFile, match=rf"^data: .* but .*{link.name}, a link to gone, does not"
    ):
        read(str(path))


@pytest.mark.parametrize("reader", ["images(root)", "events(root)", "Source(root)"])
def test_a_root_that_is_a_file_is_refused(reader, tmp_path):
    (tmp_path / "sets").write_text("just words")
    message = r"^root: expected a folder of data sets, got .*sets, a file\. Give a folder instead\."
    with pytest.raises(ArgumentError, match=message):
        READERS[reader][1](str(tmp_path / "sets"))


def test_an_empty_file_of_any_name_is_no_file_of_arrays(tmp_path):
    (tmp_path / "x").touch()
    message = r"^data: expected a \.npz file of arrays, got .*, which cannot be read \(.+\)\. Write"
    with pytest.raises(ArgumentError, match=message):
        Source(data=str(tmp_path / "x")).load()
