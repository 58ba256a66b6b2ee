"""The examples of the frameworks that are installed run, and say what they found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from art_snn import Direct
from art_snn.app.architecture import build_forms

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name in ("spikingjelly", "snntorch", "norse", "sinabs") if find_spec(name)]
if "spikingjelly" in NAMES and metadata.version("spikingjelly") < "2":
    NAMES.remove("spikingjelly")


def printed(folder: Path, *words: str, code: str = "") -> str:
    """Output of python in a folder, given the words and the code."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "Agg"}
    options = {"cwd": folder, "env": environment, "input": code, "capture_output": True}
    done = subprocess.run([sys.executable, *words], text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_runs(name, tmp_path):
    script = ROOT / "examples" / "frameworks" / f"attack_{name}.py"
    words = printed(tmp_path, str(script), "--small")
    assert "native" in words
    assert "rga" in words.lower()


@pytest.mark.parametrize("name", [name for name in NAMES if name in ("spikingjelly", "snntorch")])
def test_an_evaluation_runs_and_writes_a_report_and_a_table(name, tmp_path):
    script = ROOT / "examples" / "frameworks" / f"evaluate_{name}.py"
    assert "robust accuracy" in printed(tmp_path, str(script), "--small")
    (folder,) = tmp_path.glob("results/evaluated-*")
    page = (folder / "report.html").read_text("utf-8")
    assert "Firing rates of the layers, and spikes" in page  # Of the framework's own neurons.
    assert "tabular" in (folder / "table.tex").read_text("utf-8")


@pytest.mark.skipif("spikingjelly" not in NAMES, reason="needs SpikingJelly 2")
def test_the_network_on_the_first_page_is_adapted():
    place = ROOT / "examples" / "frameworks" / "my_network.py"
    network = next(build_forms(f"{place}:load"))
    assert network.encoder == Direct(steps=8)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.skipif("spikingjelly" not in NAMES, reason="needs SpikingJelly 2")
@pytest.mark.parametrize("name", ["sew_resnet18", "spikformer_ti"])
def test_the_large_networks_are_adapted_for_images_of_their_size(name):
    place = ROOT / "examples" / "frameworks" / "large_networks.py"
    network = next(build_forms(f"{place}:{name}"))
    assert network.input_shape == (3, 224, 224)
    assert network.body.steps == 4
    with torch.no_grad():
        assert network(torch.rand(1, *network.input_shape)).shape == (1, 1000)


def code_of(notebook: Path) -> str:
    """The code of a notebook as plain Python, without what only Jupyter understands."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for place, text in enumerate(texts):
        first, _, rest = text.partition("\n")
        if first.startswith("%%writefile "):
            mode = "a" if " -a " in first else "w"
            texts[place] = f"open({first.split()[-1]!r}, {mode!r}).write({rest!r})"
    return "\n".join(texts).replace("%matplotlib inline", "")


LESSONS = sorted((ROOT / "docs" / "lessons").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_runs_from_top_to_bottom_as_it_stands(lesson, tmp_path):
    code = code_of(lesson)
    for name in ("spikingjelly", "snntorch", "norse"):
        if re.search(rf"^(import|from) {name}\b", code, re.MULTILINE) and name not in NAMES:
            pytest.skip(f"needs {name}")
    printed(tmp_path, "-", code=code)
