"""`make bench`: which record a measurement is set against, what is told, and the exit status."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn.experiments.resume import as_json
from art_snn.experiments.tables import render
from tests import bench
from tests.bench import Record, changes, last, main, read, report
from tests.command import forbidden, interrupted

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


def now(**ratios: float) -> Record:
    """As then, but for the times of these rows, and half a year later on another torch."""
    later = replace(THEN, date="2026-07-02 03:04", commit="", torch="2.13.0", seconds=2.5)
    return replace(later, time=THEN.time | ratios)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.json"


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A measurement sets those of its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ran(file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs make bench where the measurement finds what is given; returns the exit status."""

    def run(found: Record, *words: str) -> int:
        monkeypatch.setattr(bench, "measured", lambda asked: found)
        return main(["--file", str(file), *words])

    return run


def test_only_what_moved_by_more_than_a_tenth_is_a_change_either_way():
    then = replace(THEN, time={"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 1.0})
    found = now(a=1.1, b=1.101, c=0.9, d=0.899, e=1.0)
    found = replace(found, time={row: found.time[row] for row in then.time})
    assert changes(then, found) == {
        "time of b": pytest.approx(0.101),
        "time of d": pytest.approx(-0.101),
    }


def test_memory_is_compared_as_time_is():
    grown = replace(now(), memory={"rga": 1.0, "stbp": 5.0})
    assert changes(THEN, grown) == {"memory of stbp": pytest.approx(0.25)}


def test_rows_that_one_side_lacks_are_told_and_not_compared():
    other = replace(now(), time={"rga": 1.25, "hart": 1.5}, memory={"rga": 1.0})
    assert changes(THEN, other) == {}
    text = render(report(THEN, other))
    assert "Measured now only: time of hart." in text
    assert "Measured then only: memory of stbp, time of rga, bfloat16, time of stbp." in text
    assert "only" not in render(report(THEN, now()))


@pytest.mark.parametrize(
    "difference",
    [
        {"processor": "Other CPU"},
        {"threads": 1},
        {"native_bfloat16": False},
        {"measured": "One input gradient: another network"},
    ],
)
def test_a_record_of_another_kind_is_not_compared(difference):
    other = replace(THEN, **difference)
    assert last([other], THEN.kind) is None
    assert last([THEN, other], THEN.kind) is THEN


def test_the_last_record_of_the_kind_is_taken_whatever_its_versions():
    later = replace(THEN, torch="2.13.0", version="0.2.0", commit="", date="2026-02-02 03:04")
    assert last([THEN, later], now().kind) is later
    assert last([], now().kind) is None


def test_what_moved_is_told_as_a_table(ran, file, capsys):
    file.write_text(json.dumps(as_json([THEN])))
    assert ran(now(rga=1.5, stbp=2.0)) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].endswith("network; Some CPU, 2 threads, with native bfloat16.")
    assert lines[1:3] == [
        "Now: 2026-07-02 03:04, art_snn 0.1.0, torch 2.13.0; an inference takes 2.5 s and 3 MiB.",
        "Then: 2026-01-02 03:04, art_snn 0.1.0 (abcdef1), torch 2.4.0; 2 s and 3 MiB.",
    ]
    assert lines[4:7] == [
        "in inferences then now change",
        "time of rga 1.25 1.50 +20 %",
        "time of stbp 2.50 2.00 -20 %",
    ]
    assert "Nothing moved" not in " ".join(lines)


def test_what_became_faster_is_told_and_no_failure(ran, file, capsys):
    file.write_text(json.dumps(as_json([THEN])))
    assert ran(now(rga=1.0)) == 0
    assert "-20 %" in capsys.readouterr().out


def test_one_sentence_tells_that_nothing_moved(ran, file, capsys):
    file.write_text(json.dumps(as_json([THEN])))
    assert ran(now(rga=1.3)) == 0
    out = capsys.readouterr().out
    assert "Nothing moved by more than a tenth." in out
    assert "change" not in out


def test_one_sentence_tells_that_there_is_no_record_and_how_to_make_one(ran, file, capsys):
    assert ran(now()) == 0
    assert capsys.readouterr().out == (
        f"{now().kind}.\n"
        "There is no record of this kind yet; make bench ARGS=--record makes one.\n\n"
    )
    assert not file.exists()


def test_a_measurement_is_recorded_behind_the_others_where_it_is_asked_for(ran, file, capsys):
    other = replace(THEN, processor="Other CPU")
    assert ran(other, "--record") == 0
    assert ran(THEN, "--record") == 0
    assert f"Recorded in {file}." in capsys.readouterr().out
    assert read(file) == [other, THEN]
    assert ran(now(stbp=3.0), "--record") == 1, "it is recorded, and tells what it is"
    assert read(file) == [other, THEN, now(stbp=3.0)]


def test_a_further_record_changes_no_line_of_the_earlier_ones(ran, file):
    ran(THEN, "--record")
    before = file.read_text().splitlines()
    ran(now(), "--record")
    after = file.read_text().splitlines()
    assert after[: len(before) - 2] == before[:-2]
    assert max(map(len, after)) < 100


def test_what_another_run_recorded_meanwhile_is_kept(file, monkeypatch):
    def measured(asked: object) -> Record:
        file.write_text(json.dumps(as_json([THEN])))
        return now()

    monkeypatch.setattr(bench, "measured", measured)
    assert main(["--file", str(file), "--record"]) == 0
    assert read(file) == [THEN, now()]


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in as_json(THEN).items() if name != field}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "which holds no JSON"),
        ("[{", "which holds no JSON"),
        ("{}", "which holds no list of records"),
        ("null", "which holds no list of records"),
        ("[3]", "whose record 1 cannot be read (expected an object of named fields, got 3)"),
        (
            [as_json(THEN), without("time")],
            "whose record 2 cannot be read (its field time: missing)",
        ),
        ([as_json(THEN) | {"threads": "2"}], "(its field threads: expected a whole number, got"),
        ([as_json(THEN) | {"time": {"rga": 0}}], "expected a number above 0, got 0"),
        ([as_json(THEN) | {"memory": {"rga": None}}], "expected a number, got null"),
    ],
)
def test_a_damaged_file_is_refused_before_anything_is_measured(
    content, message, file, capsys, monkeypatch
):
    monkeypatch.setattr(bench, "measured", forbidden)
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text)
    assert main(["--file", str(file), "--record"]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"error: --file: expected records of make bench, got {file}, ")
    assert message in complaint
    assert complaint.endswith("Take the file from the repository again.\n")
    assert file.read_text() == text


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "measured", forbidden)
    assert main(["--file", str(tmp_path)]) == 2
    assert "a folder. Give a file instead." in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(ran, file, capsys):
    file.parent.joinpath("taken").write_text("")
    inside = str(file.parent / "taken" / "records.json")
    assert ran(now(), "--file", inside, "--record") == 74
    assert f"error: {inside} could not be written" in capsys.readouterr().err


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--recrod"])
    assert "unrecognized arguments: --recrod" in capsys.readouterr().err


