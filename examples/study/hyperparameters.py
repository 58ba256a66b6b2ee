"""Attack success of RGA over beta and gamma, on the study's networks.

    python examples/study/hyperparameters.py --data data/eurosat32_10k.npz \
        --output results/study/eurosat

Values and decays are those of Bu et al. (CVPR 2023). Of one network `art-snn compare --rules
"rga(beta=1),rga(beta=2)"` tells the same. A run that was interrupted goes on after its last value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from setting import Study, parse

from art_snn import RGA
from art_snn.app.compare import CAUTION
from art_snn.app.results import as_json, booleans, fingerprint, read_result, write_result
from art_snn.app.tables import Part, Table, render as render_parts
from art_snn.attacks import predict_logits
from art_snn.files import write_text
from art_snn.gradients import parse_rule
from art_snn.metrics import SIGNIFICANT, Robustness, describe_difference, paired_difference

GRIDS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "beta": ((1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0), (1.0, 0.5)),
    "gamma": ((0.0, 0.1, 0.2, 0.3), (0.9, 0.5)),
}
"""Values and decays of each field in the supplement of the paper."""
COLOURS = {1.0: "#0072b2", 0.9: "#009e73", 0.5: "#d55e00"}


@dataclass(frozen=True)
class Line:
    """One network over the values of one field of RGA: value -> outcome of the attack."""

    field: str
    decay: float
    outcomes: Mapping[float, Robustness]

    @property
    def default(self) -> float:
        """The value that RGA has of itself."""
        return float(getattr(RGA(), self.field))

    @property
    def best(self) -> float:
        """The value that flips most samples; of several the default, otherwise the first."""
        flips = {value: one.attack_success.count for value, one in self.outcomes.items()}
        most = [value for value, count in flips.items() if count == max(flips.values())]
        return self.default if self.default in most else most[0]

    def weaker(self, than: float) -> list[float]:
        """Values that are significantly weaker than one of them (McNemar, p < 0.05)."""
        return [value for value in self.outcomes if self._difference(value, than) < 0]

    def stronger(self, than: float) -> list[float]:
        """Values that are significantly stronger than one of them (McNemar, p < 0.05)."""
        return [value for value in self.outcomes if self._difference(value, than) > 0]

    def _difference(self, value: float, other: float) -> int:
        more, fewer, p = paired_difference(self.outcomes[value], self.outcomes[other])
        return more - fewer if p < SIGNIFICANT else 0


def read_lines(content: Mapping[str, Any]) -> list[Line]:
    """The lines of a file, in its order."""
    lines = []
    for place, entry in content["lines"].items():
        field, _, decay = place.removeprefix("rga.").partition(" at decay ")
        correct, values = booleans(entry["correct"]), entry["values"].items()
        outcomes = {float(v): Robustness(correct, booleans(one["robust"])) for v, one in values}
        lines.append(Line(field, float(decay), outcomes))
    return lines


def measure(study: Study, field: str, decay: float, file: Path) -> None:
    """Attack the plain network of a decay with every value that the file does not hold."""
    attack, classifier = study.attack("pgd"), study.network(decay, "plain")
    x, y = study.data.x_test[: study.samples], study.data.y_test[: study.samples]
    content = read_result(file) if file.exists() else {"lines": {}}
    place, key = f"rga.{field} at decay {decay:g}", fingerprint((attack, field), classifier, x, y)
    entry = content["lines"].get(place, {})
    if entry.get("key") != key:
        correct = predict_logits(classifier, x, 50, 0).argmax(1) == y
        title = study.trained(decay, "plain").describe(study.data)
        entry = {"title": title, "key": key, "correct": as_json(correct), "values": {}}
        content["lines"][place] = entry
    for value in GRIDS[field][0]:
        if str(value) not in entry["values"]:
            rule, label = (
                parse_rule(f"rga({field}={value})"),
                f"{field} = {value:g}, decay {decay:g}",
            )
            adversarial = attack.craft(rule, classifier, x, y, label)
            robust = predict_logits(classifier, adversarial, 50, 0).argmax(1) == y
            entry["values"][str(value)] = {"robust": as_json(robust)}
            write_result(file, content)


def rows(line: Line) -> list[tuple[str, ...]]:
    """A row per value; p is that of McNemar's test."""
    best, default = line.outcomes[line.best], line.outcomes[line.default]
    found = []
    for value, outcome in line.outcomes.items():
        mark = " (default)" if value == line.default else ""
        p = ["" if one is outcome else describe_difference(outcome, one) for one in (best, default)]
        found.append((f"{line.decay:g}", f"{value:g}{mark}", str(outcome.attack_success), *p))
    return found


def draw(ax: Axes, lines: list[Line]) -> None:
    """Attack success over the values of a field, one line per network with 95 % intervals."""
    for line in lines:
        values = sorted(line.outcomes)
        shares = [line.outcomes[value].attack_success for value in values]
        heights = np.array([100 * share.value for share in shares])
        low, high = 100 * np.array([share.interval for share in shares]).T
        colour, label = COLOURS.get(line.decay), f"decay {line.decay:g}"
        ax.plot(values, heights, "-o", ms=4, color=colour, label=label)
        ax.fill_between(values, low, high, color=colour, alpha=0.12, lw=0)
    ax.axvline(lines[0].default, color="black", lw=0.8, ls=":", zorder=0)
    ax.set(xlabel=lines[0].field, ylabel="attack success [%]")
    ax.grid(alpha=0.3)
    ax.legend()


def render(title: str, content: Mapping[str, Any]) -> str:
    """A table per field below the title."""
    parts: list[Part] = [title]
    titles = ("success among the correct", "against the best", "against the default")
    lines = read_lines(content)
    for field in dict.fromkeys(line.field for line in lines):
        found = [row for line in lines if line.field == field for row in rows(line)]
        parts.append(Table(("decay", field, *titles), found))
    return render_parts([*parts, CAUTION], "markdown")


def main() -> None:
    study = parse("Attack success of RGA over beta and gamma.")
    file = study.output / "sweep.json"
    for field, (_, decays) in GRIDS.items():
        for decay in decays:
            measure(study, field, decay, file)
    content = read_result(file)
    text = render(f"RGA under {study.attack('pgd')} on {study.data.name}.", content)
    figure = Figure(figsize=(9, 4), layout="constrained")
    for ax, field in zip(figure.subplots(1, 2, sharey=True), GRIDS, strict=True):
        draw(ax, [line for line in read_lines(content) if line.field == field])
    write_text(study.output / "sweep.md", text)
    figure.savefig(study.output / "sweep.png", dpi=150)
    print(text)


if __name__ == "__main__":
    main()
