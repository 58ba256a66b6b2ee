from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from art_snn.app.annotations import Folder
from art_snn.app.trained import Attacking
from art_snn.checks import require_some, set_counts
from art_snn.gradients import EOT, GRADIENTS, Gradient, parse_rule
from art_snn.gradients.rules.eot import MOST_DRAWS

_NAMES = (*GRADIENTS, "pdsg-per-sample", "rga-32-steps", "mean-rga-stbp")
RULES: Mapping[str, Gradient] = MappingProxyType({name: parse_rule(name) for name in _NAMES})
"""The rules that are compared unless others are asked for."""


@dataclass(frozen=True, kw_only=True)
class Settings(Attacking):
    """Attack one network with every gradient rule: success, cost and direction.

    :param rules: names of rules, separated by commas: eot-rga, rga-32-steps, mean-rga-stbp, ...
        Where none of the default ones applies, native is added.
    :param eot: draws over which each rule is averaged; 1 averages nothing.
    :param repeats: rounds behind each median of time."""

    output: Folder = Path("comparison")
    rules: Mapping[str, Gradient] = field(default_factory=lambda: RULES)
    eot: int = 1
    repeats: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        set_counts(self, "repeats")
        set_counts(self, "eot", up_to=MOST_DRAWS)
        require_some("rules", self.rules)

    @property
    def identity(self) -> dict[str, Any]:
        """What the rows depend on, next to network and data."""
        names = ("attack", "samples", "batch_size", "eot", "repeats", "seed")
        return {name: getattr(self, name) for name in names} | {"rules": dict(self.rules)}

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        rules = {name: str(self.rule(name)) for name in self.rules}
        return self.identity | {"attack": self.attack.as_dict(), "rules": rules}

    def rule(self, name: str) -> Gradient:
        """The rule of that name, as it is run."""
        return self.averaged(self.rules[name])

    def averaged(self, rule: Gradient) -> Gradient:
        """The rule, averaged over draws where that was asked for."""
        return rule if self.eot == 1 else EOT(rule, samples=self.eot)
