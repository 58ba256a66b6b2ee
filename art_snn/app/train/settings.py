from dataclasses import dataclass, field
from pathlib import Path

from art_snn.app.annotations import Folder
from art_snn.app.base import Experiment
from art_snn.checks import require_number, set_fields
from art_snn.data import Dataset, Source
from art_snn.models import Architecture
from art_snn.training import AdversarialTraining, Recipe


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Train a network with the recipe of the papers.

    :param source: the data.
    :param architecture: the network.
    :param recipe: how it is trained.
    :param validation: share of the training samples that chooses the best epoch, in (0, 0.9]."""

    output: Folder = Path("trained")
    source: Source = field(default_factory=Source)
    architecture: Architecture = field(default_factory=Architecture)
    recipe: Recipe = field(default_factory=Recipe)
    validation: float = 0.1
    together = True

    def __post_init__(self) -> None:
        super().__post_init__()
        share, remedy = self.validation, "Test samples never choose the best epoch; 0.1 is usual."
        share = require_number("validation", share, above=0, up_to=0.9, remedy=remedy)
        set_fields(self, validation=share)

    def adversary(self, data: Dataset) -> AdversarialTraining | None:
        """What crafts the samples of every step; None trains on the samples themselves."""
        return None
