"""Do to the commands what a hostile or clumsy user does, and count what holds.

Prints a table, one line per kind of fault, and ends with 1 where an expectation did not hold."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from art_snn.app.machine import describe_machine
from art_snn.stopping import INTERRUPTED
from tests.faults.commands import Bench
from tests.faults.interrupts import interrupts
from tests.faults.networks import networks
from tests.faults.outputs import disks
from tests.faults.pairs import pairs
from tests.faults.reading import flips, pickles
from tests.faults.report import Report
from tests.faults.stops import kills, stops
from tests.faults.threads import threads

KINDS: Mapping[str, Callable[[Bench, Report], None]] = {
    "networks": networks,
    "interrupts": interrupts,
    "threads": threads,
    "flips": flips,
    "pickles": pickles,
    "disks": disks,
    "pairs": pairs,
    "stops": stops,
    "kills": kills,
}


def kinds(text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(KINDS)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; of {', '.join(KINDS)}")
    return names


def run(names: list[str], seed: int, folder: Path) -> int:
    """Print the table; returns how many expectations did not hold."""
    bench, failures = Bench(folder, seed), []
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, seed {seed}:")
    print(f"{describe_machine('cpu')}\n")
    print("| fault | what was done | did not hold | seconds |\n|---|---|---|---|", flush=True)
    for kind in names:
        report, start = Report(), time.monotonic()
        try:
            KINDS[kind](bench, report)
        except Exception:
            # Whatever it is, it was not expected; the other kinds are still tried.
            report.expect(False, traceback.format_exc())
        failed, seconds = len(report.failures), time.monotonic() - start
        print(f"| {kind} | {report} | {failed} | {seconds:.0f} |", flush=True)
        failures += [f"{kind}: {failure}" for failure in report.failures]
    print("\n" + "\n\n".join(failures) if failures else "\nEverything held.")
    return len(failures)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ",".join(KINDS)
    parser.add_argument("--only", type=kinds, default=list(KINDS), metavar="KINDS", help=names)
    parser.add_argument("--seed", type=int, default=0, help="of moments, places and bits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Detected pickle protocol")
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        return 1 if run(options.only, options.seed, folder) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
