"""Results in one JSON file, from which an interrupted run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(file: Path | None) -> dict[str, Any] | None:
    """What the file holds: {} where there is no file, None where it holds no results."""
    if file is None or not file.exists():
        return {}
    try:
        content = json.loads(file.read_text())
    except ValueError:
        return None
    return content if content and isinstance(content, dict) else None


def write(file: Path | None, content: dict[str, Any]) -> None:
    """Write all of it or, when interrupted, leave the file as it was; None writes nothing."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".part")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(file)