def test_a_run_that_is_stopped_leaves_by_its_signal_and_records_nothing(file, monkeypatch):
    monkeypatch.setattr(bench, "measured", interrupted)
    assert main(["--file", str(file), "--record"]) == 130
    assert not file.exists()


def test_the_records_of_the_repository_can_be_read():
    assert all(isinstance(record, Record) for record in read(bench.RECORDS))


@pytest.mark.parametrize("native", [True, False])
def test_a_small_run_measures_every_row_and_finds_its_own_record(
    native, ran, file, monkeypatch, capsys
):
    module = importlib.import_module("art_snn.experiments.cost.run")
    monkeypatch.setattr(module, "in_fresh_process", lambda call, *given: 2**20 + call(*given))
    monkeypatch.setattr(bench, "multiplies_bfloat16", lambda device: native)
    assert main(["--small", "--record", "--file", str(file)]) == 0
    assert "There is no record of this kind yet" in capsys.readouterr().out
    (record,) = read(file)
    rows = ["rga", "stbp", "stock rga", "stock stbp"]
    expected = rows + [f"{row}, bfloat16" for row in rows if native]
    assert list(record.time) == list(record.memory) == expected
    assert record.native_bfloat16 == native
    assert record.measured.startswith("One input gradient: vgg5 of width 0.1, T = 2")
    assert record.torch == torch.__version__
    assert ran(record) == 0
    assert "Nothing moved" in capsys.readouterr().out
