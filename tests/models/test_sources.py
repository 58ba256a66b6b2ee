"""The code that builds a network of the user's own: which files it is, and when it is another."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from art_snn.models.sources import sources

from art_snn.models.own import built
from tests.own import SOURCE

NETWORK = SOURCE.format(inputs=16, decay=0.5, classes=2, shape=(1, 4, 4))
FILES = {
    "my.net.py": f"import beside\nfrom whole import part\n{NETWORK}",
    "beside.py": "a = 1\n",
    "alone.py": "a = 1\n",
    "whole/__init__.py": "",
    "whole/part.py": "from . import other\n",
    "whole/other.py": "a = 1\n",
    "whole/net.py": f"from whole import other\n{NETWORK}",
    "lib/site-packages/installed.py": "a = 1\n",
}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "lib" / "site-packages")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in FILES.items():
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).write_text(text)


# Thousands of modules that are no one's own and take seconds to look at.
OTHERS = ("art.", "matplotlib.", "numpy.", "scipy.", "sklearn.", "sympy.", "torch.")


def code(model: str, more: str = "") -> str:
    """Digest of the code of a network that is built as in a new process."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("beside", "alone", "whole", "installed"):
            del sys.modules[name]
    if more:
        __import__(more)
    built(model)
    modules = {name: m for name, m in sys.modules.items() if not name.startswith(OTHERS)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "modules", modules)
        return sources(model)


@pytest.mark.parametrize(
    ("model", "files"),
    [
        ("my.net.py:build", {"my.net.py", "beside.py", "whole/part.py", "whole/other.py"}),
        ("whole.net:build", {"whole/net.py", "whole/other.py", "whole/__init__.py"}),
    ],
)
def test_the_file_and_what_it_imports_from_its_folder_are_its_code(model, files):
    before = code(model)
    assert code(model) == before
    assert code(model, "installed") == before
    for name, text in FILES.items():
        Path(name).write_text(f"{text}# edited\n")
        assert (code(model) != before) == (name in files | {"whole/__init__.py"}), name
        Path(name).write_text(text)
    assert code(model) == before


def test_a_file_that_was_edited_after_it_was_run_is_the_code_that_was_run():
    before = code("my.net.py:build")
    for name in ("my.net.py", "beside.py"):
        Path(name).write_text(f"{FILES[name]}# edited\n")
        assert sources("my.net.py:build") == before
