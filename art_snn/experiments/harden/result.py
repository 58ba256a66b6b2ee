from dataclasses import dataclass

from art_snn.experiments.harden.figure import draw
from art_snn.experiments.train.result import Fitted


@dataclass(frozen=True)
class Hardened(Fitted):
    """A network that was trained adversarially; its validation samples were attacked, too."""

    drawing = staticmethod(draw)
