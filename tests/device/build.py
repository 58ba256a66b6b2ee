"""Build the stand-in's library, once per torch and source, or say why that cannot be done."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".device"
TORCH = "2.13."
"""The versions whose C++ interfaces it implements: they change with every one."""


def torch_folder() -> Path:
    """Where torch is installed, without an import of it."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def objection() -> str | None:
    """Why there is no stand-in here, None where there is one."""
    version = metadata.version("torch")
    if sys.platform != "linux":
        return f"the stand-in for CUDA needs Linux, and this is {sys.platform}"
    if not version.startswith(TORCH) or list((torch_folder() / "lib").glob("libtorch_cuda*")):
        return f"the stand-in for CUDA needs a CPU build of torch {TORCH}x, found {version}"
    if not shutil.which("g++"):
        return "the stand-in for CUDA needs g++, which is not installed: apt-get install g++"
    return None


def library() -> Path:
    """The library, built where it has not been."""
    sources = b"".join(file.read_bytes() for file in (HERE / "standin.cpp", Path(__file__)))
    name = f"{metadata.version('torch')}-{hashlib.sha256(sources).hexdigest()[:16]}.so"
    if not (CACHE / name).exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            Path(folder, "operators.h").write_text(header())
            compile_into(Path(folder))
            os.replace(Path(folder, "standin.so"), CACHE / name)
    return CACHE / name


def compile_into(folder: Path) -> None:
    torch = torch_folder()
    include = (torch / "include", torch / "include/torch/csrc/api/include", folder)
    subprocess.run(
        [
            *("g++", "-std=c++20", "-O1", "-fPIC", "-shared", "-w"),
            *(f"-I{path}" for path in include),
            *(str(HERE / "standin.cpp"), "-o", str(folder / "standin.so")),
            *(f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10"),
        ],
        check=True,
    )


def header() -> str:
    """Two sets of operators for C++, read off torch's own list of them.

    SCALARS_PASS check devices themselves: a tensor on the CPU without dimensions passes.
    WITHOUT_CUDA have a kernel for the CPU, and neither one for CUDA nor one for all devices."""
    path = torch_folder().parent / "torchgen/packaged/ATen/native/native_functions.yaml"
    entries = re.split(r"^- func: ", path.read_text(), flags=re.MULTILINE)[1:]
    texts = {entry.partition("(")[0]: entry for entry in entries}
    passing = [name for name, text in texts.items() if "device_check: NoCheck" in text]
    without = [name for name, text in texts.items() if only_on_cpu(text, texts)]
    return _set("SCALARS_PASS", passing) + _set("WITHOUT_CUDA", without)


def only_on_cpu(entry: str, entries: dict[str, str]) -> bool:
    delegate = re.search(r"structured_delegate: ([\w.]+)", entry)
    texts = [entry, *([entries[delegate[1]]] if delegate else [])]
    lines = [line for text in texts for line in re.findall(r"^    ([\w, ]+):", text, re.MULTILINE)]
    keys = {key.strip() for line in lines for key in line.split(",")}
    everywhere = "CUDA" in keys or any(key.startswith("Composite") for key in keys)
    return "CPU" in keys and not everywhere


def _set(title: str, names: list[str]) -> str:
    rows = ",\n".join(f'"{name}"' for name in sorted(names))
    return f"static const std::unordered_set<std::string> {title} = {{\n{rows}}};\n"
