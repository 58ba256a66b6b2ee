"""Adversarial training from data to checkpoint."""

from art_snn.experiments.harden.result import Hardened
from art_snn.experiments.harden.settings import Settings
from art_snn.experiments.train.run import fitted


def run(settings: Settings) -> Hardened | None:
    """Train against the attack; write network.pt, training.json, training.md and training.png.

    A run that was interrupted goes on after its last whole epoch, from training.pt, which is kept.
    Several processes train it together; None in all but the leading one."""
    with settings.at_work() as team:
        data = team.first(settings.source.load)
        result = fitted(settings, data, settings.adversary(data), Hardened, team)
    return result if team.leads else None
