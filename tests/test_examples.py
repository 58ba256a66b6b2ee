"""Notebooks are committed with what they print; examples say which package they miss."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted((EXAMPLES.parent / "docs" / "lessons").glob("*.ipynb"))
FRAMEWORKS = {f"attack_{name}": name for name in ("norse", "sinabs", "snntorch", "spikingjelly")}
FRAMEWORKS |= {f"evaluate_{name}": name for name in ("snntorch", "spikingjelly")}


def test_there_are_six_lessons_each_with_an_exercise_and_its_answer():
    assert [notebook.stem[:2] for notebook in NOTEBOOKS] == [f"{n}_" for n in range(1, 7)]
    assert sum(notebook.stat().st_size for notebook in NOTEBOOKS) < 1_200_000
    for notebook in NOTEBOOKS:
        text = notebook.read_text("utf-8")
        assert text.index("## Exercise") < text.index("## Answer")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_was_run_from_top_to_bottom_without_errors_and_warnings(notebook):
    every = json.loads(notebook.read_text("utf-8"))["cells"]
    cells = [cell for cell in every if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
    words = json.dumps([output for output in outputs if "image/png" not in output.get("data", {})])
    assert re.search(r"[Ww]arning:|/home/|/root/|/tmp/", words) is None


@pytest.mark.parametrize("script", FRAMEWORKS)
def test_an_example_without_its_framework_says_what_to_install(script, monkeypatch):
    name = FRAMEWORKS[script]
    monkeypatch.setitem(sys.modules, name, None)
    for module in [module for module in sys.modules if module.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(str(EXAMPLES / "frameworks"))
    with pytest.raises(SystemExit, match=f"(?i)pip install {name} "):
        runpy.run_path(str(EXAMPLES / "frameworks" / f"{script}.py"))
