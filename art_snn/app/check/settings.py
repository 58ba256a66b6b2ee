from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from art_snn.app.annotations import Folder
from art_snn.app.base import Experiment
from art_snn.app.check.result import Checked
from art_snn.app.trained import Trained
from art_snn.checks import require
from art_snn.data import Source

FAILED = 3
"""Exit status where a check failed."""


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Check an evaluation on its first 20 samples, as for a leaderboard.

    Weights and samples must be those of the evaluation, predictions must repeat, and adversarials
    must lie in the ball and fool the network. Nothing is attacked. Exit status 3: a check failed.

    :param folder: of the evaluation, or its evaluation.json.
    :param source: the data.
    :param network: the network, with its weights."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER|FILE")] = Path("evaluation")
    output: Folder = Path("check")
    source: Source = field(default_factory=Source)
    network: Trained = field(default_factory=Trained)

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = "Give --checkpoint, or a --model that has weights, as art-snn evaluate got them."
        given = not self.network.trained_here
        require(given, "checkpoint", "the weights that were evaluated", "none", remedy)

    def status(self, result: Any) -> int:
        """3 where a check failed."""
        return FAILED if self._failures(result) else 0

    def failure(self, result: Any) -> str:
        """The checks that failed, a line each; "" where all passed."""
        return "\n".join(f"{name}: {words}" for name, words in self._failures(result))

    def _failures(self, result: Checked) -> list[tuple[str, str]]:
        return [(one.name, one.words) for one in result.checks if not one.passed]
