"""Commands that are killed, stopped, or left without room give what they give undisturbed."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from art_snn.files import corruption, read_json, write_arrays
from tests.command import start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals are those of Linux"),
]

ENDED = (0, 5)
"""Four epochs on 28 images need not suffice to learn, which train says by its status."""
TRAIN = ("train", "--model", "vgg5", "--width", "0.05", "--steps", "2", "--epochs", "4")
TRAIN += ("--validation", "0.25", "--batch-size", "8")
WORDS = {
    "train": TRAIN,
    "train against an attack": (*TRAIN, "--attack", "fgsm", "--eps", "0.1"),
    "evaluate": ("evaluate", "--model", "zoo:digits-plain", "--plan", "fast", "--samples", "100"),
    "compare": ("compare", "--model", "zoo:digits-plain", "--samples", "60", "--rules", "stbp,rga"),
}
STATUS = {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM}


MACHINE = ("machine", "seconds", "date", "commit", "inference", "peak", "command")
"""Fields that differ from run to run, and the command line, which names the folder."""
ENDINGS = {".png": b"IEND\xaeB`\x82"}


def results(folder: Path) -> dict[str, str]:
    """The content of all files by name, or how it is spoilt; also of those that should be gone."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): _content(file) for file in files}


def _content(file: Path) -> str:
    if file.suffix == ".part" or file.name in (".lock", ".running"):
        return "is left over"
    if not file.stat().st_size:
        return "is empty"
    try:
        if why := file.suffix in (".pt", ".npz") and corruption(file):
            return why
        if file.suffix == ".pt":
            return _sum(torch.load(file, weights_only=True))
        if file.suffix == ".safetensors":
            return _sum(load_file(file))
        if file.suffix == ".npz":
            with np.load(file) as arrays:
                return _sum(dict(arrays))
        if file.suffix == ".json":
            return json.dumps(_without_machine(read_json(file)))
    except ValueError as error:
        return f"is damaged ({error})"
    # Times are drawn and written, too: such a file is only complete or not.
    return "whole" if file.read_bytes().endswith(ENDINGS.get(file.suffix, b"\n")) else "is cut off"


def _sum(content: Any) -> str:
    """Of all values, to the last bit."""
    return hashlib.sha256(repr(_plain(content)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return [(key, _plain(one)) for key, one in value.items()]
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _without_machine(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _without_machine(v) for k, v in content.items() if k not in MACHINE}
    return [_without_machine(one) for one in content] if isinstance(content, list) else content


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of forty images."""
    draw = np.random.default_rng(0)
    x, y = draw.random((40, 1, 8, 8), dtype=np.float32), np.arange(40) % 4
    file = tmp_path_factory.mktemp("data") / "tiny.npz"
    write_arrays(file, x_train=x[:28], y_train=y[:28], x_test=x[28:], y_test=y[28:])
    return file


def begin(name: str, output: Path, data: Path, limit: int | None = None) -> subprocess.Popen[str]:
    """Start a command; no file of it grows beyond the limit, as on a full disk."""
    usual = ("--device", "cpu", "--threads", "1", "--output", str(output))
    words = [*WORDS[name], *usual, *(("--data", str(data)) if "train" in name else ())]
    code = "import sys; from art_snn.__main__ import main; "
    if limit is not None:
        code += f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
    return start("-c", f"{code}sys.exit(main())", *words)


def finish(name: str, output: Path, data: Path) -> tuple[float, dict[str, str]]:
    """Seconds that the command takes to its end, and all files that are there then."""
    began = time.monotonic()
    process = begin(name, output, data)
    _, errors = process.communicate(timeout=300)
    assert process.returncode in ENDED, errors
    return time.monotonic() - began, results(output)


@pytest.mark.parametrize("name", WORDS)
def test_a_command_killed_at_any_moment_goes_on_to_the_same_results(name, tmp_path, data):
    seconds, whole = finish(name, tmp_path / "whole", data)
    draw, output = random.Random(name), tmp_path / "killed"
    for _ in range(3):
        process = begin(name, output, data)
        try:
            process.wait(draw.uniform(0.3, 1) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    assert finish(name, output, data)[1] == whole


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_ends_a_command_quietly_and_it_goes_on_to_the_same_results(number, tmp_path, data):
    seconds, whole = finish("evaluate", tmp_path / "whole", data)
    output = tmp_path / "stopped"
    process = begin("evaluate", output, data)
    time.sleep(0.8 * seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (STATUS[number], *ENDED)
    assert "Traceback" not in errors
    assert finish("evaluate", output, data)[1] == whole


@pytest.mark.parametrize("limit", [0, 5_000])
def test_a_full_disk_is_told_and_with_room_the_command_goes_on(limit, tmp_path, data):
    _, whole = finish("train", tmp_path / "whole", data)
    output = tmp_path / "full"
    process = begin("train", output, data, limit)
    _, errors = process.communicate(timeout=300)
    assert process.returncode in (2, 74)
    assert "Traceback" not in errors
    assert finish("train", output, data)[1] == whole
