"""Evaluations from their files."""

from pathlib import Path
from typing import Any

from art_snn.checks import invalid
from art_snn.experiments.evaluation.opened import Opened
from art_snn.experiments.evaluation.result import Evaluation
from art_snn.experiments.resume import structured
from art_snn.files import read_json
from art_snn.paths import FILE, expand_path, require_kind

EXPECTED = "an evaluation, as art-snn evaluate writes it"


def opened(file: str | Path, argument: str = "files") -> Opened:
    """The evaluation that a JSON file holds, with the examples that lie beside it.

    :param argument: as complaints name the file.
    :raises FileNotFoundError: when it is not there.
    :raises ValueError: when it is damaged, naming the field, or holds anything else."""
    path = expand_path(argument, file)
    require_kind(argument, path, FILE, EXPECTED)
    remedy = "Give evaluation.json from the folder of an evaluation."
    try:
        evaluation: Evaluation = structured(_content(path), Evaluation)
    except (ValueError, OSError) as error:
        raise invalid(argument, EXPECTED, f"{path}, which {error}", remedy) from error
    return Opened.of(str(file), evaluation, path.parent)


def _content(path: Path) -> Any:
    found = read_json(path)
    if isinstance(found, dict) and not {"trials", "reservations"} & set(found):
        raise ValueError("holds another kind of result")
    return found
