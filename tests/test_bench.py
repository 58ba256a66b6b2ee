"""`make bench`: with which record a measurement is compared, what is printed, the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from art_snn.app.resume import as_json
from art_snn.measuring import process
from tests import bench
from tests.bench import Record, changes, last, main, read
from tests.command import forbidden

THEN = Record(
    processor="Some CPU",
    threads=2,
    native_bfloat16=True,
    measured="One input gradient: a network",
    date="2026-01-02 03:04",
    version="0.1.0",
    commit="abcdef1",
    torch="2.4.0",
    seconds=2.0,
    peak=3 * 2**20,
    time={"rga": 1.25, "stbp": 2.5, "rga, bfloat16": 0.5},
    memory={"rga": 1.0, "stbp": 4.0},
)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A measurement sets those of its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_only_ratios_of_one_kind_that_moved_by_more_than_a_tenth_are_changes():
    now = replace(THEN, time={"rga": 1.38, "stbp": 2.25, "hart": 9.0}, memory={"stbp": 3.5})
    assert changes(THEN, now) == {
        "time of rga": pytest.approx(0.104),
        "memory of stbp": pytest.approx(-0.125),
    }
    later = replace(THEN, torch="2.13.0", version="0.2.0", commit="", date="2026-02-02 03:04")
    assert last([THEN, later, replace(THEN, processor="Other CPU")], THEN.kind) is later
    others = {"threads": 1, "native_bfloat16": False, "measured": "another network"}
    assert all(last([replace(THEN, **{k: v})], THEN.kind) is None for k, v in others.items())


@pytest.mark.parametrize(
    ("time", "status", "words"),
    [
        ({"rga": 1.5}, 1, "time of rga 1.25 1.50 +20 %"),
        ({"rga": 1.0}, 0, "time of rga 1.25 1.00 -20 %"),
        ({"rga": 1.3}, 0, "Nothing moved by more than a tenth."),
    ],
)
def test_what_moved_is_printed_and_only_what_became_slower_fails(
    time, status, words, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "records.json"
    file.write_text(json.dumps(as_json([THEN])))
    now = replace(THEN, time=THEN.time | time)
    monkeypatch.setattr(bench, "measured", lambda asked: now)
    assert main(["--file", str(file), "--record"]) == status
    assert words in " ".join(capsys.readouterr().out.split())
    assert read(file) == [THEN, now]
    # A file of something else is refused before anything is measured, and left alone.
    monkeypatch.setattr(bench, "measured", forbidden)
    file.write_text("[3]")
    assert main(["--file", str(file), "--record"]) == 2
    assert f"error: --file: expected records of make bench, got {file}" in capsys.readouterr().err
    assert file.read_text() == "[3]"


def test_a_small_run_measures_every_row_and_recognises_its_own_record(
    tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(process, "in_fresh_process", lambda call, *given: 2**20 + call(*given))
    monkeypatch.setattr(bench, "multiplies_bfloat16", lambda device: True)
    words = ["--small", "--record", "--file", str(tmp_path / "records.json")]
    assert main(words) == 0
    assert "There is no record of this kind yet" in capsys.readouterr().out
    (record,) = read(tmp_path / "records.json")
    rows = ["rga", "stbp", "stock rga", "stock stbp"]
    assert list(record.time) == list(record.memory) == rows + [f"{row}, bfloat16" for row in rows]
    monkeypatch.setattr(bench, "measured", lambda asked: record)
    assert main(words[1:]) == 0
    assert "Nothing moved" in capsys.readouterr().out
    assert all(isinstance(one, Record) for one in read(bench.RECORDS))
