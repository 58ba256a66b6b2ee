"""Files are written whole or not at all; digests change with what they are of."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from art_snn import checkpoint
from art_snn.app.evaluation import record
from art_snn.app.evaluation.adversarials import Submission
from art_snn.app.evaluation.record import read_excerpt
from art_snn.checks import ArgumentError
from art_snn.files import (
    WriteFailed,
    atomic_write,
    corruption,
    digest,
    read_json,
    write_arrays,
    write_json,
    write_text,
)
from tests.classifiers import build
from tests.damage import flips, small_files_only

BASE = ("settings", 1)
ARRAY = np.arange(6.0).reshape(2, 3)
NOISE = np.random.default_rng(0).random(500)


def write_state(path: Path, content: object) -> None:
    """Write what torch saves, as a training does."""
    packed = io.BytesIO()
    torch.save(content, packed)
    with atomic_write(path) as partial:
        partial.write_bytes(packed.getvalue())


WRITERS: Mapping[str, Callable[[Path], None]] = {
    "text": lambda file: write_text(file, 4000 * "words"),
    "json": lambda file: write_json(file, {"x": NOISE.tolist()}),
    "arrays": lambda file: write_arrays(file, x=NOISE, y=NOISE[:100]),
    "tensors": lambda file: write_state(file, {"w": torch.tensor(NOISE), "words": "a"}),
}


def test_a_digest_changes_with_settings_and_values_and_not_with_memory_and_places():
    arrays = ARRAY + 1, ARRAY.T, ARRAY.astype("f4")
    others = (("settings", 2), ARRAY), *((BASE, array) for array in arrays)
    assert len({digest(BASE, ARRAY), *(digest(*other) for other in others)}) == 5
    assert digest(BASE, np.asfortranarray(ARRAY)) == digest(BASE, ARRAY)
    functions = [lambda: 0 for _ in range(2)]
    assert repr(functions[0]) != repr(functions[1])
    assert digest(functions[0]) == digest(functions[1])
    assert digest(BASE, np.zeros((0, 3)), np.array(1)) != digest(BASE)
    assert digest(BASE, torch.from_numpy(ARRAY)) == digest(BASE, ARRAY)
    assert digest(BASE, torch.ones(2).bfloat16()) != digest(BASE, torch.zeros(2).bfloat16())


@pytest.mark.parametrize("before", [None, "an earlier run"])
@pytest.mark.parametrize("text", ["half of ", None])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_the_earlier_file_and_no_other(failure, text, before, tmp_path):
    path = tmp_path / "result.txt"
    if before is not None:
        path.write_text(before)

    def write() -> None:
        with atomic_write(path) as partial:
            if text is not None:
                partial.write_text(text)
            raise failure("its own")

    with pytest.raises(failure, match=r"^its own$"):
        write()
    texts = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert texts == ({} if before is None else {"result.txt": before})


def test_a_block_that_ends_well_takes_the_place_of_the_file_only_then(tmp_path, monkeypatch):
    path = tmp_path / "made" / "here" / "result.txt"
    for text in ("first", "second"):
        with atomic_write(path) as partial:
            partial.write_text(text)
            assert partial.parent == path.parent, "a file is moved whole within one file system"
            assert path.exists() == (text == "second")
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.chdir(path.parent)
    write_text("result.txt", "ε ≤ 8/255")
    assert path.read_bytes() == "ε ≤ 8/255".encode()


def test_two_processes_that_write_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "result.txt"
    with atomic_write(path) as one, atomic_write(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


# numpy before 2 leaves the archive open, which then cannot write its end.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("write", WRITERS)
def test_a_write_that_the_system_refuses_names_file_and_reason_and_leaves_none(write, tmp_path):
    file = tmp_path / "result"
    with small_files_only(), pytest.raises(WriteFailed, match=r"result could not be .*too large"):
        WRITERS[write](file)
    assert list(tmp_path.iterdir()) == []
    (file / "inside").mkdir(parents=True)
    with pytest.raises(WriteFailed, match="Is a directory"):
        WRITERS[write](file)
    assert list(tmp_path.iterdir()) == [file]
    WRITERS[write](tmp_path / ("n" * 255))
    with pytest.raises(WriteFailed, match="File name too long"):
        WRITERS[write](tmp_path / ("n" * 256))


@pytest.mark.parametrize("write", ["arrays", "tensors"])
def test_a_flipped_bit_of_an_archive_is_found_or_changes_nothing_that_it_holds(write, tmp_path):
    file, whole = tmp_path / "archive", tmp_path / "whole"
    WRITERS[write](file)
    assert corruption(file) is None
    content = file.read_bytes()
    whole.write_bytes(content)

    def changed() -> bool:
        return corruption(file) is None and not same_content(file, whole)

    assert flips(file, content, changed) == []
    for share in (0.1, 0.5, 0.9, 0.99):
        file.write_bytes(content[: int(share * len(content))])
        assert str(corruption(file)).startswith("is damaged (")


def same_content(file: Path, whole: Path) -> bool:
    """True where the archive cannot be read, or gives what the whole one gives."""
    try:
        with np.load(file) as arrays, np.load(whole) as wanted:
            if "x" in wanted:
                return all(np.array_equal(arrays[name], wanted[name]) for name in wanted)
        tensors, wanted = (torch.load(f, weights_only=True) for f in (file, whole))
        return torch.equal(tensors["w"], wanted["w"]) and tensors["words"] == wanted["words"]
    except Exception:
        return True


def test_every_flipped_bit_of_json_is_found(tmp_path):
    file = tmp_path / "result.json"
    write_json(file, {"key": "a" * 64, "share": 0.25, "rows": {"rga": [1, None, "words"]}})
    whole = read_json(file)
    content = file.read_bytes()

    def unseen() -> bool:
        try:
            read_json(file)
        except ValueError:
            return False
        return True

    assert flips(file, content, unseen, 1) == []
    file.write_bytes(content)
    assert read_json(file) == whole


def test_json_that_was_laid_out_anew_is_still_known_and_changed_or_unsealed_it_is_damaged(tmp_path):
    file, content = tmp_path / "a.json", {"b": 0.1, "a": {"y": [1e-20, 3], "x": "é"}, "none": None}
    write_json(file, content)
    text = file.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert len(text.splitlines()) == 12
    sealed = json.loads(text)
    assert sealed == content | {"sha256": sealed["sha256"]}
    file.write_text(json.dumps(sealed, sort_keys=True, indent=4, ensure_ascii=False))
    assert read_json(file) == content
    for damaged in (sealed | {"b": 0.2}, content):
        file.write_text(json.dumps(damaged))
        with pytest.raises(ValueError, match="is damaged"):
            read_json(file)
    file.write_text("[1, 2]")
    assert read_json(file) == [1, 2]


@pytest.mark.parametrize("content", [b"", b"P", b"just words" * 20, bytes(200)])
def test_what_is_no_archive_is_left_to_whoever_reads_it(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    assert corruption(tmp_path / "file") is None


def test_what_is_no_json_is_not_written_and_leaves_the_earlier_file(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(file, {"a": object()})
    assert read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"just words", b"[" * 10**5, b'{"a":' * 10**5]
)
def test_what_holds_no_json_is_refused(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"^holds no JSON \("):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


READERS: Mapping[str, Callable[[Path], object]] = {
    "mine.npz": lambda file: Submission.read(
        file, build(), np.zeros((4, 1, 8, 8), np.float32), "inf", 0.1
    ),
    "first.npz": lambda file: read_excerpt(file.parent, 2**20),
    "examples.npz": lambda file: record.Examples.read(file.parent),
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_arrays_unpacks_what_is_too_large(name, tmp_path, monkeypatch, traced):
    monkeypatch.setattr(record, "_LARGEST", 2**20)
    write_arrays(tmp_path / name, x=np.zeros((40_000, 1, 8, 8)))
    assert (tmp_path / name).stat().st_size < 100_000
    tracemalloc.reset_peak()
    with pytest.raises(ArgumentError, match=r"states 20,480,\d{3} bytes"):
        READERS[name](tmp_path / name)
    assert traced() < 2**20


def test_weights_and_states_of_torch_are_refused_where_their_archive_is_packed(tmp_path):
    file, packed = tmp_path / "weights.pt", tmp_path / "packed.pt"
    write_state(file, {"w": torch.zeros(10**6)})
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in whole.namelist():
            new.writestr(name, whole.read(name))
    assert torch.equal(torch.load(packed, weights_only=True)["w"], torch.zeros(10**6))
    assert (corruption(file, packed=False), corruption(packed)) == (None, None)
    with pytest.raises(checkpoint.CheckpointError, match=r"it states 4,\d{3},\d{3} bytes"):
        checkpoint.load(build(), packed)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as new:
        new.writestr("x", bytes(1000))
    assert "is not compressed as numpy" in str(corruption(packed))
