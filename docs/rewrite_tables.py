"""Write every table of results anew from the JSON that lies beside it, by the package's own code.

Usage: python docs/rewrite_tables.py. Pictures stay as they are, and so does the first paragraph of
those that scripts of the study wrote, which tells what their JSON does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from art_snn.app.compare import Comparison
from art_snn.app.results import from_json, read_result
from art_snn.files import write_text

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "examples" / "study"))

import attacks  # noqa: E402 (found by the line above)
import auto_attack  # noqa: E402
import bounds  # noqa: E402
import certified  # noqa: E402
import claims  # noqa: E402
import curves  # noqa: E402
import defences  # noqa: E402
import energy  # noqa: E402
import exact  # noqa: E402
import hyperparameters  # noqa: E402
import networks  # noqa: E402
import nir_readings  # noqa: E402
import random_encoders  # noqa: E402
import scale  # noqa: E402
import train_precision  # noqa: E402

Content = Mapping[str, Any]


def compare(content: Content) -> str:
    return from_json(content, Comparison).render("markdown")


RESULTS: Mapping[str, Callable[[Content], str]] = {"compare": compare}
SCRIPTS: Mapping[str, Callable[[str, Any], str]] = {
    "attacks": attacks.render,
    "bounds": bounds.render,
    "certified": certified.render,
    "curves": curves.render,
    "defences": defences.render,
    "energy": energy.render,
    "exact": exact.render,
    "networks": networks.render,
    "nir": nir_readings.render,
    "random_encoders": random_encoders.render,
    "scale": scale.render,
    "sweep": hyperparameters.render,
    "train_precision": train_precision.render,
}
FILES = sorted(
    file
    for place in ("results", "study")
    for file in DOCS.glob(f"{place}/*/*.json")
    if file.stem in (*RESULTS, *SCRIPTS)
)

RUNS = DOCS / "results" / "auto-attack"
"""What PGD-7 with every rule, our plans and others left of networks of the zoo."""
SUMMARIES: Mapping[Path, Callable[[Path], str]] = {
    DOCS / "results" / "summary" / "summary.md": auto_attack.summarize,
    DOCS / "results" / "summary" / "others.md": auto_attack.compare,
}
"""The tables of these runs and of the records of the zoo."""

CLAIMS = DOCS / "study" / "claims" / "claims.md"
STUDIES = [DOCS / "study" / name for name in ("eurosat", "fashion-mnist-8", "nmnist", "cifar10")]
"""What the claims are counted over; their text has no JSON of its own."""


def render(file: Path) -> str:
    """The text beside that JSON file."""
    content = read_result(file)
    if file.stem in RESULTS:
        return RESULTS[file.stem](content)
    title = file.with_suffix(".md").read_text(encoding="utf-8").partition("\n\n")[0]
    return SCRIPTS[file.stem](title, content)


if __name__ == "__main__":
    for file in FILES:
        write_text(file.with_suffix(".md"), render(file))
        print(file.with_suffix(".md").relative_to(DOCS))
    for file, tabulate in SUMMARIES.items():
        write_text(file, tabulate(RUNS))
        print(file.relative_to(DOCS))
    write_text(CLAIMS, claims.render(STUDIES))
    print(CLAIMS.relative_to(DOCS))
