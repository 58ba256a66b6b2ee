from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from art_snn.app.annotations import Folder, Open
from art_snn.app.base import Experiment
from art_snn.app.trained import Trained
from art_snn.checks import require_some, set_counts, set_fields
from art_snn.data import RANDOM, Dataset, Source
from art_snn.gradients import GRADIENTS, Gradient, parse_rule
from art_snn.measuring.workload import random_samples
from art_snn.models import Architecture
from art_snn.models.options import MOST_CHANNELS

RULES: Mapping[str, Gradient] = MappingProxyType(
    {name: parse_rule(name) for name in (*GRADIENTS, "native")}
)
"""The rules that are tried unless others are asked for."""


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """List the neurons of a network, and the engine with which every rule runs on it.

    Every rule takes one gradient of one batch; a rule that is refused is listed with the reason.

    :param architecture: the network; its weights are drawn, or those that a function of yours
        gives.
    :param checkpoint: weights of a trained network.
    :param source: the data: random, or a data set whose test samples are taken.
    :param rules: names of rules, separated by commas.
    :param batch_size: samples of the batch.
    :param channels: of random samples [3; of a network of yours: its own]."""

    output: Folder = Path("inspection")
    architecture: Architecture = field(default_factory=Architecture)
    checkpoint: Open[Path] = None
    source: Source = field(default_factory=lambda: Source(data=RANDOM))
    rules: Mapping[str, Gradient] = field(default_factory=lambda: RULES)
    batch_size: int = 8
    channels: Open[int] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        network, source = self.network.or_zoo(self.source)
        architecture, checkpoint = network.architecture, network.checkpoint
        set_fields(self, architecture=architecture, checkpoint=checkpoint, source=source)
        set_counts(self, "batch_size")
        set_counts(self, "channels", up_to=MOST_CHANNELS)
        require_some("rules", self.rules)
        self.source.check_random(self.channels)

    @property
    def network(self) -> Trained:
        """The network."""
        return Trained(architecture=self.architecture, checkpoint=self.checkpoint)

    def data(self) -> Dataset:
        """The samples, as many as a batch where they are random."""
        if not self.source.random:
            return self.source.load()
        sizes: dict[str, Any] = {"channels": self.channels, "image_size": self.source.image_size}
        architecture = self.architecture.filled(self.network.noted())
        x, y = random_samples(architecture, self.batch_size, **sizes)
        labels = y.argmax(1)
        # Labels alone would not tell how many classes there are.
        labels[-1] = y.shape[1] - 1
        return Dataset("random samples", x, labels, x, labels)
