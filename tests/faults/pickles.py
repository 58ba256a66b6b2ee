"""Files that run code when they are unpickled, for whatever reads files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.faults.commands import Bench
from tests.faults.files import READERS, contents
from tests.faults.malice import KINDS, carelessly
from tests.faults.report import Report, two_at_a_time
from tests.faults.runs import Run


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
        harmful = carelessly(file, marker)
        report.count("kinds")
        report.count("of these run by careless readers", harmful)
        for option in ("--checkpoint", "--data", "training.pt"):
            jobs.append(partial(_by_command, bench, report, number, kind, option))
    two_at_a_time(jobs)


def _by_command(bench: Bench, report: Report, number: int, kind: str, option: str) -> None:
    place: Path = bench.fresh(f"pickle-{number}")
    place.mkdir()
    marker = place / "was-run"
    file = place / {"--checkpoint": "network.pt", "--data": "data.npz"}.get(option, option)
    list(KINDS.values())[number](file, marker)
    output = place if option == "training.pt" else place / "out"
    words = bench.words("train" if option == "training.pt" else "compare", output)
    if option == "--checkpoint":
        words = [*_without(bench.words("compare", output), "--epochs"), option, str(file)]
    elif option == "--data":
        words = [str(file) if word == str(bench.data) else word for word in words]
    before = contents(place)
    run = Run(words)
    status = run.ended()
    right = status == 2 and file.name in run.stderr and "Traceback" not in run.stderr
    report.expect(right, f"{kind}, {run}: status {status}, {run.stderr[-800:]}")
    report.expect(not marker.exists(), f"{kind}, {run}: it was run")
    report.expect(contents(place) == before, f"{kind}, {run}: its folder is changed")
    report.count("by the command line")


def _without(words: list[str], option: str) -> list[str]:
    place = words.index(option)
    return words[:place] + words[place + 2 :]
