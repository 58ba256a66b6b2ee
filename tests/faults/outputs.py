"""Outputs that cannot be written into, from the start or from some moment on."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults.commands import SLOW, WORDS, Bench
from tests.faults.report import Report, two_at_a_time
from tests.faults.results import differences, results, spoilt
from tests.faults.runs import Run

LIMITS = {False: (0, 500, 5000, 50_000), True: (5000,)}
"""Bytes that no file exceeds, of quick and of slow commands."""
FULL = (0, 2, 74)
"""Statuses of a command on a disk that may become full."""


def disks(bench: Bench, report: Report, names: Sequence[str] = tuple(WORDS)) -> None:
    """Outputs that cannot be written into, from the start or later, for every command."""
    bench.prepare(*names)
    jobs = [partial(limited, bench, report, n, s) for n in names for s in LIMITS[n in SLOW]]
    jobs += [partial(refused, bench, report, name) for name in names]
    jobs += [partial(_mounted, bench, report, n) for n in names if n not in SLOW and _may_mount()]
    two_at_a_time(jobs)


def refused(bench: Bench, report: Report, name: str) -> None:
    """No rights, and files in the place of folders: complaints before anything is done."""
    output = bench.fresh(name)
    output.mkdir(mode=0o555)
    (file := bench.fresh(name)).write_text("a file")
    for place in (output, output / "new", file, file / "below", file / "far" / "below"):
        run = Run(bench.words(name, place), bound=True)
        _expect(report, run, (2,), place, "--output")
        report.count("refused places")
    report.expect(not list(output.iterdir()), f"{name} left something in {output}")
    report.expect(file.read_text() == "a file", f"{name} changed {file}")


def limited(bench: Bench, report: Report, name: str, size: int) -> None:
    """Files that grow to some size alone, in a new folder and in that of a run that has ended."""
    output = bench.fresh(name)
    words = bench.words(name, output)
    _full_then_room(bench, report, Run(words, size=size), output, not size)
    if name in SLOW:
        return
    before = results(output)
    run = Run(words, size=size)
    _expect(report, run, FULL, output)
    different = differences(results(output), before)
    report.expect(not different, f"{run}, files of {size} bytes at most: {different}")
    report.count("runs over whole results")


def _mounted(bench: Bench, report: Report, name: str) -> None:
    """A disk of its own, which is full from the start, and one that becomes full."""
    for size, filled in ((64, True), (64, False), (100, False)):
        output = bench.fresh(name)
        output.mkdir()
        _mount(output, f"size={size}k")
        try:
            if filled:
                with contextlib.suppress(OSError):
                    (output / "filler").write_text("\n" * 2**20)
            run = Run(bench.words(name, output))
            _full_then_room(bench, report, run, output, filled, mounted=True)
        finally:
            subprocess.run(["umount", "-l", str(output)], check=True)


def _full_then_room(
    bench: Bench, report: Report, run: Run, output: Path, full: bool, mounted: bool = False
) -> None:
    """What meets a disk that is full at once, or later, goes on as soon as there is room."""
    status = _expect(report, run, (2,) if full else FULL, output)
    report.count(f"full disks, status {status}")
    if mounted:
        (output / "filler").unlink(missing_ok=True)
        _mount(output, "remount,size=20m")
    again = bench.expect_rerun(report, output, run.words, run)
    report.expect(not spoilt(output), f"{again}: {spoilt(output)}")


def _expect(
    report: Report, run: Run, statuses: tuple[int, ...], place: Path, naming: str = ""
) -> int:
    status = run.expect_end(report, statuses, naming=naming)
    report.expect(not spoilt(place), f"{run}: {spoilt(place)}")
    return status


def _mount(place: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    subprocess.run(command, check=True, capture_output=True)


@functools.cache
def _may_mount() -> bool:
    with tempfile.TemporaryDirectory() as place:
        try:
            _mount(Path(place), "size=64k")
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", "-l", place], check=True)
        return True
