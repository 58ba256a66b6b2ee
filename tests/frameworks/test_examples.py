"""The example scripts of the frameworks that are installed run, and say what they found."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name in ("spikingjelly", "snntorch", "norse", "sinabs") if find_spec(name)]
if "spikingjelly" in NAMES and metadata.version("spikingjelly") < "2":
    NAMES.remove("spikingjelly")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs(name, tmp_path):
    script = ROOT / "examples" / "frameworks" / f"attack_{name}.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), "--small"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "native" in done.stdout
    assert "rga" in done.stdout.lower()
