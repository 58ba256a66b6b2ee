"""Accuracy of networks that are trained in bfloat16 against those trained in single precision.

    python examples/study/train_precision.py --data data/eurosat32_10k.npz --decays 0.5 --epochs 4 \
        --output results/study/precision

Trained by Adam on the samples as they are, from the same weights and
on the same order of samples in both precisions, for three seeds. A run that was interrupted goes on
after its last whole epoch.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import ttest_rel
from setting import Study, parse

from art_snn.app import tables
from art_snn.app.machine import describe_machine
from art_snn.app.results import write_result
from art_snn.app.tables import SERIES
from art_snn.attacks import predict_logits
from art_snn.files import write_text
from art_snn.metrics import Share

SEEDS = (0, 1, 2)
PRECISIONS = {"single": None, "bfloat16": "bfloat16"}
BATCH = 50


def accuracy(study: Study, decay: float, seed: int, precision: str) -> Share:
    """Test samples that the network classifies correctly, in single precision."""
    folder = study.output / f"trained-{decay:g}-{precision}-{seed}"
    classifier = study.train_short(folder, decay, seed=seed, train_dtype=PRECISIONS[precision])
    classes = predict_logits(classifier, study.data.x_test, BATCH, 0).argmax(1)
    return Share(int((classes == study.data.y_test).sum()), len(classes))


def percent(found: Mapping[str, Any]) -> float:
    """The share in percent."""
    return 100 * float(found["value"])


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per network and seed, and the mean over the seeds."""
    rows, notes = [], []
    for decay, seeds in content["accuracies"].items():
        points = []
        for seed, found in seeds.items():
            shares = [Share(found[name]["count"], found[name]["total"]) for name in PRECISIONS]
            points.append(percent(found["bfloat16"]) - percent(found["single"]))
            rows.append((decay, seed, *map(str, shares), f"{points[-1]:+.1f}"))
        single, half = ([percent(found[name]) for found in seeds.values()] for name in PRECISIONS)
        p = ttest_rel(half, single).pvalue if np.ptp(points) else float("nan")
        notes.append(
            f"decay {decay}, mean of {len(points)} seeds: {np.mean(single):.1f} % in single and "
            f"{np.mean(half):.1f} % in bfloat16, {np.mean(points):+.1f} points (paired t-test, "
            f"p = {p:.2g}); the seeds lie {np.ptp(single):.1f} points apart in single and "
            f"{np.ptp(half):.1f} in bfloat16."
        )
    titles = ("decay", "seed", "accuracy, single", "accuracy, bfloat16", "difference, points")
    return tables.render([title, tables.Table(titles, rows), tables.Notes(notes)], "markdown")


def draw(ax: Axes, content: Mapping[str, Any]) -> None:
    """Accuracy of every network and seed in both precisions, with intervals."""
    found = [seed for seeds in content["accuracies"].values() for seed in seeds.values()]
    for shift, name, colour in zip((-0.1, 0.1), PRECISIONS, SERIES, strict=False):
        shares = [Share(seed[name]["count"], seed[name]["total"]) for seed in found]
        values = np.array([100 * share.value for share in shares])
        reach = np.abs(100 * np.array([share.interval for share in shares]).T - values)
        places = np.arange(len(found)) + shift
        ax.errorbar(places, values, reach, fmt="o", color=colour, label=name, capsize=3)
    names = [f"{d}, {seed}" for d, seeds in content["accuracies"].items() for seed in seeds]
    ax.set(xticks=np.arange(len(found)), xticklabels=names, xlabel="decay, seed")
    ax.set_ylabel("test accuracy [%]")
    ax.grid(alpha=0.3, axis="y")
    ax.legend(frameon=False)


def main() -> None:
    study = parse("Accuracy of networks trained in bfloat16 and in single precision.")
    found: dict[str, Any] = {f"{decay:g}": {} for decay in study.decays}
    for decay, seed in product(study.decays, SEEDS):
        shares = {name: accuracy(study, decay, seed, name).as_dict() for name in PRECISIONS}
        found[f"{decay:g}"][str(seed)] = shares
    content = {"machine": describe_machine(study.device), "accuracies": found}
    write_result(study.output / "train_precision.json", content)
    network = study.architecture(1.0).fit_to(study.data)
    title = (
        f"{network.model}, width {study.width:g}, T = {study.steps}, {study.epochs} epochs of "
        f"Adam on {study.data.name}. {content['machine']}."
    )
    text = render(title, content)
    write_text(study.output / "train_precision.md", text)
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    draw(figure.subplots(), content)
    figure.suptitle(f"{study.data.name}, by the precision of the training", fontsize="medium")
    figure.savefig(study.output / "train_precision.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
