"""Adversarial training from data to checkpoint."""

from art_snn.experiments.harden.result import Hardened
from art_snn.experiments.harden.settings import Settings
from art_snn.experiments.train.run import fitted


def run(settings: Settings) -> Hardened:
    """Train against the attack; write network.pt, training.json, training.md and training.png.

    A run that was interrupted goes on after its last whole epoch, from training.pt, which is kept.

    :raises CheckpointError: when the folder holds a run of other settings.
    :raises FileNotFoundError: when the data are not there.
    :raises ValueError: as :func:`art_snn.experiments.train.run`, when the rule does not apply to
        the network, or the data have no value range; before anything is written.
    """
    settings.prepare()
    data = settings.source.load()
    return fitted(settings, data, settings.adversary(data), Hardened)
