import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_snn.app.annotations import Folder, Open
from art_snn.app.attack import Attack
from art_snn.app.trained import Attacking
from art_snn.checks import require, require_some, set_counts, set_fields
from art_snn.gradients import Gradient, hyperparameters, resolve, set_hyperparameter


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One field of one rule over some values, under one attack.

    :param rule: a name as :func:`art_snn.gradients.parse_rule` takes it, or an instance.
    :param field: its hyperparameter, with a dot for one inside another: "surrogate.width".
    :param values: in the order of the table; whole numbers where the field holds such, and 0 or 1
        for a truth value.
    :param attack: the same for every value.
    :param samples: test samples under attack; None is all of them.
    :param batch_size: samples per gradient.
    :param seed: of the attack's random draws, set anew for every batch.
    :raises TypeError: for a rule that is neither a name nor an instance.
    :raises ValueError: for an unknown rule or field, a value that the rule refuses or that stands
        there twice, no value, or a count below 1."""

    rule: str | Gradient = "rga"
    field: str = "beta"
    values: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    attack: Attack = dataclasses.field(default_factory=Attack)
    samples: int | None = 500
    batch_size: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        set_counts(self, "samples", "batch_size")
        require_some("values", self.values)
        rules = [set_hyperparameter(self.base, self.field, v, "values") for v in self.values]
        values = tuple(hyperparameters(rule)[self.field] for rule in rules)
        once = len(set(values)) == len(values)
        require(once, "values", "each one once", str(values), "Leave out doubles.")
        set_fields(self, values=values)

    @property
    def base(self) -> Gradient:
        """The rule with its own value of the field."""
        return resolve(self.rule, "rule")

    @property
    def default(self) -> float:
        """The rule's own value of the field."""
        value: float = hyperparameters(self.base)[self.field]
        return value

    @property
    def name(self) -> str:
        """Rule and field: "rga.beta"."""
        rule = self.rule if isinstance(self.rule, str) else type(self.rule).__name__.lower()
        return f"{rule}.{self.field}"

    def with_value(self, value: float) -> Gradient:
        """The rule with that value of the field."""
        rule: Gradient = set_hyperparameter(self.base, self.field, value)
        return rule


@dataclass(frozen=True, kw_only=True)
class Sweeps:
    """A sweep, and the decays of the networks that it attacks; one network each, at least one."""

    sweep: Sweep
    decays: tuple[float, ...] = (1.0, 0.5)

    def __post_init__(self) -> None:
        require_some("decays", self.decays)
        set_fields(self, decays=tuple(dict.fromkeys(map(float, self.decays))))


def paper(decays: Sequence[float] | None = None, **settings: Any) -> list[Sweeps]:
    """Both panels of the figure in the supplement of Bu et al. (CVPR 2023).

    Beta from 1 to 4 at decays 1 and 0.5, and gamma from 0 to 0.3 at decays 0.9 and 0.5.

    :param decays: others for both panels.
    :param settings: attack, samples, batch_size and seed of :class:`Sweep`."""
    beta = Sweep(field="beta", values=(1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0), **settings)
    gamma = Sweep(field="gamma", values=(0.0, 0.1, 0.2, 0.3), **settings)
    both = ((1.0, 0.5), (0.9, 0.5)) if decays is None else (tuple(decays),) * 2
    return [Sweeps(sweep=s, decays=d) for s, d in zip((beta, gamma), both, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Settings(Attacking):
    """Measure attack success over a hyperparameter of a rule; by default RGA's beta and gamma.

    :param rule: name of a rule: rga, hart, eot-rga, ... [rga].
    :param field: its hyperparameter, with a dot for one inside another: beta, surrogate.width, ...
    :param values: of that field: numbers or fractions, separated by commas.
    :param decays: of the neurons, one network for each [1,0.5; for the paper's gamma 0.9,0.5].
    :raises ValueError: as :class:`Sweep`; for a rule, a field or values without field and values;
        and for decays next to a decay, a checkpoint, or a network of the user's own."""

    output: Folder = Path("sweep")
    rule: Open[str] = None
    field: Open[str] = None
    values: Open[tuple[float, ...]] = None
    decays: Open[tuple[float, ...]] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        decay, is_own = self.network.architecture.decay, self.network.architecture.is_own
        given = self.network.checkpoint is not None
        owner = "a network of yours" if is_own else "a checkpoint" if given else "a decay"
        fits = self.decays in (None, (decay,)) or not (is_own or given or decay is not None)
        remedy = "Leave it out, or the other to train a network for each decay."
        expected, got = f"None next to {owner}, which has its own", self.decays or ()
        require(fits, "decays", expected, ", ".join(map(repr, got)) or "none", remedy)
        if decay is not None:
            set_fields(self, decays=(decay,))
        self.plans()

    def plans(self) -> list[Sweeps]:
        """The sweep over the values of the field, or :func:`paper`'s where none is named."""
        names = ("attack", "samples", "batch_size", "seed")
        same = {name: getattr(self, name) for name in names}
        if self.rule is None and self.field is None and self.values is None:
            return paper(self.decays, **same)
        remedy = "Give both, or neither of them and no rule for the sweeps of the paper."
        for name in ("field", "values"):
            require(getattr(self, name) is not None, name, "a field and values", "none", remedy)
        same |= {"rule": self.rule or "rga", "field": self.field, "values": self.values}
        decays = Sweeps.decays if self.decays is None else self.decays
        return [Sweeps(sweep=Sweep(**same), decays=decays)]
