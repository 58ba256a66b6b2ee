"""The folder of a run: writable, one run's at a time, and clean."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from art_snn.app import folder as module
from art_snn.app.folder import locked
from art_snn.checks import ArgumentError

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from art_snn.app.folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_block_leaves_what_it_writes_and_nothing_else(tmp_path):
    folder = tmp_path / "new" / "deep"
    with locked(folder):
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
    with locked(folder):
        (folder / "result").write_text("done")
    assert [file.name for file in folder.iterdir()] == ["result"]


def test_a_folder_that_was_there_stays_also_when_it_is_empty(tmp_path):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="a bug"), locked(tmp_path):
            raise RuntimeError("a bug")
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_told_who_holds_the_folder(tmp_path):
    since = r"since \d+-\d+-\d+ \d+:\d+, holds\. Wait for its end, or choose"
    message = rf"^output: .*no other run .*, got .*out, which process {os.getpid()} on .*, {since}"
    with locked(tmp_path / "out"):
        (tmp_path / "out" / "result").write_text("half")
        with pytest.raises(ArgumentError, match=message), locked(tmp_path / "out"):
            raise AssertionError("both hold it")
        assert (tmp_path / "out" / "result").read_text() == "half"
    with locked(tmp_path / "out"):
        pass


def test_a_run_of_another_process_holds_the_folder_until_it_ends_or_is_killed(tmp_path):
    out = tmp_path / "out"
    for end in ("close", "kill"):
        other = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ArgumentError, match=f"which process {other.pid} on"), locked(out):
            raise AssertionError("both hold it")
        if end == "kill":
            other.kill()
        other.communicate("")
        assert out.exists() == (end == "kill")
        with locked(out):
            assert f"process {os.getpid()} on" in (out / ".running").read_text()
        assert list(tmp_path.rglob("*")) == ([out] if end == "kill" else [])


def test_a_run_that_has_not_told_yet_that_it_holds_the_folder_is_waited_for(tmp_path, monkeypatch):
    with locked(tmp_path):
        words = (tmp_path / ".running").read_text()
        (tmp_path / ".running").unlink()
        later = threading.Timer(0.2, (tmp_path / ".running").write_text, [words])
        later.start()
        message = f"which process {os.getpid()} on"
        with pytest.raises(ArgumentError, match=message), locked(tmp_path):
            raise AssertionError("both hold it")
        later.join()
        (tmp_path / ".running").unlink()
        monkeypatch.setattr(module, "MOMENT", 0.1)
        with pytest.raises(ArgumentError, match="which another run holds"), locked(tmp_path):
            raise AssertionError("both hold it")


def test_of_many_threads_that_want_a_folder_one_at_a_time_has_it(tmp_path):
    inside, seen, refused = [], [], []

    def work() -> None:
        for _ in range(20):
            try:
                with locked(tmp_path / "out"):
                    inside.append(1)
                    seen.append(len(inside))
                    inside.pop()
            except ArgumentError as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {1}
    assert len(seen) + len(refused) == 80


def test_what_a_run_left_unfinished_that_was_killed_is_removed(tmp_path):
    (tmp_path / "decay-1").mkdir()
    names = ("a.json.01234567.part", "decay-1/training.pt.89abcdef.part")
    for left in map(tmp_path.joinpath, names):
        left.write_text("half")
    (tmp_path / "a.json").write_text("whole")
    with locked(tmp_path):
        names = {file.name for file in tmp_path.rglob("*") if file.is_file()}
        assert names == {"a.json", ".lock", ".running"}


def test_unfinished_files_of_others_and_of_other_runs_stay(tmp_path):
    names = ("film.mkv.part", "holiday/film.part", "run/network.safetensors.01234567.part")
    names += (
        "decay-1/network.safetensors.01234567.part",
        "decay-1/.lock",
        "blocks/deep/a.01234567.part",
    )
    for path in map(tmp_path.joinpath, names):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("half")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="refused"), locked(tmp_path):
            raise RuntimeError("refused")
    assert {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()} == {*names}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_into_is_refused_before_anything_is_done(
    code, tmp_path, monkeypatch
):
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    message = rf"^output: .*can be written into, got .*out \(.*{os.strerror(code)}.*make room in it"
    for where in ("write_text", "_locked"):
        with monkeypatch.context() as patch:
            patch.setattr(module, where, full)
            with pytest.raises(ArgumentError, match=message), locked(tmp_path / "new" / "out"):
                raise AssertionError("at work in a folder that takes nothing")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ArgumentError, match=r"^output: .*Permission denied"):
            locked(tmp_path / "out").__enter__()
    finally:
        tmp_path.chmod(0o700)
