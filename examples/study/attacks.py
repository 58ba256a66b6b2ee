"""White box and black box, STBP against RGA, on plain and adversarially trained networks.

    python examples/study/attacks.py --data data/eurosat32_10k.npz --output results/study/eurosat

FGSM and PGD at the settings of Bu et al. (CVPR 2023), or at others by --eps, --eps-step and
--iterations. Black box: crafted on the plain network of the other seed. A run that was interrupted
goes on after its last attack.
"""

import itertools
import operator
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from setting import Study, parse

from art_snn.app import tables
from art_snn.app.results import as_json, booleans, fingerprint, read_result, write_result
from art_snn.app.tables import COLOURS
from art_snn.attacks import predict_logits
from art_snn.files import write_text
from art_snn.gradients import parse_rule
from art_snn.metrics import Robustness, describe_difference, paired_difference

Cell = tuple[float, str, str, str]
Outcomes = dict[tuple[Cell, str], Robustness]
FIELDS = ("decay", "training", "box", "attack")
KINDS = tuple(itertools.product(("plain", "adversarial"), ("white", "black")))
BATCH = 50


def cells(study: Study) -> list[Cell]:
    """Decay, training, box and attack."""
    boxes, trainings = ("white", "black"), ("plain", "adversarial")
    return list(itertools.product(study.decays, trainings, boxes, ("fgsm", "pgd")))


def run(study: Study, cell: Cell, rule: str, file: Path) -> None:
    """The attack by the rule, unless the file holds it."""
    decay, training, box, name = cell
    attack = study.attack(name)
    x, y = study.data.x_test[: study.samples], study.data.y_test[: study.samples]
    target = study.network(decay, training)
    source = target if box == "white" else study.network(decay, "other seed")
    parts = attack, rule, box, fingerprint("source", source, x[:0], y[:0])
    key = fingerprint(parts, target, x, y)
    content = read_result(file) if file.exists() else {}
    known = content.setdefault("outcomes", {})
    if key in known:
        return
    adversarial = attack.craft(parse_rule(rule), source, x, y, f"{cell} {rule}")
    correct, robust = (
        predict_logits(target, samples, BATCH, seed=0).argmax(1) == y
        for samples in (x, adversarial)
    )
    known[key] = {
        **dict(zip(FIELDS, cell, strict=True)),
        "rule": rule,
        "correct": as_json(correct),
        "robust": as_json(robust),
    }
    write_result(file, content)


def outcomes_of(content: Mapping[str, Any]) -> Outcomes:
    """The attacks that the file holds, in its order."""
    return {
        (tuple(found[name] for name in FIELDS), found["rule"]): Robustness(
            booleans(found["correct"]), booleans(found["robust"])
        )
        for found in content["outcomes"].values()
    }


@dataclass(frozen=True)
class Tally:
    """How RGA compares with STBP in a number of attacks.

    :param stronger: attacks in which RGA flips significantly more samples (McNemar, p < 0.05).
    :param only_rga: samples that RGA flips and STBP does not, of all attacks together."""

    stronger: int = 0
    weaker: int = 0
    equal: int = 0
    only_rga: int = 0
    only_stbp: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*map(operator.add, astuple(self), astuple(other)))

    @property
    def count(self) -> int:
        """How many attacks."""
        return self.stronger + self.weaker + self.equal


def tally(outcomes: Outcomes, kinds: tuple[str, str]) -> Tally:
    """Over all decays and attacks of one training and box."""
    total = Tally()
    for cell in {cell for cell, _ in outcomes if cell[1:3] == kinds}:
        a, b, p = paired_difference(outcomes[cell, "rga"], outcomes[cell, "stbp"])
        apart = p < 0.05
        total += Tally(apart and a > b, apart and a < b, not apart, a, b)
    return total


def verdict(outcomes: Outcomes, kinds: tuple[str, str]) -> str:
    """How often RGA was stronger than STBP, in a sentence."""
    found = tally(outcomes, kinds)
    return (
        f"{kinds[0]} training, {kinds[1]} box: RGA stronger in {found.stronger}, weaker in "
        f"{found.weaker}, not to be told apart in {found.equal} of {found.count} (McNemar, "
        f"p < 0.05); samples that only RGA flips {found.only_rga}, only STBP {found.only_stbp}."
    )


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per attack, and how often each rule was the stronger one."""
    outcomes = outcomes_of(content)
    rows = []
    for cell in dict.fromkeys(cell for cell, _ in outcomes):
        by_stbp, by_rga = outcomes[cell, "stbp"], outcomes[cell, "rga"]
        shares = (by_stbp.clean_accuracy, by_stbp.attack_success, by_rga.attack_success)
        names = (f"{cell[0]:g}", *cell[1:3], cell[3].upper())
        rows.append((*names, *map(str, shares), describe_difference(by_rga, by_stbp)))
    table = tables.Table((*FIELDS, "accuracy", "STBP", "RGA", "RGA against STBP"), rows)
    notes = tables.Notes([verdict(outcomes, kinds) for kinds in KINDS])
    return tables.render([title, table, notes], "markdown")


def draw(ax: Axes, outcomes: Outcomes, kinds: tuple[str, str]) -> None:
    """Success by both rules, one pair of bars per decay and attack."""
    rows = [cell for cell in dict.fromkeys(cell for cell, _ in outcomes) if cell[1:3] == kinds]
    for shift, rule in ((-0.2, "stbp"), (0.2, "rga")):
        shares = [outcomes[cell, rule].attack_success for cell in rows]
        values = np.array([100 * share.value for share in shares])
        reach = np.abs(100 * np.array([share.interval for share in shares]).T - values)
        places = np.arange(len(rows)) + shift
        ax.bar(places, values, 0.4, yerr=reach, color=COLOURS[rule], label=rule.upper(), capsize=2)
    names = [f"{name.upper()}\n{decay:g}" for decay, _, _, name in rows]
    ax.set(xticks=np.arange(len(rows)), xticklabels=names, ylim=(0, 103))
    ax.set(title=f"{kinds[0]} training, {kinds[1]} box", ylabel="attack success [%]")
    ax.grid(alpha=0.3, axis="y")


def main() -> None:
    study = parse("White box and black box, STBP against RGA.")
    file = study.output / "attacks.json"
    for cell, rule in itertools.product(cells(study), ("stbp", "rga")):
        run(study, cell, rule, file)
    content = read_result(file)
    text = render(f"{study.attack('fgsm')}; {study.attack('pgd')}; {study.data.name}.", content)
    write_text(study.output / "attacks.md", text)
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    for ax, kinds in zip(figure.subplots(2, 2).flat, KINDS, strict=True):
        draw(ax, outcomes_of(content), kinds)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle(f"{study.data.name}, success among the correctly classified")
    figure.savefig(study.output / "attacks.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
