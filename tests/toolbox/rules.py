"""Counting rules of a classifier, and what they say in the words of the table."""

from __future__ import annotations

from typing import Any

from art_snn import RGA, STBP, PyTorchSpikingClassifier
from tests.networks import Counted, build
from tests.toolbox.promises import ATTACK_GRADIENT, BOTH, NO_GRADIENT, TRAINING_GRADIENT

NAMES = {
    (False, False): NO_GRADIENT,
    (True, False): ATTACK_GRADIENT,
    (False, True): TRAINING_GRADIENT,
    (True, True): BOTH,
}


class Rules:
    """An attack gradient and a training gradient that count their backward passes."""

    def __init__(self) -> None:
        self.attack, self.training = Counted(RGA()), Counted(STBP())

    def build(self, layers: Any = None, form: str = "grey", **options: Any) -> Any:
        """A classifier with these rules: see `tests.networks.build`."""
        rules = {"gradient": self.attack, "training_gradient": self.training}
        classifier: PyTorchSpikingClassifier = build(layers, form, **rules, **options)
        return classifier

    @property
    def used(self) -> str:
        """By which of the two anything has gone backward."""
        return NAMES[self.attack.tally.backwards > 0, self.training.tally.backwards > 0]
