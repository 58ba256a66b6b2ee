"""Draws docs/_static/forms.png: who runs the loop over time, and how adapt is told."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"
STYLE = {"arrowstyle": "-|>", "mutation_scale": 10, "color": GREY}
FORMS = (
    (
        "All time steps in one call",
        "SpikingJelly in step mode 'm'",
        ("[T, N, ...]", "model", "[T, N, K]"),
        "adapt(model, steps=8)",
        1,
    ),
    (
        "One time step per call",
        "snnTorch with init_hidden, SpikingJelly in 's'",
        ("[N, ...]", "model", "[N, K]"),
        "adapt(model, steps=8)",
        3,
    ),
    (
        "A time loop in forward()",
        "most networks of snnTorch and Norse",
        ("[N, ...]", "for t in ...", "[N, K]"),
        "adapt(model, encoder=None)",
        1,
    ),
)


def box(ax: Axes, x: float, y: float, text: str, colour: str, width: float) -> None:
    shape = FancyBboxPatch(
        (x - width / 2, y - 0.17), width, 0.34, boxstyle="round,pad=0.03", fc="white", ec=colour
    )
    ax.add_patch(shape)
    ax.text(x, y, text, ha="center", va="center", fontsize=10)


def arrow(ax: Axes, start: float, end: float, y: float, text: str) -> None:
    ax.add_patch(FancyArrowPatch((start, y), (end, y), **STYLE))
    ax.text((start + end) / 2, y + 0.07, text, ha="center", va="bottom", fontsize=9, color=GREY)


def draw_form(
    ax: Axes, title: str, usual: str, shapes: tuple[str, ...], call: str, calls: int
) -> None:
    given, model, answer = shapes
    for row in range(calls):
        y = 0.85 - 0.5 * row if calls > 1 else 0.35
        arrow(ax, 0.0, 0.75, y, given)
        box(ax, 1.35, y, model, BLUE, 1.1)
        arrow(ax, 1.95, 2.7, y, answer)
        if calls > 1:
            ax.text(-0.1, y, f"t = {row}", ha="right", va="center", fontsize=9, color=ORANGE)
            ax.add_patch(FancyArrowPatch((1.35, y - 0.19), (1.35, y - 0.33), **STYLE))
    if calls > 1:
        ax.text(1.5, -0.44, "state", va="center", fontsize=9, color=GREY)
    ax.text(1.35, -0.85, call, ha="center", fontsize=10, family="monospace", color=ORANGE)
    ax.set(xlim=(-0.6, 2.9), ylim=(-1.0, 1.6))
    ax.set_title(title, loc="left", fontsize=11)
    ax.text(-0.6, 1.45, usual, fontsize=9, color=GREY)
    ax.axis("off")


def main() -> None:
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    for ax, row in zip(figure.subplots(1, len(FORMS)), FORMS, strict=True):
        draw_form(ax, *row)
    figure.savefig(Path(__file__).parent / "_static" / "forms.png", dpi=150)


if __name__ == "__main__":
    main()
