"""Synaptic operations of networks of the zoo: of samples, under an attack, and at most.

python examples/study/energy.py --samples 32 --iterations 20 --output results/energy
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from setting import ratio

from art_snn import zoo
from art_snn.app import tables
from art_snn.app.evaluation.verdict import format_eps
from art_snn.app.results import write_result
from art_snn.app.tables import SERIES
from art_snn.attacks import OperationsAttack
from art_snn.bounds import bound_operations
from art_snn.checks import ArgumentError
from art_snn.files import write_text
from art_snn.metrics import synaptic_operations
from art_snn.metrics.energy import count_synapses

TITLES = ("network", "budget", "dense network", "clean", "random", "attacked", "bound")
TITLES += ("bound / attacked", "largest attacked / clean")
EPS = {"digits": 0.05, "eurosat": 2 / 255, "nmnist": 0.05}


def measure(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Operations of every sample, in a row."""
    about = zoo.entry(name)
    x, _ = zoo.samples(about.data)
    x, eps = x[: options.samples], options.eps or EPS[about.data]
    classifier = zoo.classifier(name, "cpu")
    classifier.gradient = options.rule
    signs = np.random.default_rng(options.seed).choice([-1, 1], x.shape)
    low, high = classifier.clip_values
    noise = np.clip(x + eps * signs, low, high).astype(x.dtype)
    attack = OperationsAttack(classifier, eps=eps, max_iter=options.iterations, verbose=False)
    found = attack.generate(x)
    layers = count_synapses(classifier.model, about.input_shape)
    row = {"network": name, "eps": eps, "dense": sum(float(part.sum()) for _, part in layers)}
    for place, points in {"clean": x, "random": noise, "attacked": found}.items():
        row[place] = synaptic_operations(classifier, points).tolist()
    row["bound"] = bound_operations(classifier, x, eps).tolist()
    same = classifier.predict(x).argmax(1) == classifier.predict(found).argmax(1)
    assert same.all()
    assert (np.diff([row[place] for place in ("clean", "attacked", "bound")], axis=0) >= 0).all()
    return row


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per network: means of all samples, those after the clean ones as shares of these."""
    rows = []
    for row in content["rows"]:
        clean, random, attacked, bound = (
            np.array(row[place]) for place in ("clean", "random", "attacked", "bound")
        )
        shares = (f"{part.mean() / clean.mean():.3f}" for part in (random, attacked, bound))
        worst = f"{(attacked / clean).max():.3f}"
        front = (
            row["network"],
            format_eps("inf", row["eps"]),
            f"{row['dense']:,.0f}",
            f"{clean.mean():,.0f}",
        )
        rows.append((*front, *shares, f"{bound.mean() / attacked.mean():.3f}", worst))
    return tables.render([title, tables.Table(TITLES, rows)], "markdown")


def draw(content: Mapping[str, Any]) -> Figure:
    """Bars per network, as shares of the clean samples' operations."""
    figure = Figure(figsize=(6.5, 3), layout="constrained")
    ax, places = figure.subplots(), np.arange(len(content["rows"]))
    for n, place in enumerate(("random", "attacked", "bound")):
        shares = [np.mean(row[place]) / np.mean(row["clean"]) for row in content["rows"]]
        ax.bar(places + 0.27 * (n - 1), shares, 0.27, label=place, color=SERIES[n])
    names = [row["network"].replace("-vgg5", "") for row in content["rows"]]
    ax.set_xticks(places, names, rotation=30, ha="right")
    ax.axhline(1, color="black", lw=0.8)
    ax.set(ylabel="share of clean operations")
    ax.legend(ncols=3, frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Synaptic operations of networks of the zoo.")
    add = parser.add_argument
    add("--network", nargs="+", default=zoo.names(), choices=zoo.names())
    add("--eps", type=ratio, help="for all; left out, a usual budget of the data")
    add("--rule", default="stbp")
    add("--samples", type=int, default=32)
    add("--iterations", type=int, default=20)
    add("--seed", type=int, default=0, help="of the random changes")
    add("--output", type=Path, default=Path("results/energy"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        vars(options).update(network=["digits-ibp"], samples=4, iterations=2)
        options.output /= "small"
    torch.set_num_threads(1)
    rows = []
    for name in options.network:
        try:
            rows.append(measure(options, name))
        except (FileNotFoundError, ArgumentError) as error:  # No data, or a draw in the encoder.
            print(f"{name} is left out. {error}", file=sys.stderr)
    title = f"Every network gets {options.samples} samples. The attack takes {options.iterations} "
    title += f"steps with gradients by {options.rule}."
    content = {"rows": rows}
    text = render(title, content)
    write_result(options.output / "energy.json", content)
    write_text(options.output / "energy.md", text)
    draw(content).savefig(options.output / "energy.png", dpi=150)
    print(text)


if __name__ == "__main__":
    main()
