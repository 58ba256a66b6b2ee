"""How much a stage asks of a network about one sample, before anything breaks it."""

from dataclasses import dataclass
from inspect import signature
from math import prod
from typing import Any

from art_snn.attacks.plan import Stage
from art_snn.attacks.spiking_auto_attack import GRADIENTS
from art_snn.gradients import EOT, Gradient

RUNS = ("num_random_init", "nb_random_init", "nb_restarts", "targets", "binary_search_steps")
"""Settings that multiply the steps of an attack, of ours and ART's."""


LIVING, NEAR = 0.5, 0.1
"""Share of the samples that a stage usually finds unbroken, and near the boundary, where `within`
asks for such. On digits at the budgets 0.05 and 0.1 the stages of `fast` found 0.36 to 0.97 of them
unbroken, and 0.02 to 0.2 near."""


@dataclass(frozen=True)
class Work:
    """Predictions and gradients of one sample; of a random network, with all draws.

    :param share: of the samples that it is expected to concern."""

    predictions: int = 0
    gradients: int = 0
    share: float = 1.0

    @property
    def passes(self) -> int:
        """Forward and backward passes."""
        return self.predictions + 2 * self.gradients


def work_of(stage: Stage, rule: Gradient, *, random: bool = False, sources: int = 0) -> Work:
    """The work of a stage on a sample that nothing breaks.

    :param rule: of the network, for stages without one.
    :param random: whether predictions of the network are drawn.
    :param sources: number of networks on which stages craft that transfer."""
    defaults = {name: p.default for name, p in signature(stage.attack).parameters.items()}
    settings: dict[str, Any] = defaults | dict(stage.options)
    steps, *runs = (_count(settings.get(name)) for name in ("max_iter", *RUNS))
    asked, rule = prod(runs), stage.rule or rule
    share = LIVING if stage.within is None else NEAR
    if stage.transfer:
        return Work(sources, sources * steps * asked, share)
    draws = GRADIENTS if random else 1
    if not stage.kind.by_gradients:
        return Work(steps * asked * draws, 0, share)
    passes = rule.passes * (1 if isinstance(rule, EOT) else draws)
    return Work(asked * draws, steps * asked * passes, share)


def _count(value: object) -> int:
    return max(1, value) if isinstance(value, int) else 1
