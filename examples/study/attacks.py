"""White box and black box, STBP against RGA, on plain and adversarially trained networks.

    python examples/study/attacks.py --data eurosat32_10k.npz --output study/eurosat

FGSM and PGD at the settings of Bu et al. (CVPR 2023), or at others by --eps, --eps-step and
--iterations. Black box: crafted on the plain network of the other seed. A run that was interrupted
goes on after its last attack.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from setting import Study, parse

from art_snn.evaluation import record
from art_snn.evaluation.comparison import against
from art_snn.evaluation.crafting import crafted, predictions
from art_snn.evaluation.metrics import Robustness, paired_difference
from art_snn.gradients import GRADIENTS
from art_snn.plotting.colours import COLOURS

Cell = tuple[float, str, str, str]
BATCH = 50


def cells(study: Study) -> list[Cell]:
    """Decay, training, box and attack."""
    boxes, trainings = ("white", "black"), ("plain", "adversarial")
    return list(itertools.product(study.decays, trainings, boxes, ("fgsm", "pgd")))


def outcome(study: Study, cell: Cell, rule: str, file: Path) -> Robustness:
    """The attack by the rule, from the file or run now."""
    decay, training, box, name = cell
    attack = study.attack(name)
    x, y = study.data.x_test[: study.samples], study.data.y_test[: study.samples]
    target = study.network(decay, training)
    source = target if box == "white" else study.network(decay, "other seed")
    parts = attack, rule, box, record.fingerprint("source", source, x[:0], y[:0])
    key = record.fingerprint(parts, target, x, y)
    content: dict[str, Any] = record.read(file, "study", lambda found: "outcomes" in found)
    known = content.setdefault("outcomes", {})
    if key not in known:
        adversarial = crafted(
            attack,
            GRADIENTS[rule](),
            source,
            x,
            y,
            batch_size=BATCH,
            seed=0,
            words=f"{cell} {rule}",
        )
        clean = predictions(target, x, BATCH, seed=0).argmax(1) == y
        robust = predictions(target, adversarial, BATCH, seed=0).argmax(1) == y
        known[key] = {
            **dict(zip(("decay", "training", "box", "attack"), cell, strict=True)),
            "rule": rule,
            "correct": record.digits(clean),
            "robust": record.digits(robust),
        }
        record.write(file, content)
    found = known[key]
    return Robustness(record.booleans(found["correct"]), record.booleans(found["robust"]))


def verdict(outcomes: dict[tuple[Cell, str], Robustness], kinds: tuple[str, str]) -> str:
    """How often RGA was stronger than STBP, of all decays and attacks."""
    stronger, weaker, equal, only = 0, 0, 0, np.zeros(2, int)
    for cell in {cell for cell, _ in outcomes if cell[1:3] == kinds}:
        a, b, p = paired_difference(outcomes[cell, "rga"], outcomes[cell, "stbp"])
        only += (a, b)
        stronger += p < 0.05 and a > b
        weaker += p < 0.05 and a < b
        equal += p >= 0.05
    return (
        f"{kinds[0]} training, {kinds[1]} box: RGA stronger in {stronger}, weaker in {weaker}, not "
        f"to be told apart in {equal} of {stronger + weaker + equal} (McNemar, p < 0.05); samples "
        f"that only RGA flips {only[0]}, only STBP {only[1]}."
    )


def draw(ax: Axes, study: Study, outcomes: dict[tuple[Cell, str], Robustness], kinds: Any) -> None:
    """Success by both rules, one pair of bars per decay and attack."""
    rows = [cell for cell in cells(study) if cell[1:3] == kinds]
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
    outcomes = {
        (cell, rule): outcome(study, cell, rule, file)
        for cell in cells(study)
        for rule in ("stbp", "rga")
    }
    titles = (
        "decay",
        "training",
        "box",
        "attack",
        "accuracy",
        "STBP",
        "RGA",
        "p, RGA to STBP",
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for cell in cells(study):
        by_stbp, by_rga = outcomes[cell, "stbp"], outcomes[cell, "rga"]
        shares = (by_stbp.clean_accuracy, by_stbp.attack_success, by_rga.attack_success)
        entries = (f"{cell[0]:g}", *cell[1:3], cell[3].upper(), *map(str, shares))
        lines.append(f"| {' | '.join(entries)} | {against(by_rga, by_stbp)} |")
    kinds = list(itertools.product(("plain", "adversarial"), ("white", "black")))
    words = [f"- {verdict(outcomes, kind)}" for kind in kinds]
    settings = f"{study.attack('fgsm')}; {study.attack('pgd')}; {study.data.name}.\n\n"
    text = settings + "\n".join([*lines, "", *words]) + "\n"
    (study.output / "attacks.md").write_text(text)
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    for ax, kind in zip(figure.subplots(2, 2).flat, kinds, strict=True):
        draw(ax, study, outcomes, kind)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    figure.suptitle(f"{study.data.name}, success among the correctly classified")
    figure.savefig(study.output / "attacks.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
