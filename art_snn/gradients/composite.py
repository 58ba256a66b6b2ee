"""What rules that are made of other rules have in common."""

from abc import abstractmethod

from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Gradient


class Composite(Gradient):
    """A rule made of others, whose declarations and objections follow from theirs."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Gradient, ...]:
        """The rules inside."""

    @property
    def mixes_samples(self) -> bool:
        return any(rule.mixes_samples for rule in self.parts)

    @property
    def remembers(self) -> bool:
        return any(rule.remembers for rule in self.parts)

    @property
    def passes(self) -> int:
        return sum(rule.passes for rule in self.parts)

    @property
    def plain_passes(self) -> int:
        return sum(rule.plain_passes for rule in self.parts)

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        for rule in self.parts:
            reason = rule.objection(dynamics, encoder)
            if reason is not None:
                return f"{type(rule).__name__}: {reason}"
        return None


def require_rule(argument: str, rule: object) -> None:
    """Refuse anything but an instance of a rule.

    :raises TypeError: naming the argument."""
    if not isinstance(rule, Gradient):
        raise TypeError(
            f"{argument}: expected a gradient rule such as RGA(), got {rule!r}. "
            "Pass an instance, neither a class nor a name."
        )
