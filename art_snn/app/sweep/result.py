from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from art_snn.app.attack import Attack
from art_snn.app.base import Result
from art_snn.app.resume import as_json, expect
from art_snn.app.tables import Notes, Part, Table
from art_snn.metrics import (
    SIGNIFICANT,
    Robustness,
    Share,
    describe_difference,
    paired_difference,
    union,
)

CAUTION = (
    "A value that is chosen on the samples under attack overstates the attack; "
    "the union over a grid that was fixed beforehand does not."
)


@dataclass(frozen=True)
class Line:
    """One network over the values of one field: value -> outcome of the attack, at least one.

    The title is network and data in words, the default is the rule's own value."""

    title: str
    default: float
    outcomes: Mapping[float, Robustness]

    @property
    def best(self) -> float:
        """The value that flips most samples; of several the default, otherwise the first."""
        flips = {value: outcome.attack_success.count for value, outcome in self.outcomes.items()}
        most = [value for value, count in flips.items() if count == max(flips.values())]
        return self.default if self.default in most else most[0]

    @property
    def rivals(self) -> list[float]:
        """The other values that are not significantly weaker than the best (McNemar p >= 0.05)."""
        apart = {self.best, *self.weaker(self.best)}
        return [value for value in self.outcomes if value not in apart]

    def weaker(self, than: float) -> list[float]:
        """Those values that are significantly weaker than that one of them (McNemar p < 0.05)."""
        return [value for value in self.outcomes if self._difference(value, than) < 0]

    def stronger(self, than: float) -> list[float]:
        """Those values that are significantly stronger than that one of them (McNemar p < 0.05)."""
        return [value for value in self.outcomes if self._difference(value, than) > 0]

    def _difference(self, value: float, other: float) -> int:
        """Samples that only the one value flips less those that only the other does, or 0."""
        more, fewer, p = paired_difference(self.outcomes[value], self.outcomes[other])
        return more - fewer if p < SIGNIFICANT else 0

    @property
    def union(self) -> Robustness:
        """The outcome of the attack whose adversarial is whichever value's succeeds."""
        return union(self.outcomes.values())

    def verdict(self) -> str:
        """The best value, and those that are not significantly weaker, in a sentence."""
        best = f"best {self.best:g}: {self.outcomes[self.best].attack_success}"
        if len(self.outcomes) == 1:
            return best
        rivals = ", ".join(f"{value:g}" for value in self.rivals) or "none"
        return f"{best}; not significantly weaker (McNemar, p >= {SIGNIFICANT:g}): {rivals}"


@dataclass(frozen=True)
class Panel:
    """One field over several networks; rule and attack are in words.

    :param lines: network -> line, such as "decay 0.5"; at least one."""

    rule: str
    field: str
    attack: str
    lines: Mapping[str, Line]

    @property
    def title(self) -> str:
        """What was varied and how was attacked, in words."""
        return f"{self.field} of {self.rule}; {self.attack}"

    def table(self) -> Table:
        """One row per network and value; p is that of McNemar's test."""
        titles = ["network", self.field, "success among the correct"]
        titles += ["against the best", "against the default"]
        return Table(titles, [r for name, line in self.lines.items() for r in _rows(name, line)])

    def notes(self) -> Notes:
        """Per network: what it is, its samples, its best value."""
        lines = []
        for name, line in self.lines.items():
            accuracy = line.union.clean_accuracy
            words = f"{accuracy.count} of {accuracy.total} samples classified correctly"
            lines.append(f"{name} ({line.title}; {words}): {line.verdict()}.")
        return Notes(lines)


def _rows(name: str, line: Line) -> list[tuple[str, ...]]:
    best, default = line.outcomes[line.best], line.outcomes.get(line.default)
    rows: list[tuple[str, ...]] = []
    for value, outcome in line.outcomes.items():
        mark = " (default)" if value == line.default else ""
        p = [
            "" if o is None or o is outcome else describe_difference(outcome, o)
            for o in (best, default)
        ]
        rows.append((name, f"{value:g}{mark}", str(outcome.attack_success), *p))
    if len(rows) > 1:
        rows.append((name, "union of all", str(line.union.attack_success), "", ""))
    return rows


@dataclass(frozen=True)
class Value:
    """One value on one network, for JSON: which samples are classified correctly afterwards."""

    attack_success: Share
    robust: np.ndarray


@dataclass(frozen=True)
class Entry:
    """One network over the values of one field, for JSON; the key is their fingerprint."""

    title: str
    key: str
    rule: str
    field: str
    default: str
    attack: dict[str, Any]
    samples: int
    batch_size: int
    seed: int
    clean_accuracy: Share
    correct: np.ndarray
    values: dict[str, Value]

    def __post_init__(self) -> None:
        whole = len(self.correct) == self.samples
        expect(whole, f"{self.samples} digits in correct", len(self.correct))
        for name, value in self.values.items():
            same = len(value.robust) == len(self.correct)
            expect(same, f"{len(self.correct)} digits for the value {name}", len(value.robust))

    def outcome(self, value: float | str) -> Robustness:
        """What the attack under that value did; words as they stand in the file."""
        return Robustness(self.correct, self.values[str(value)].robust)


@dataclass(frozen=True)
class Content:
    """All that the JSON file holds, by rule, field and network."""

    lines: dict[str, Entry]

    def panels(self) -> list[Panel]:
        """One per rule, field and attack, in the order of the file."""
        panels: dict[tuple[str, str, str], dict[str, Line]] = {}
        for place, entry in self.lines.items():
            outcomes = {float(value): entry.outcome(value) for value in entry.values}
            panel = entry.rule, entry.field, str(Attack(**entry.attack))
            line = Line(entry.title, float(entry.default), outcomes)
            panels.setdefault(panel, {})[place.partition(" at ")[2]] = line
        return [Panel(*panel, lines) for panel, lines in panels.items()]


@dataclass(frozen=True)
class Swept(Result):
    """The panels of a sweep, one per field, and all that their JSON file holds."""

    panels: Sequence[Panel]
    content: Content = field(default_factory=lambda: Content({}))
    name: ClassVar[str] = "sweep"

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return as_json(self.content)  # type: ignore[no-any-return]

    def parts(self) -> list[Part]:
        """A table and notes per panel."""
        parts = [part for p in self.panels for part in ((p.title,), p.table(), p.notes())]
        return [*parts, CAUTION]
