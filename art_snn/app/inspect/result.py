from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from art_snn.app.base import Result
from art_snn.app.resume import as_json
from art_snn.app.tables import Notes, Part, Table
from art_snn.dynamics import Dynamics
from art_snn.metrics import Share


@dataclass(frozen=True)
class Neurons:
    """A layer of neurons of some class, by its name in the network.

    :param layout: what its calls take: steps [T, N, ...], step [N, ...], merged [T * N, ...], ...
    :param rate: spikes per step on the samples; None where it was not called.
    :param read_out: whether it never resets, so that its potential is read rather than its spikes.
    :param objections: rule -> why it does not apply."""

    name: str
    kind: str
    layout: str
    dynamics: Dynamics
    rate: float | None
    read_out: bool
    objections: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        d, same = self.dynamics, ("name", "kind", "layout", "rate", "read_out")
        names = ("decay", "gain", "threshold", "constant", "strict", "rest", "start")
        numbers = {name: as_json(getattr(d, name)) for name in names}
        numbers |= {"reset": d.reset, "drop": as_json(d.amount)}
        return {name: getattr(self, name) for name in same} | {
            "dynamics": None if d.unknown else numbers,
            "unknown": d.unknown,
            "objections": dict(self.objections),
        }

    @property
    def label(self) -> str:
        """The name, of which a model that is a neuron itself has none."""
        return self.name or "(the model)"

    @property
    def reset(self) -> str:
        """The reset with its value or amount."""
        d = self.dynamics
        if d.reset == "hard":
            return f"hard to {d.rest:g}"
        return f"soft by {d.amount:g}" if d.reset == "soft" else "none"

    def row(self, rules: Sequence[str]) -> list[str]:
        """As a row of the table; numbers that are not known are question marks."""
        d = self.dynamics
        numbers = [f"{d.decay:g}", f"{d.gain:g}", f"{d.threshold:g}", self.reset]
        rate = "not called" if self.rate is None else f"{self.rate:.3f}"
        cells = ["?"] * 4 if d.unknown else numbers
        return [self.label, self.kind, self.layout, *cells, rate, self._suited(rules)]

    def _suited(self, rules: Sequence[str]) -> str:
        suited = [name for name in rules if name not in self.objections]
        if len(suited) == len(rules):
            return "all"
        if len(suited) > len(self.objections):
            return f"all but {', '.join(self.objections)}"
        return ", ".join(suited) or "none"


@dataclass(frozen=True)
class Tried:
    """What one gradient of one batch with a rule was like.

    :param engine: which engine ran, and why; "" where the rule was refused.
    :param objection: why the rule does not apply, so that it was not tried.
    :param refusal: why its gradient was refused.
    :param vanished: samples whose gradient is zero."""

    rule: str
    engine: str = ""
    objection: str | None = None
    refusal: str | None = None
    vanished: Share | None = None

    def row(self, name: str) -> list[str]:
        """As a row of the table."""
        if self.vanished is None:
            return [name, "none", "", "does not apply" if self.objection else "refused: see below"]
        kind, _, reason = self.engine.partition(": ")
        return [name, kind, f"{self.vanished.count} of {self.vanished.total}", reason]


@dataclass(frozen=True)
class Inspection(Result):
    """Neurons and rules of one network; the settings are its encoder, rules and the like."""

    title: str
    settings: Mapping[str, Any]
    neurons: Sequence[Neurons]
    rules: Mapping[str, Tried]
    name: ClassVar[str] = "inspect"
    drawings = ()

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        neurons = [one.as_dict() for one in self.neurons]
        rules = {name: as_json(tried) for name, tried in self.rules.items()}
        return {"title": self.title, **self.settings, "neurons": neurons, "rules": rules}

    def parts(self) -> list[Part]:
        """A row per layer of neurons and one per rule, with the reasons below them."""
        heading = [f"{name.replace('_', ' ')}: {value}" for name, value in self.settings.items()]
        titles = ("neuron", "class", "layout", "decay", "gain", "threshold", "reset", "rate")
        names = list(self.rules)
        neurons = Table((*titles, "rules"), [one.row(names) for one in self.neurons])
        rows = [tried.row(name) for name, tried in self.rules.items()]
        rules = Table(("rule", "engine", "zero gradients", "remark"), rows)
        notes = [[*self._unknown(), *self._objections()], self._refusals()]
        first, second = ([Notes(lines)] if lines else [] for lines in notes)
        return [(self.title, *heading), neurons, *first, rules, *second]

    def _unknown(self) -> list[str]:
        unknown = [(one.label, one.dynamics.unknown) for one in self.neurons]
        return [f"The equations of {name} are not known: {why}." for name, why in unknown if why]

    def _refusals(self) -> list[str]:
        reasons = {name: tried.refusal for name, tried in self.rules.items() if tried.refusal}
        rules = {
            why: [name for name in reasons if reasons[name] == why] for why in reasons.values()
        }
        return [f"Refused under {', '.join(names)}: {why}" for why, names in rules.items()]

    def _objections(self) -> list[str]:
        """Sentences: a rule, the neurons that it does not apply to, and why."""
        neurons: dict[tuple[str, str, bool], list[str]] = {}
        for one in self.neurons:
            for rule, reason in one.objections.items():
                if reason != one.dynamics.unknown:
                    neurons.setdefault((rule, reason, one.read_out), []).append(one.label)
        return [
            f"{rule} does not apply to {', '.join(names)}"
            f"{' where others read its spikes' if read_out else ''}: {reason}."
            for (rule, reason, read_out), names in neurons.items()
        ]
