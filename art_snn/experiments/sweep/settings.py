"""Which hyperparameter of which rule is swept, under which attack, on which networks."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_snn.attacks import Attack
from art_snn.checks import invalid, require_count, require_whole
from art_snn.data import Source
from art_snn.experiments.base import Experiment
from art_snn.experiments.trained import Trained
from art_snn.flags import Open
from art_snn.gradients import Gradient, resolve
from art_snn.gradients.hyperparameters import accepted, number, replaced


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One field of one rule over some values, under one attack.

    :param rule: a name as :func:`art_snn.gradients.named` takes it, or an instance.
    :param field: its hyperparameter, with a dot for one inside another: "surrogate.width".
    :param values: in the order of the table; whole numbers where the field holds such, and 0 or 1
        for a truth value.
    :param attack: the same for every value.
    :param samples: test samples under attack; None is all of them.
    :param batch_size: samples per gradient.
    :param seed: of the attack's random draws, set anew for every batch.
    :raises TypeError: for a rule that is neither a name nor an instance.
    :raises ValueError: for an unknown rule or field, a value that the rule refuses or that stands
        there twice, no value, or a count below 1.
    """

    rule: str | Gradient = "rga"
    field: str = "beta"
    values: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    attack: Attack = dataclasses.field(default_factory=Attack)
    samples: int | None = 500
    batch_size: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples is not None:
            remedy = "Leave it out for all test samples."
            count = require_count("samples", self.samples, remedy=remedy)
            object.__setattr__(self, "samples", count)
        size = require_count("batch_size", self.batch_size, remedy="Use a whole number from 1.")
        object.__setattr__(self, "batch_size", size)
        if not self.values:
            raise invalid("values", "at least one", "none", "Give some.")
        values = tuple(accepted(self.base, self.field, value) for value in self.values)
        if len(set(values)) < len(values):
            raise invalid("values", "each one once", str(values), "Leave out doubles.")
        object.__setattr__(self, "values", values)

    @property
    def base(self) -> Gradient:
        """The rule with its own value of the field."""
        return resolve(self.rule, "rule")

    @property
    def default(self) -> float:
        """The rule's own value of the field."""
        return number(self.base, self.field).value

    @property
    def name(self) -> str:
        """Rule and field: "rga.beta"."""
        rule = self.rule if isinstance(self.rule, str) else type(self.rule).__name__.lower()
        return f"{rule}.{self.field}"

    def with_value(self, value: float) -> Gradient:
        """The rule with that value of the field."""
        rule: Gradient = replaced(self.base, self.field, value)
        return rule


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep, and the networks that it attacks.

    :param sweep: one field over some values.
    :param decays: of the neurons, one network each.
    :raises ValueError: without any decay.
    """

    sweep: Sweep
    decays: tuple[float, ...] = (1.0, 0.5)

    def __post_init__(self) -> None:
        if not self.decays:
            raise invalid("decays", "at least one", "none", "Give some.")
        object.__setattr__(self, "decays", tuple(dict.fromkeys(map(float, self.decays))))


def paper(decays: Sequence[float] | None = None, **settings: Any) -> list[Plan]:
    """Both panels of the figure in the supplement of Bu et al. (CVPR 2023).

    Beta from 1 to 4 at decays 1 and 0.5, and gamma from 0 to 0.3 at decays 0.9 and 0.5.

    :param decays: others for both panels.
    :param settings: attack, samples, batch_size and seed of :class:`Sweep`.
    """
    beta = Sweep(field="beta", values=(1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0), **settings)
    gamma = Sweep(field="gamma", values=(0.0, 0.1, 0.2, 0.3), **settings)
    usual = {"beta": (1.0, 0.5), "gamma": (0.9, 0.5)}
    return [
        Plan(sweep=one, decays=usual[one.field] if decays is None else tuple(decays))
        for one in (beta, gamma)
    ]


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Attack success over a hyperparameter of a rule; without options over RGA's beta and gamma.

    :param rule: name of a rule: rga, hart, eot-rga, ... [rga].
    :param field: its hyperparameter, with a dot for one inside another: beta, surrogate.width, ...
    :param values: of that field: numbers or fractions, separated by commas.
    :param decays: of the neurons, one network each [1,0.5; for the paper's gamma 0.9,0.5].
    :param source: the data.
    :param network: the networks, but for their decay.
    :param attack: the same for every value.
    :param samples: test samples under attack.
    :param batch_size: samples per gradient.
    :param seed: of weights, training and attack, set anew for every batch.
    :raises ValueError: as :class:`Sweep`; for a rule, a field or values without field and values;
        and for decays beside a decay, a checkpoint, or a network of the user's own.
    """

    output: Path = Path("sweep")
    rule: Open[str] = None
    field: Open[str] = None
    values: Open[tuple[float, ...]] = None
    decays: Open[tuple[float, ...]] = None
    source: Source = dataclasses.field(default_factory=Source)
    network: Trained = dataclasses.field(default_factory=Trained)
    attack: Attack = dataclasses.field(default_factory=Attack)
    samples: int = 500
    batch_size: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seed", require_whole("seed", self.seed, remedy="Use 0."))
        object.__setattr__(self, "decays", decays_of(self.decays, self.network))
        self.plans()

    def plans(self) -> list[Plan]:
        """The sweep over the values of the field, or :func:`paper`'s where none is named."""
        names = ("attack", "samples", "batch_size", "seed")
        same = {name: getattr(self, name) for name in names}
        if self.rule is None and self.field is None and self.values is None:
            return paper(self.decays, **same)
        if self.field is None or self.values is None:
            raise invalid(
                "field" if self.field is None else "values",
                "a field and its values",
                "none",
                "Give both, or neither of them and no rule for the sweeps of the paper.",
            )
        one = Sweep(rule=self.rule or "rga", field=self.field, values=self.values, **same)
        return [Plan(sweep=one) if self.decays is None else Plan(sweep=one, decays=self.decays)]


def decays_of(decays: tuple[float, ...] | None, network: Trained) -> tuple[float, ...] | None:
    """The decays that are asked for; None where none are.

    :raises ValueError: for decays beside a decay, or beside a network that has its own.
    """
    told = network.architecture.decay
    owner = "a decay" if told is not None else ""
    owner = "a checkpoint, whose network has its own" if network.checkpoint is not None else owner
    owner = "a network of yours, which has its own" if network.architecture.is_own else owner
    if decays is not None and owner and decays != (told,):
        raise invalid(
            "decays",
            f"None beside {owner}",
            ", ".join(f"{decay:g}" for decay in decays),
            "Leave it out, or the other to train a network for each decay.",
        )
    return decays if told is None else (told,)
