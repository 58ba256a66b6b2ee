"""Every code block of the two first pages runs as typed, in an empty folder, from the wheel."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling import build

from tests.frameworks.loading import load

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "index.md")
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLE = ROOT / "examples" / "frameworks" / "my_network.py"
# The one place where less is done than typed: the wheel is installed, `make` is for a checkout,
# and an evaluation takes eight samples.
SHORTER = """set -e
pip() { :; }
make() { :; }
art-snn() {
    case $1 in
        evaluate) command art-snn "$@" --samples 8 ;;
        *) command art-snn "$@" ;;
    esac
}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has installed the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = build.build_wheel(str(folder))
    words = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target")
    subprocess.run([sys.executable, *words, folder / "site", folder / name], check=True)
    path = f"{folder / 'site' / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    names = {"PYTHONPATH": str(folder / "site"), "PATH": path, "OMP_NUM_THREADS": "1"}
    names |= {"XDG_CACHE_HOME": str(folder / "cache"), "http_proxy": "http://127.0.0.1:1"}
    names |= {"https_proxy": "http://127.0.0.1:1", "MPLBACKEND": "Agg"}
    without = {name: value for name, value in os.environ.items() if name != "ART_SNN_ZOO"}
    return without | names


def run(language: str, code: str, folder: Path, environment: dict[str, str]) -> str:
    """What a block prints; it must succeed."""
    program = [sys.executable, "-"] if language == "python" else ["bash"]
    code = code if language == "python" else SHORTER + code
    how = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(program, input=code, check=False, timeout=600, **how)
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_new_user_types_every_block_of_a_page_in_an_empty_folder(page, installed, tmp_path):
    load("spikingjelly", "2.")
    shutil.copy(EXAMPLE, tmp_path)  # Downloaded by its link, or copied from the page.
    parts = BLOCK.findall(page.read_text("utf-8"))
    assert [language for language, _ in parts].count("python") >= 1
    assert len(parts) >= 4
    for language, code in parts:
        run(language, code, tmp_path, installed)
    written = {path.name for path in tmp_path.glob("results/evaluation-*")}
    assert written == {"evaluation-digits-plain", "evaluation-trained"}


@pytest.mark.slow
def test_three_networks_come_with_the_wheel_and_the_others_are_looked_for(installed, tmp_path):
    code = """
import sys
from art_snn import zoo
print(zoo.__file__)
for name in ("digits-at", "digits-ibp", "digits-plain"):
    classifier, (x, y) = zoo.classifier(name, device="cpu"), zoo.samples("digits")
    assert (classifier.predict(x).argmax(1) == y).mean() > 0.9
try:
    zoo.load_network("eurosat-vgg5-at")
except ValueError as error:
    print(error)
"""
    place, complaint = run("python", code, tmp_path, installed).splitlines()
    assert Path(place).is_relative_to(installed["PYTHONPATH"])
    assert complaint.startswith("zoo: expected eurosat-vgg5-at.safetensors in ")
    assert complaint.count("http") == 0
    assert "digits-at" in run("bash", "art-snn zoo", tmp_path, installed)
