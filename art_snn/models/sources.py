"""The code of a network of the user's own: its file, and what that imports from its folder."""

import os
import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path

from art_snn.files import digest
from art_snn.paths import expand_path

OTHERS = Path(__file__).parents[1], Path(os.__file__).parent
INSTALLED = {"site-packages", "dist-packages"}
MAIN = ("__main__", "__mp_main__")
CODE = "art_snn_code"
"""Name under which the spec of a module keeps the bytes that were run; a reload makes another."""


def module_name(path: Path) -> str:
    """The name of the module that a file of the user's own becomes."""
    return f"art_snn_own_{path.stem}"


def sources(model: str) -> str:
    """Digest of all loaded code that built the model of that name, which has been called."""
    name = model.rpartition(":")[0]
    path = expand_path("model", name).resolve()
    above = 0 if path.suffix == ".py" else name.count(".")
    name = module_name(path) if path.suffix == ".py" else name
    folder = Path(sys.modules[name].__file__ or path).resolve().parents[above]
    code = {}
    for other, module in [*sys.modules.items()]:
        file = getattr(module, "__dict__", {}).get("__file__")
        path = Path(file or folder).resolve()
        if path.is_relative_to(folder) and path.is_file() and _belongs(path, other, name):
            code[str(path.relative_to(folder))] = _code(module.__spec__, path)
    return digest(sorted(code.items()))


def _belongs(path: Path, module: str, name: str) -> bool:
    """Whether a module is of the same package as the named one, or of the user's own."""
    package = module.partition(".")[0]
    others = INSTALLED & set(path.parts) or any(map(path.is_relative_to, OTHERS))
    return package == name.partition(".")[0] or not (others or package in MAIN)


def _code(spec: ModuleSpec | None, path: Path) -> bytes:
    """The text of a module as it was at the first look; the file may have changed since."""
    kept = getattr(spec, "__dict__", {})
    if CODE not in kept:
        kept[CODE] = b""
        with suppress(OSError):
            kept[CODE] = path.read_bytes()
    code: bytes = kept[CODE]
    return code
