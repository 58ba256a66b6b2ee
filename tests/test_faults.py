"""A little of what `make test-faults` does to every command at length."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip(
        "forks of a process that has imported torch are safe on Linux", allow_module_level=True
    )

from tests.faults.commands import Bench
from tests.faults.outputs import limited, refused
from tests.faults.pairs import of_commands, of_savers
from tests.faults.report import Report
from tests.faults.stops import kills


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("faults"), 0)


@pytest.fixture
def report() -> Report:
    return Report()


def test_a_command_that_is_killed_goes_on_to_the_same_results(bench, report):
    kills(bench, report, {"train": 2, "compare": 1})
    assert report.failures == []
    assert report.counts["kills"] >= 3


@pytest.mark.parametrize("size", [0, 50_000])
def test_a_full_disk_is_told_and_with_room_the_command_goes_on(size, bench, report):
    limited(bench, report, "sweep", size)
    assert report.failures == []


def test_outputs_that_cannot_be_written_into_are_refused_at_once(bench, report):
    refused(bench, report, "curves")
    assert report.failures == []


def test_of_two_processes_on_one_folder_one_is_told_who_holds_it(bench, report):
    of_commands(bench, report, "train", 0)
    assert report.failures == []


def test_a_checkpoint_that_two_processes_save_is_always_whole(bench, report):
    of_savers(bench, report, rounds=3)
    assert report.failures == []
    assert report.counts["pairs of savers"] == 3
