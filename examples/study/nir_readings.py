"""One NIR file as five networks: accuracy of each under attack, and attacks on one against others.

python examples/study/nir_readings.py --file cnn_sinabs.nir --data nmnist_small_T10.npz \
    --output results/nir

The data are counts of events; attacks get 1 where there is an event. Results are written after
every attack, and the same command goes on after the last one."""

import argparse
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from art_snn import Frames
from art_snn.app import tables
from art_snn.app.results import write_result
from art_snn.attacks import SpikingAutoAttack
from art_snn.classifier import wrap
from art_snn.files import read_json, write_text
from art_snn.interop import from_nir

READINGS: Mapping[str, dict[str, Any]] = {
    "sinabs": {"like": "sinabs"},
    "no floor": {"like": "sinabs", "floor": -math.inf},
    "Norse": {"like": "norse"},
    "SpikingJelly": {"like": "spikingjelly", "dt": 1.0},
    "snnTorch": {"like": "snntorch", "reset": "soft"},
}
BUDGETS = {
    "1 flip": (0, 1),
    "4 flips": (0, 4),
    "16 flips": (0, 16),
    "moved by 1": ("shift", 1),
    "moved by 2": ("shift", 2),
}
SHOWN = ("16 flips", "moved by 1")
"""Budgets of the picture."""


def attack(
    networks: Mapping[str, Any], name: str, plan: dict[str, Any], x: np.ndarray, y: np.ndarray
) -> dict[str, Any]:
    """Samples that attacks leave right, and how many adversarials fool a network, of how many.

    Those count that the network has right."""
    run = SpikingAutoAttack(networks[name], **plan, verbose=False)
    adversarial = run.generate(x, y)
    outcome = run.outcome
    assert outcome is not None
    row: dict[str, Any] = {"left": int((outcome.stage == outcome.STANDING).sum())}
    for other, network in networks.items():
        right = (outcome.stage >= 0) & (network.predict(x).argmax(1) == y)
        fooled = right & (network.predict(adversarial).argmax(1) != y)
        row[other] = [int(fooled.sum()), int(right.sum())]
    return row


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per reading: samples that are right, with the plans under attacks one after another."""
    rows = []
    for name, right in content["right"].items():
        left = (
            "/".join(str(content[plan][f"{name}, {budget}"]["left"]) for plan in content["plans"])
            for budget in BUDGETS
        )
        rows.append((name, *(str(right[kind]) for kind in ("counts", "binary")), *left))
    table = tables.Table(("read as", "counts", "binary", *BUDGETS), rows)
    return tables.render([title, table], "markdown")


def draw(content: Mapping[str, Any]) -> Figure:
    """For two budgets the shares of adversarials of every reading that fool every other one."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    names, plan = [*content["right"]], content["plans"][-1]
    for ax, budget in zip(figure.subplots(1, 2, sharey=True), SHOWN, strict=True):
        cells = [[content[plan][f"{a}, {budget}"][b] for b in names] for a in names]
        shares = [[fooled / max(of, 1) for fooled, of in row] for row in cells]
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, row in enumerate(cells):
            for j, (fooled, of) in enumerate(row):
                colour = "white" if shares[i][j] > 0.5 else "black"
                words = f"{fooled}/{of}"
                ax.text(j, i, words, ha="center", va="center", color=colour, fontsize="small")
        ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
        ax.set_yticks(range(len(names)), names)
        ax.set(title=f"{budget}, plan {plan}", xlabel="fool the network read as")
    figure.axes[0].set_ylabel("adversarials of")
    return figure


def make_small(options: argparse.Namespace) -> None:
    """A network that is drawn, and noise whose classes have the largest currents."""
    # Whoever draws the results anew needs no package nir.
    import nir

    output = options.output / "small"
    output.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 3, (4, 3, 2, 4, 4), np.uint8)
    weight = generator.uniform(-0.2, 0.2, (10, 32))
    currents = (frames > 0).sum(1).reshape(4, 32) @ weight.T
    np.savez(output / "noise.npz", f=frames, y=currents.argmax(1))
    nodes = {
        "input": nir.Input(np.array([2, 4, 4])),
        "flatten": nir.Flatten({"input": np.array([2, 4, 4])}, 0),
        "linear": nir.Linear(weight),
        "if": nir.IF(r=np.ones(10), v_threshold=np.ones(10)),
        "output": nir.Output(np.array([10])),
    }
    nir.write(output / "net.nir", nir.NIRGraph(nodes, [*pairwise(nodes)]))
    small = {"file": output / "net.nir", "data": output / "noise.npz", "first": 0}
    vars(options).update(small, samples=4, output=output)


def main() -> None:
    parser = argparse.ArgumentParser(description="One NIR file as five networks under attack.")
    add = parser.add_argument
    add("--file", type=Path, default=Path("cnn_sinabs.nir"))
    add("--data", type=Path, default=Path("nmnist_small_T10.npz"), help="f [N, T, ...], y [N]")
    add("--first", type=int, default=1000, help="the first sample")
    add("--samples", type=int, default=100)
    add("--plans", nargs="+", default=["fast", "standard"])
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path("results/nir"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        make_small(options)
    torch.set_num_threads(1)
    samples, rows = np.load(options.data), slice(options.first, options.first + options.samples)
    counts, y = samples["f"][rows].astype(np.float32), samples["y"][rows].astype(int)
    x, networks = (counts > 0).astype(np.float32), {}
    for name, how in READINGS.items():
        network = from_nir(options.file, encoder=Frames(x.shape[1]), **how)
        networks[name] = wrap(network, x.shape[1:], 10, (0.0, 1.0), "cpu")
    right = {
        name: {
            kind: int((network.predict(frames).argmax(1) == y).sum())
            for kind, frames in (("counts", counts), ("binary", x))
        }
        for name, network in networks.items()
    }
    content: dict[str, Any] = {"plans": options.plans, "samples": len(x), "right": right}
    content |= {plan: {} for plan in options.plans}
    record = options.output / "nir.json"
    before = read_json(record) if record.is_file() else {}
    before = before if before.get("samples") == len(x) else {}
    for plan in options.plans:
        content[plan] = dict(before.get(plan, {}))
        for name in READINGS:
            for budget, (norm, eps) in BUDGETS.items():
                if (key := f"{name}, {budget}") not in content[plan]:
                    how = {"norm": norm, "eps": eps, "plan": plan, "seed": options.seed}
                    content[plan][key] = attack(networks, name, how, x, y)
                    print(plan, key, content[plan][key], flush=True)
                    write_result(record, content)
    plans = "/".join(options.plans)
    title = f"{options.file.name}: of {len(x)} recordings so many are right; plans {plans}."
    text = render(title, content)
    write_text(options.output / "nir.md", text)
    draw(content).savefig(options.output / "nir.png", dpi=150)
    print(text)


if __name__ == "__main__":
    main()
