"""Draws docs/_static/bounds.png: one neuron whose current lies in an interval."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from art_snn.bounds.firing import bound_steps
from art_snn.dynamics import Dynamics

STEPS = 12
NEURON = Dynamics(decay=0.9, threshold=1.0, reset="hard")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
T = torch.arange(1, STEPS + 1)


def currents() -> tuple[Tensor, Tensor]:
    """Lowest and highest currents [T, 1]."""
    generator = torch.Generator().manual_seed(0)
    middle = 0.45 + 0.12 * torch.randn(STEPS, 1, generator=generator)
    return middle - 0.06, middle + 0.06


def draw_currents(ax: Axes, low: Tensor, high: Tensor) -> None:
    ax.fill_between(T, low[:, 0], high[:, 0], color=GREY, alpha=0.2, lw=0)
    ax.plot(T, high[:, 0], ".-", color=ORANGE, label="highest current")
    ax.plot(T, low[:, 0], ".-", color=BLUE, label="lowest current")
    ax.set_ylim(0, None)
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    finish(ax, "The current lies in an interval")


def draw_spikes(ax: Axes, low: Tensor, high: Tensor) -> None:
    """The spikes of two simulations, and at which steps the others may or must fire."""
    sure, maybe = (bound[:, 0] for bound in bound_steps(NEURON, low, high))
    rows = [(NEURON.simulate(end)[:, 0] > 0, c) for end, c in ((high, ORANGE), (low, BLUE))]
    for y, (steps, colour) in enumerate([*rows, (maybe > sure, GREY)]):
        ax.vlines(T[steps], -y - 0.3, -y + 0.3, color=colour, lw=4, alpha=0.4 if y > 1 else 1)
    ax.set(ylim=(-2.6, 0.6), yticks=(0, -1, -2))
    ax.set_yticklabels(["at the highest", "at the lowest", "in between:\nmay fire"], fontsize=8)
    finish(ax, "Spikes move, earlier and later")


def draw_counts(ax: Axes, low: Tensor, high: Tensor) -> None:
    """What the number of spikes so far lies between, by counts and by the sums of steps."""
    sums = [bound[:, 0].cumsum(0) for bound in bound_steps(NEURON, low, high)]
    counts = [NEURON.simulate(end)[:, 0].cumsum(0) for end in (low, high)]
    label = "bounds by single steps"
    ax.fill_between(T, *sums, step="mid", color=GREY, alpha=0.2, lw=0, label=label)
    ax.fill_between(T, *counts, step="mid", color=ORANGE, alpha=0.3, lw=0, label="by counts")
    for count, colour in zip(counts, (BLUE, ORANGE), strict=True):
        ax.step(T, count, where="mid", color=colour, lw=1.5)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    finish(ax, "The number of spikes so far")


def finish(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=10)
    ax.set_xlabel("time step", fontsize=9)
    ax.set_xlim(0.5, STEPS + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def main() -> None:
    low, high = currents()
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    draws = (draw_currents, draw_spikes, draw_counts)
    for ax, draw in zip(figure.subplots(1, 3), draws, strict=True):
        draw(ax, low, high)
    figure.savefig(Path(__file__).parent / "_static" / "bounds.png", dpi=150)


if __name__ == "__main__":
    main()
