"""Bits that flip in every kind of file that is read again."""

from __future__ import annotations

from functools import partial

from tests.faults.commands import Bench
from tests.faults.files import COMMANDS, READERS, contents, genuine, in_command
from tests.faults.flips import flipped, flips, random_flips
from tests.faults.report import Report, two_at_a_time
from tests.faults.runs import Run


def flipped_files(bench: Bench, report: Report) -> None:
    """Flip bits of every kind of file that is read again, for its reader and its command."""
    bench.prepare(*COMMANDS)
    folder = bench.folder / "flips"
    folder.mkdir()
    for name, reader in READERS.items():
        file, draw = folder / name, bench.draw("flips", name)
        content = genuine(bench, name)
        file.write_bytes(content)
        report.expect(not reader(file), f"{name} is refused as it was written")
        refused = partial(reader, file)
        missed = flips(file, content, lambda refused=refused: not refused())
        missed += random_flips(file, content, lambda refused=refused: not refused(), draw)
        report.count(f"of {name}", -(-len(content) // 97) + 30)
        report.expect(not missed, f"{name}: flips of (byte, bit) are not seen: {missed}")
    jobs = [partial(_by_command, bench, report, name) for name in READERS for _ in range(3)]
    two_at_a_time(jobs)


def _by_command(bench: Bench, report: Report, name: str) -> None:
    """A command that meets a file with a flipped bit tells its name, and touches nothing."""
    file, words = in_command(bench, name)
    content, draw = file.read_bytes(), bench.draw("flips", name, file)
    place = draw.randrange(len(content)), draw.randrange(8)
    file.write_bytes(flipped(content, *place))
    before = contents(file.parent)
    run = Run(words)
    status, where = run.ended(), f"byte and bit {place} of {file} flipped, {run}"
    right = status == 2 and file.name in run.stderr and "Traceback" not in run.stderr
    report.expect(right, f"{where}: status {status}, {run.stderr[-800:]}")
    report.expect(contents(file.parent) == before, f"{where}: its folder is changed")
    report.count("by the command line")
