"""Files with flipped bits, and files that run code when they are unpickled, for their readers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults.commands import Bench
from tests.faults.files import COMMANDS, READERS, contents, genuine, in_command
from tests.faults.flips import flipped, spread, unseen_flips
from tests.faults.malice import KINDS, carelessly
from tests.faults.report import Report, two_at_a_time
from tests.faults.runs import Run


def flips(bench: Bench, report: Report) -> None:
    """Flip bits of every kind of file that is read again, for its reader and its command."""
    bench.prepare(*COMMANDS)
    folder = bench.folder / "flips"
    folder.mkdir()
    for name, reader in READERS.items():
        file, draw = folder / name, bench.draw("flips", name)
        content = genuine(bench, name)
        file.write_bytes(content)
        report.expect(not reader(file), f"{name} is refused as it was written")
        places = spread(content)
        places += [(draw.randrange(len(content)), draw.randrange(8)) for _ in range(30)]
        missed = unseen_flips(file, content, lambda r=reader, f=file: not r(f), places)
        report.count(f"of {name}", len(places))
        report.expect(not missed, f"{name}: flips of (byte, bit) are not seen: {missed}")
    two_at_a_time([partial(_flipped, bench, report, n) for n in READERS for _ in range(3)])


def _flipped(bench: Bench, report: Report, name: str) -> None:
    file, words = in_command(bench, name)
    content, draw = file.read_bytes(), bench.draw("flips", name, file)
    place = draw.randrange(len(content)), draw.randrange(8)
    file.write_bytes(flipped(content, *place))
    _refused(report, words, file, f"byte and bit {place} of {file} flipped")


def pickles(bench: Bench, report: Report) -> None:
    """Every kind of malicious file for every reader and option: none is run, each is refused."""
    folder = bench.folder / "pickles"
    folder.mkdir()
    jobs = []
    for number, (kind, make) in enumerate(KINDS.items()):
        for name, reader in READERS.items():
            place = folder / f"{number}-{name}"
            place.mkdir()
            marker, file = place / "was-run", place / name
            make(file, marker)
            content = file.read_bytes()
            report.expect(reader(file), f"{kind} as {name} is not refused by its name")
            report.expect(not marker.exists(), f"{kind} as {name} is run")
            report.expect(file.read_bytes() == content, f"{kind} as {name} is changed")
            report.count("readings")
        report.count("kinds")
        report.count("of these run by careless readers", carelessly(file, marker))
        for option in ("--checkpoint", "--data", "training.pt"):
            jobs.append(partial(_malicious, bench, report, kind, option))
    two_at_a_time(jobs)


def _malicious(bench: Bench, report: Report, kind: str, option: str) -> None:
    place = bench.fresh("pickle")
    place.mkdir()
    marker = place / "was-run"
    file = place / {"--checkpoint": "network.safetensors", "--data": "data.npz"}.get(option, option)
    KINDS[kind](file, marker)
    output = place if option == "training.pt" else place / "out"
    words = bench.words("train" if option == "training.pt" else "compare", output)
    if option == "--checkpoint":
        epochs = words.index("--epochs")
        words = [*words[:epochs], *words[epochs + 2 :], option, str(file)]
    elif option == "--data":
        words = [str(file) if word == str(bench.data) else word for word in words]
    _refused(report, words, file, kind)
    report.expect(not marker.exists(), f"{kind} by {option}: it was run")


def _refused(report: Report, words: Sequence[str], file: Path, what: str) -> None:
    """A command that meets a bad file names it, and touches nothing."""
    before = contents(file.parent)
    run = Run(words)
    run.expect_end(report, (2,), what, file.name)
    report.expect(contents(file.parent) == before, f"{what}, {run}: its folder is changed")
    report.count("by the command line")
