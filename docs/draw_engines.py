"""Draws docs/_static/engines.png: what each engine computes and keeps."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

STEPS = 4
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def box(ax: Axes, x: float, y: float, text: str, colour: str, width: float = 0.9) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.2),
            width,
            0.4,
            boxstyle="round,pad=0.02",
            facecolor="white",
            edgecolor=colour,
            lw=1.4,
        )
    )
    ax.text(x, y, text, ha="center", va="center", fontsize=8)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=colour, lw=1.2)
    )


def row(ax: Axes, y: float, names: list[str], colour: str, backward: str | None) -> None:
    for i, name in enumerate(names):
        box(ax, 1.35 * i, y, name, colour)
        if i + 1 < len(names):
            arrow(ax, (1.35 * i + 0.47, y + 0.07), (1.35 * (i + 1) - 0.47, y + 0.07), colour)
            if backward is not None:
                arrow(ax, (1.35 * (i + 1) - 0.47, y - 0.09), (1.35 * i + 0.47, y - 0.09), backward)


def finish(ax: Axes, title: str, bottom: float) -> None:
    ax.set(xlim=(-1.3, 6.1), ylim=(bottom, 3.3))
    ax.set_title(title, loc="left", fontsize=10)
    ax.axis("off")


def temporal(ax: Axes) -> None:
    for t in range(STEPS):
        y = 2.7 - 0.75 * t
        row(ax, y, ["x[t]", "affine", "u, s", "affine", "logits[t]"], BLUE, ORANGE)
        ax.text(-0.65, y, f"t = {t}", ha="right", va="center", fontsize=8, color=GREY)
        if t + 1 < STEPS:
            arrow(ax, (2.6, y - 0.22), (2.6, y - 0.53), BLUE)
            arrow(ax, (2.8, y - 0.53), (2.8, y - 0.22), ORANGE)
    ax.text(
        -1.2,
        -0.15,
        "Forward and backward through all T steps.\nKept: the potential u of every step.",
        fontsize=8,
        va="top",
    )
    finish(ax, "Temporal engine (STBP)", -0.8)


def rate(ax: Axes) -> None:
    for t in range(STEPS):
        y = 2.7 - 0.5 * t
        row(ax, y, ["x[t]", "affine", "s", "affine", "logits[t]"], BLUE, None)
        ax.text(-0.65, y, f"t = {t}", ha="right", va="center", fontsize=8, color=GREY)
    ax.text(-1.2, 0.72, "record", fontsize=8, style="italic", color=BLUE)
    row(ax, 0.15, ["mean x", "affine", "rate", "affine", "logits"], GREY, ORANGE)
    arrow(ax, (2.7, 0.98), (2.7, 0.37), GREY)
    ax.text(2.8, 0.66, "rate and slope", fontsize=8, va="center", color=GREY)
    ax.text(-1.2, 0.13, "replay", fontsize=8, style="italic", color=ORANGE)
    ax.text(
        -1.2,
        -0.15,
        "\nT steps forward without a graph, one step forward (the first time) and backward.\n"
        "Kept: a slope per neuron. Checked the first time: the replayed current is the mean.",
        fontsize=8,
        va="top",
    )
    finish(ax, "Rate engine (RGA)", -0.8)


def main() -> None:
    figure = Figure(figsize=(11.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    temporal(left)
    rate(right)
    figure.savefig(Path(__file__).parent / "_static" / "engines.png", dpi=130)


if __name__ == "__main__":
    main()
