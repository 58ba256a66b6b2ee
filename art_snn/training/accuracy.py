"""How many samples a network classifies correctly, under attack too."""

from torch import Tensor

from art_snn.network import SpikingNetwork
from art_snn.team import ALONE, Team
from art_snn.training.defences import AT, Defence
from art_snn.training.learner import Learner
from art_snn.training.samples import Craft, Validation, check_pairs, copied
from art_snn.training.together import mine
from art_snn.transfers import sent


def accuracy(
    network: SpikingNetwork,
    samples: Validation,
    batch_size: int = 64,
    craft: Craft | None = None,
    team: Team = ALONE,
    defence: Defence = AT(),  # noqa: B008
) -> float:
    """Share of the samples that are classified correctly, after an attack where one is given.

    A defence may count others: IBP counts those that are certified.

    :param network: in the mode that it has.
    :param craft: what :meth:`Adversary.against` gives.
    :param team: processes that classify a share each.
    :raises ValueError: without any sample, or for labels that are no class indices [N]."""
    check_pairs("samples", samples.x, samples.y)
    learner = Learner(network=network)
    correct: int | Tensor = 0
    for start in range(0, len(samples.x), batch_size):
        x = mine(team, copied(samples.x[start : start + batch_size]))
        y = mine(team, copied(samples.y[start : start + batch_size])).long()
        if not len(x):
            continue
        x = x if craft is None else craft(x, y)
        correct += defence.correct(learner, x, sent(y, learner.device)).sum()
    return sum(team.gather(int(correct))) / len(samples.x)
