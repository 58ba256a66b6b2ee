"""What an adversarial training came to."""

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from art_snn.experiments.harden.figure import draw
from art_snn.experiments.train.result import Fitted


@dataclass(frozen=True)
class Hardened(Fitted):
    """A network that was trained adversarially; its validation samples were attacked, too."""

    def figures(self) -> Mapping[str, Figure]:
        """Loss and validation accuracy under attack against the epoch."""
        return {self.name: draw(self)}
