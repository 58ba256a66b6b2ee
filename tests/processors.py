"""Run the tests as other processors would: other instruction sets, threads and drawn networks.

Every instruction set rounds sums in its own way, so that a trained network, and with it a spike
here and there, differs from processor to processor. What the tests assert must not.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parent
CASES = "ART_SNN_TEST_CASES"
"""The variable that says how many cases of each test run; without it all do."""
FEW = "4"
THREADS = (1, 2)
SEEDS = (0, 1, 2)
INSTRUCTIONS = {
    "sse41": ("SSE41", "default"),
    "avx2": ("AVX2", "avx2"),
    "avx512": ("AVX512_CORE", "avx512"),
}
"""Values of ONEDNN_MAX_CPU_ISA and ATEN_CPU_CAPABILITY, from the smallest set to the largest."""

EXACT = (
    *("data", "faults", "frameworks", "measuring", "models/test_own*", "models/test_sources*"),
    *("app/cost", "app/demo", "app/evaluate"),
    *("app/inspect", "app/report", "app/scaling", "*/test_together*"),
    *("app/check", "app/report", "app/zoo", "zoo"),
    *("app/*/test_command*", "app/*/test_figure*", "app/*/test_result*"),
    *("app/*/test_settings*", "app/test_[!t]*", "app/test_tables*"),
    *(
        "test_audit*",
        "test_bench*",
        "test_bounds*",
        "test_check*",
        "test_cli*",
        "test_default*",
        "test_docs*",
    ),
    *("test_faults*", "test_files*", "test_fuzz*", "test_gpu*", "test_identity*"),
    *("test_names*", "test_paths*", "test_seeding*", "test_state*", "test_stopping*", "test_team*"),
)
"""Tests of files, usage errors, processes, words and times, and of the rule that an attack uses,
which no rounding changes.

All others compute with trained or drawn networks; so does a new file unless it is named here."""


@dataclass(frozen=True)
class Combination:
    """One way to run the tests.

    :param instructions: a name of INSTRUCTIONS.
    :param threads: of torch, in every worker.
    :param seed: of the networks and samples that fixtures draw.
    """

    instructions: str
    threads: int
    seed: int

    def __str__(self) -> str:
        plural = "s" if self.threads > 1 else ""
        return f"{self.instructions}-{self.threads}-thread{plural}-seed-{self.seed}"

    @property
    def environment(self) -> dict[str, str]:
        onednn, aten = INSTRUCTIONS[self.instructions]
        return {
            "ONEDNN_MAX_CPU_ISA": onednn,
            "ATEN_CPU_CAPABILITY": aten,
            "ART_SNN_TEST_THREADS": str(self.threads),
            "ART_SNN_TEST_SEED": str(self.seed),
            # Threads that spin while they wait keep the cores from the other worker's.
            "OMP_WAIT_POLICY": "PASSIVE",
        }


def available(capability: str) -> list[str]:
    """The instruction sets of a machine, given torch's word for its largest."""
    names = list(INSTRUCTIONS)
    largest = names.index(capability.lower()) if capability.lower() in names else 0
    return names[: largest + 1]


def covering(instructions: list[str]) -> list[Combination]:
    """Every instruction set with every number of threads, the seeds dealt out in turn."""
    pairs = product(instructions, THREADS)
    return [Combination(*pair, SEEDS[i % len(SEEDS)]) for i, pair in enumerate(pairs)]


def drawn(names: Iterable[str], cases: int) -> set[str]:
    """Of the names that pytest gives to tests, so many cases of each, the same ones every time."""
    tests: dict[str, list[str]] = {}
    for name in names:
        tests.setdefault(name.partition("[")[0], []).append(name)
    return {name for names in tests.values() for name in sorted(names, key=_digest)[:cases]}


def _digest(name: str) -> bytes:
    return sha256(name.encode()).digest()


def run(combination: Combination, arguments: list[str], cases: str | None = None) -> bool:
    """Run the tests once and print one line, or all that pytest said where a test failed."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", "-q", *arguments]
    start = time.monotonic()
    done = subprocess.run(
        command,
        cwd=TESTS.parent,
        env=os.environ | combination.environment | ({} if cases is None else {CASES: cases}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(done.stdout)
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)\b", done.stdout[-500:])
    seconds = time.monotonic() - start
    print(f"{combination}: {', '.join(counts) or 'no tests ran'}, {seconds:.0f} s", flush=True)
    return done.returncode == 0


def parsed(combinations: list[Combination]) -> tuple[list[Combination], list[str], str | None]:
    """The combinations to run, the arguments that are for pytest, and the cases of each test."""
    names = [str(one) for one in combinations]
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--combination",
        choices=names,
        metavar="NAME",
        help=f"run this one only, out of {', '.join(names)}; every other argument goes to pytest",
    )
    parser.add_argument(
        "--rounded",
        action="store_true",
        help=f"{FEW} cases of each test, none of files, usage errors, processes, words and times",
    )
    options, rest = parser.parse_known_args()
    selected = [one for one in combinations if options.combination in (None, str(one))]
    ignored = [f"--ignore-glob={TESTS / pattern}" for pattern in EXACT]
    if options.rounded:
        return selected, [*rest, *ignored], FEW
    return selected, rest, None


def main() -> int:
    combinations = covering(available(torch.backends.cpu.get_cpu_capability()))
    selected, arguments, cases = parsed(combinations)
    passed = [run(combination, arguments, cases) for combination in selected]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
