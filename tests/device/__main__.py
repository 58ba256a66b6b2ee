"""Run all that needs a CUDA device on the stand-in, in processes that load it before torch."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from tests.device import build

TESTS = Path(__file__).resolve().parents[1]


def files() -> list[str]:
    """The test files that have tests marked gpu, as those of this folder are."""
    marked = (file for file in TESTS.rglob("test_*.py") if "mark.gpu" in file.read_text("utf-8"))
    return sorted(map(str, marked))


def main() -> int:
    if reason := build.objection():
        print(f"Skipped: {reason}")
        return 0
    build.library()
    options = ("-p", "tests.device.standin", "-m", "gpu", "-n", "2", "--dist", "worksteal", "-q")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files(), *sys.argv[1:]],
        cwd=TESTS.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{usage.ru_utime + usage.ru_stime:.0f} s of processor time")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
