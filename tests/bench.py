"""Whether gradients have become slower or larger since they were last recorded on such a machine.

Measures what one input gradient costs, by art_snn.app.cost, in inferences of the same run:
in the network's own precision, and in bfloat16 where the processor multiplies it natively. Exit
status 1 where a ratio has grown by more than a tenth, 2 for bad input, otherwise 0.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

import art_snn
from art_snn.app.cli import CANNOT_WRITE
from art_snn.app.cost import Cost, Settings, run
from art_snn.app.resume import Positive, as_json, structured
from art_snn.app.tables import Part, Table, render
from art_snn.checks import (
    FILE,
    ArgumentError,
    WriteFailed,
    expand_path,
    invalid,
    path_kind,
    require_kind,
)
from art_snn.files import read_json, write_json
from art_snn.gradients import rules_named
from art_snn.measuring.machine import processor
from art_snn.measuring.workload import INFERENCE
from art_snn.models import Architecture
from art_snn.precision import multiplies_bfloat16
from art_snn.progress import INTERRUPTED, TERMINATED, Terminated, stoppable

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "tests" / "bench.json"
TENTH = 0.1 + 1e-9
"""The largest change that is not told; a tenth itself is not, however it is rounded."""

FULL: dict[str, Any] = {
    "architecture": Architecture(model="vgg11", steps=8),
    "rules": rules_named("rga,stbp,hart,assg"),
    "batch_size": 32,
    "repeats": 5,
    "threads": 2,
}
SMALL: dict[str, Any] = {
    "architecture": Architecture(model="vgg5", width=0.1, steps=2),
    "rules": rules_named("rga,stbp"),
    "batch_size": 2,
    "channels": 1,
    "image_size": 8,
    "repeats": 1,
    "threads": 1,
}


@dataclass(frozen=True)
class Record:
    """What a gradient cost at one time on one kind of machine.

    :param native_bfloat16: whether the processor multiplies bfloat16 natively.
    :param measured: the network and its input, in words.
    :param commit: of the checkout, "" where it is none.
    :param seconds: of an inference in single precision; it is told and not judged.
    :param peak: of its memory in bytes, likewise.
    :param time: row -> time in inferences; memory likewise."""

    processor: str
    threads: int
    native_bfloat16: bool
    measured: str
    date: str
    version: str
    commit: str
    torch: str
    seconds: Positive
    peak: int
    time: dict[str, Positive]
    memory: dict[str, Positive]

    @property
    def kind(self) -> str:
        """What two records share whose ratios may be compared."""
        end = "with" if self.native_bfloat16 else "without"
        return f"{self.measured}; {self.processor}, {self.threads} threads, {end} native bfloat16"

    @property
    def source(self) -> str:
        """When it was measured, and on which versions."""
        commit = f" ({self.commit})" if self.commit else ""
        return f"{self.date}, art_snn {self.version}{commit}, torch {self.torch}"

    @property
    def inference(self) -> str:
        """What one inference took."""
        return f"{self.seconds:.3g} s and {self.peak / 2**20:.0f} MiB"

    @property
    def ratios(self) -> dict[str, float]:
        """All that is judged, by its name."""
        pairs = (("time", self.time), ("memory", self.memory))
        return {f"{name} of {row}": ratio for name, of in pairs for row, ratio in of.items()}


def measured(asked: dict[str, Any]) -> Record:
    """A record of this machine and this checkout."""
    native = multiplies_bfloat16(torch.device("cpu"))
    costs = {"": _cost(asked, None)} | ({", bfloat16": _cost(asked, "bfloat16")} if native else {})
    rows = [(row, end, cost) for end, cost in costs.items() for row in cost.seconds]
    rows = [(row, end, cost) for row, end, cost in rows if row != INFERENCE]
    time = {f"{row}{end}": cost.ratio(row) for row, end, cost in rows}
    memory = {f"{row}{end}": cost.memory_ratio(row) for row, end, cost in rows}
    return Record(
        processor=processor(),
        threads=asked["threads"],
        native_bfloat16=native,
        measured=costs[""].title,
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=art_snn.__version__,
        commit=commit(),
        torch=str(torch.__version__),
        seconds=costs[""].seconds[INFERENCE],
        peak=costs[""].peak[INFERENCE],
        time=time,
        # Peaks that are too small to be seen have no ratio.
        memory={row: ratio for row, ratio in memory.items() if ratio > 0},
    )


def _cost(asked: dict[str, Any], dtype: str | None) -> Cost:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return run(Settings(output=Path(folder), attack_dtype=dtype, **asked))


def commit() -> str:
    """The commit of the checkout, marked where files differ from it; "" outside of one."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    if not (ROOT / ".git").exists():
        return ""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def read(file: Path) -> list[Record]:
    """All records, the earliest first; none where there is no file.

    :raises ValueError: for a file that cannot be read as such, naming the record and its field."""
    expected, remedy = "records of make bench", "Take the file from the repository again."
    if path_kind("file", file) is None:
        return []
    require_kind("file", file, FILE, expected)
    try:
        contents = read_json(file)
        if not isinstance(contents, list):
            raise ValueError("holds no list of records")
    except (ValueError, OSError) as error:
        raise invalid("file", expected, f"{file}, which {error}", remedy) from error
    records: list[Record] = []
    for content in contents:
        try:
            records.append(structured(content, Record))
        except ValueError as error:
            got = f"{file}, whose record {len(records) + 1} {error}"
            raise invalid("file", expected, got, remedy) from error
    return records


