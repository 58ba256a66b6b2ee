"""Files are written whole or not at all; digests change with what they are of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from art_snn.files import digest, read_json, whole, write_arrays, write_json, write_text

BASE = ("settings", 1)
ARRAY = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("settings", "array"),
    [(("settings", 2), ARRAY), (BASE, ARRAY + 1), (BASE, ARRAY.T), (BASE, ARRAY.astype("f4"))],
)
def test_a_digest_changes_with_settings_and_with_values(settings, array):
    assert digest(settings, array) != digest(BASE, ARRAY)


def test_a_digest_is_the_same_for_equal_arrays_in_other_memory_and_functions_elsewhere():
    assert digest(BASE, np.asfortranarray(ARRAY)) == digest(BASE, ARRAY)
    functions = [lambda: 0 for _ in range(2)]
    assert repr(functions[0]) != repr(functions[1])
    assert digest(functions[0]) == digest(functions[1])
    assert digest(BASE, np.zeros((0, 3)), np.array(1)) != digest(BASE)


@pytest.mark.parametrize("before", [None, "an earlier run"])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_the_earlier_file_and_no_other(failure, before, tmp_path):
    path = tmp_path / "result.txt"
    if before is not None:
        path.write_text(before)

    def write() -> None:
        with whole(path) as partial:
            partial.write_text("half of ")
            raise failure

    with pytest.raises(failure):
        write()
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == ({} if before is None else {"result.txt": before})


def test_a_block_that_fails_before_it_writes_leaves_its_own_failure(tmp_path):
    def fail() -> None:
        with whole(tmp_path / "result.txt"):
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match=r"^no memory$"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_ends_well_takes_the_place_of_the_file_only_then(tmp_path):
    path = tmp_path / "made" / "here" / "result.txt"
    for text in ("first", "second"):
        with whole(path) as partial:
            partial.write_text(text)
            assert partial.parent == path.parent, "a file is moved whole within one file system"
            assert path.exists() == (text == "second")
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_program_left_behind_is_written_over(tmp_path):
    (tmp_path / "result.txt.part").write_text("something that is longer")
    write_text(tmp_path / "result.txt", "short")
    assert [file.name for file in tmp_path.iterdir()] == ["result.txt"]
    assert (tmp_path / "result.txt").read_text() == "short"


def test_a_path_may_be_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with whole("result.txt") as partial:
        partial.write_text("done")
    assert Path("result.txt").read_text() == "done"


def test_json_is_one_value_per_line_and_comes_back(tmp_path):
    content = {"share": 0.5, "words": ["as", "é"], "none": None}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content == read_json(tmp_path / "a.json")
    assert text.endswith("}\n")
    assert len(text.splitlines()) == 8


def test_what_is_no_json_is_not_written_and_leaves_the_earlier_file(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(file, {"a": object()})
    assert read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"just words"])
def test_what_holds_no_json_is_read_as_none(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") is None


def test_a_file_that_is_not_there_is_not_read_as_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


def test_text_is_written_in_utf_8(tmp_path):
    write_text(tmp_path / "a.md", "ε ≤ 8/255")
    assert (tmp_path / "a.md").read_bytes() == "ε ≤ 8/255".encode()


def test_arrays_are_written_whole_under_the_very_name(tmp_path, monkeypatch):
    file = tmp_path / "arrays"
    write_arrays(file, x=ARRAY)

    def stop(stream: object, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", stop)
        with pytest.raises(KeyboardInterrupt):
            write_arrays(file, x=ARRAY + 1)
    assert list(tmp_path.iterdir()) == [file]
    with np.load(file) as found:
        assert np.array_equal(found["x"], ARRAY)
