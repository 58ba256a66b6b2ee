"""Rate-current curves of a layer: recorded pairs, static curves, and RGA's polyline.

    python examples/study/curves.py --data data/eurosat32_10k.npz --output results/study/eurosat

Equations S1 to S8 in the supplement of Bu et al. (CVPR 2023), and its figure 2. The layer is the
second layer of neurons of the study's plain network of every decay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rates import rga_rate, static_rate
from setting import Study, parse

from art_snn import RGA, SpikingNetwork
from art_snn.app.results import write_result
from art_snn.app.tables import COLOURS, Part, Table, render as render_parts
from art_snn.files import write_arrays, write_text
from art_snn.layers import device_of
from art_snn.running.context import hook_here, keep_modes
from art_snn.seeding import fix_seed

LAYER, PAIRS, BATCH, BINS = 1, 8000, 64, 24
Curve = Callable[[np.ndarray], np.ndarray]
STYLES = {
    "static": {"color": "black", "lw": 1.4},
    "static, smooth": {"color": "black", "lw": 0.7, "ls": "--"},
    "RGA": {"color": COLOURS["rga"], "lw": 1.8},
}


@dataclass(frozen=True)
class Pairs:
    """Mean current and mean rate over time [P] at random pairs of a sample and a neuron."""

    title: str
    decay: float
    current: np.ndarray
    rate: np.ndarray

    @property
    def curves(self) -> dict[str, Curve]:
        """The curves that the pairs are compared with, by name."""
        return {
            "static": lambda x: static_rate(x, self.decay),
            "static, smooth": lambda x: static_rate(x, self.decay, whole_steps=False),
            "RGA": lambda x: rga_rate(x, RGA(), self.decay),
        }


@torch.no_grad()
def record(network: SpikingNetwork, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean current and mean rate [P] of the layer on samples x, at places drawn from seed 0."""
    layer = network.body.neuron_layers()[LAYER]
    draw, places, currents, rates = np.random.default_rng(0), None, [], []
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(_: object, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        calls.append((inputs[0], output))

    with hook_here(layer.module, keep), fix_seed(0), keep_modes(network):
        network.eval()
        for start in range(0, len(x), BATCH):
            calls.clear()
            network(torch.as_tensor(x[start : start + BATCH], device=device_of(network)))
            current, spikes = calls[0]
            neurons = spikes[0, 0].numel()
            if places is None:
                total = len(x) * neurons
                places = np.sort(draw.choice(total, min(PAIRS, total), replace=False))
            here = places[(places >= start * neurons) & (places < (start + BATCH) * neurons)]
            index = torch.as_tensor(here - start * neurons, device=spikes.device)
            for found, values in ((currents, current), (rates, spikes)):
                picked = values.flatten(1).index_select(1, index)
                found.append(picked.cpu().double().mean(0).numpy())
    return np.concatenate(currents), np.concatenate(rates)


def measure(study: Study, decay: float) -> Pairs:
    """The pairs of the plain network of a decay, on the test samples."""
    subject, classifier = study.trained(decay, "plain"), study.network(decay, "plain")
    current, rate = record(classifier.model, study.data.x_test)
    return Pairs(subject.describe(study.data, classifier.model), decay, current, rate)


def panel(pairs: Pairs) -> dict[str, Any]:
    """The pairs against every curve, for JSON; d is recorded minus curve."""
    deviations = {}
    for name, curve in pairs.curves.items():
        d = pairs.rate - curve(pairs.current)
        rms, mean = float(np.sqrt((d**2).mean())), float(np.abs(d).mean())
        deviations[name] = {"rms": rms, "mean_absolute": mean, "bias": float(d.mean())}
    silent = {"count": int((pairs.rate == 0).sum()), "total": len(pairs.rate)}
    return {"title": pairs.title, "silent": silent, "deviations": deviations}


def render(title: str, content: Mapping[str, Any]) -> str:
    """A table per network below the title, one row per curve."""
    parts: list[Part] = [title]
    for one in content["panels"]:
        silent = f"{one['silent']['count']} of {one['silent']['total']} pairs without a spike"
        values = ((name, *found.values()) for name, found in one["deviations"].items())
        rows = [
            (name, f"{rms:.4f}", f"{mean:.4f}", f"{bias:+.4f}") for name, rms, mean, bias in values
        ]
        parts += [(one["title"], silent), Table(("curve", "rms", "mean |d|", "mean d"), rows)]
    return render_parts(parts, "markdown")


def draw(ax: Axes, pairs: Pairs) -> None:
    """Recorded pairs as points with their mean in bins of the current, and curves through them."""
    low, high, blue = -1.0, RGA().beta + 0.5, COLOURS["stbp"]
    inside = (pairs.current >= low) & (pairs.current <= high)
    x, y = pairs.current[inside], pairs.rate[inside]
    label = f"{len(x)} of {len(inside)} recorded pairs"
    ax.scatter(x, y, s=5, color=blue, alpha=0.12, lw=0, rasterized=True, label=label)
    index = np.digitize(x, np.linspace(low, high, BINS + 1)[1:-1])
    counts = np.bincount(index, minlength=BINS)
    enough = counts >= 10
    means = [np.bincount(index, v, minlength=BINS)[enough] / counts[enough] for v in (x, y)]
    ax.plot(*means, "D", mfc="white", mec=blue, ms=4, label="their mean in bins", zorder=3)
    grid = np.linspace(low, high, 2001)
    for name, curve in pairs.curves.items():
        ax.plot(grid, curve(grid), label=name, **STYLES[name])
    ax.set(title=f"decay {pairs.decay:g}", xlabel="mean current", ylabel="mean rate [1/step]")
    ax.set(xlim=(low, high), ylim=(-0.04, 1.04))
    ax.grid(alpha=0.3)


def main() -> None:
    study = parse("Rate-current curves of the study's networks.")
    recorded = [measure(study, decay) for decay in study.decays]
    figure = Figure(figsize=(5.2 * len(recorded), 4.2), layout="constrained")
    axes = figure.subplots(1, len(recorded), squeeze=False, sharey=True)[0]
    for ax, pairs in zip(axes, recorded, strict=True):
        draw(ax, pairs)
    axes[0].legend(fontsize="small", frameon=False, loc="upper left")
    figure.savefig(study.output / "curves.png", dpi=150)
    arrays = {
        f"decay-{p.decay:g}/{n}": getattr(p, n) for p in recorded for n in ("current", "rate")
    }
    write_arrays(study.output / "pairs.npz", **arrays)
    content = {"panels": [panel(pairs) for pairs in recorded]}
    title = f"Curves: static, and the polyline of {RGA()}. d is recorded minus curve."
    text = render(title, content)
    write_text(study.output / "curves.md", text)
    write_result(study.output / "curves.json", content)
    print(text)


if __name__ == "__main__":
    main()