def last(records: Sequence[Record], kind: str) -> Record | None:
    """The last record of that kind."""
    return next((one for one in reversed(records) if one.kind == kind), None)


def changes(then: Record, now: Record) -> dict[str, float]:
    """Relative changes by more than a tenth, of the ratios that both have."""
    old, new = then.ratios, now.ratios
    relative = {name: new[name] / old[name] - 1 for name in new if name in old}
    return {name: change for name, change in relative.items() if abs(change) > TENTH}


def report(then: Record | None, now: Record) -> list[Part]:
    """What is to be told of a measurement, beside the last record of its kind."""
    if then is None:
        none = "There is no record of this kind yet; make bench ARGS=--record makes one."
        return [[f"{now.kind}.", none]]
    heading = [
        f"{now.kind}.",
        f"Now: {now.source}; an inference takes {now.inference}.",
        f"Then: {then.source}; {then.inference}.",
    ]
    rows = [
        (name, f"{then.ratios[name]:.2f}", f"{now.ratios[name]:.2f}", f"{100 * change:+.0f} %")
        for name, change in changes(then, now).items()
    ]
    table = Table(("in inferences", "then", "now", "change"), rows)
    sides = (
        ("Measured now only", now.ratios.keys() - then.ratios.keys()),
        ("Measured then only", then.ratios.keys() - now.ratios.keys()),
    )
    unpaired = [f"{words}: {', '.join(sorted(names))}." for words, names in sides if names]
    return [heading, table if rows else "Nothing moved by more than a tenth.", *unpaired]


def bench(file: Path, asked: dict[str, Any], record: bool) -> int:
    """Measure, print what moved, and record it where asked to; the exit status."""
    read(file)
    now = measured(asked)
    # Another run may have recorded meanwhile.
    records = read(file)
    then = last(records, now.kind)
    print(render(report(then, now)))
    if record:
        write_json(file, as_json([*records, now]))
        print(f"Recorded in {file}.")
    return int(then is not None and any(change > 0 for change in changes(then, now).values()))


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--record", action="store_true", help="add the measurement to the records")
    parser.add_argument("--small", action="store_true", help="a tiny network, to try it in seconds")
    parser.add_argument("--file", default=str(RECORDS), help="of the records [tests/bench.json]")
    return parser.parse_args(words)


def guarded(work: Callable[[], int], stopped: str = "") -> int:
    """Do the work, whose exit status is returned; what ends it before is said, and its status.

    :param stopped: what is said where Ctrl-C or SIGTERM ends it."""
    try:
        with stoppable():
            return work()
    except KeyboardInterrupt as stop:
        status, words = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED, stopped
    except WriteFailed as error:
        status, words = CANNOT_WRITE, f"error: {error}"
    except ArgumentError as error:
        option = "--" if error.argument in ("file", "output") else ""
        status, words = 2, f"error: {option}{error}"
    if words:
        print(words, file=sys.stderr)
    return status


def main(words: Sequence[str] | None = None) -> int:
    options = parsed(words)
    asked = SMALL if options.small else FULL
    return guarded(lambda: bench(expand_path("file", options.file), asked, options.record))


if __name__ == "__main__":
    sys.exit(main())
