"""Adversarial training from data to checkpoint."""

from art_snn.experiments.base import at_work
from art_snn.experiments.harden.result import Hardened
from art_snn.experiments.harden.settings import Settings
from art_snn.experiments.train.run import fitted


@at_work
def run(settings: Settings) -> Hardened:
    """Train against the attack; write network.pt, training.json, training.md and training.png.

    A run that was interrupted goes on after its last whole epoch, from training.pt, which is kept.
    """
    data = settings.source.load()
    return fitted(settings, data, settings.adversary(data), Hardened)
