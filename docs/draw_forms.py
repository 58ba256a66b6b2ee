"""Draws docs/_static/forms.png: which call of adapt suits the form of a model."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

BLUE, ORANGE, GREY, DARK = "#0072b2", "#d55e00", "#666666", "#333333"
WIDTH = 7.0
"""Of the picture, in inches."""
COLUMNS = ((0.05, 3.42), (3.58, 6.95))
"""Where the boxes of both answers begin and end."""
CARDS, GAP = (0.97, 0.97, 1.2), 0.16
"""The heights of the boxes with a call, and the room below each."""
PADDING = 0.06
LINE = 0.235


@dataclass(frozen=True)
class Form:
    """What the model takes and returns, its usual framework, and the call."""

    shapes: str
    usual: str
    call: tuple[str, ...]


LOOPED = (
    Form(
        "[N, ...]  →  [N, K]",
        "most networks of snnTorch and Norse",
        ("adapt(model, encoder=None)",),
    ),
    Form(
        "[T, N, ...]  →  [T, N, K]",
        "a loop over a fixed T, such as T = 8",
        ("adapt(model, steps=8)",),
    ),
    Form(
        "[N, T, ...]  →  [N, T, K]",
        "event frames, and the loop is over their T",
        ("adapt(model, encoder=None,", "  readout=lambda out: out.mean(1))"),
    ),
)
LOOPLESS = (
    Form(
        "[N, ...]  →  [N, K], one time step",
        "your script loops; snnTorch, init_hidden",
        ("adapt(model, steps=25)",),
    ),
    Form(
        "[T, N, ...]  →  [T, N, K], all steps",
        "SpikingJelly in step mode 'm'",
        ("adapt(model, steps=8)",),
    ),
    Form(
        "[N, ...], neurons take [T * N, ...]",
        'neurons of layout "merged"',
        ("adapt(model, steps=8,", "  encoder=None)"),
    ),
)


def box(
    ax: Axes, sides: tuple[float, float], top: float, height: float, colour: str, fill: str
) -> None:
    """Draw an empty box whose upper edge is at that height."""
    left, right = sides
    shape = FancyBboxPatch(
        (left + PADDING, top - height + PADDING),
        right - left - 2 * PADDING,
        height - 2 * PADDING,
        boxstyle=f"round,pad={PADDING}",
        facecolor=fill,
        edgecolor=colour,
        linewidth=1.3,
    )
    ax.add_patch(shape)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], word: str) -> None:
    """Draw an arrow with a word at its right side."""
    shape = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=13, color=GREY, shrinkA=0, shrinkB=0
    )
    ax.add_patch(shape)
    middle = (start[1] + end[1]) / 2
    ax.text(start[0] + 0.1, middle, word, va="center", fontsize=11.5, weight="bold")


def draw_form(ax: Axes, sides: tuple[float, float], top: float, height: float, form: Form) -> None:
    """Draw the box of a form: its shapes, its framework, its call."""
    left = sides[0] + 0.14
    box(ax, sides, top, height, BLUE, "#eaf3fa")
    y = top - 0.2
    ax.text(left, y, form.shapes, va="center", fontsize=11, color="black")
    y -= LINE
    ax.text(left, y, form.usual, va="center", fontsize=10, color=GREY)
    y -= LINE + 0.07
    for line in form.call:
        ax.text(left, y, line, va="center", fontsize=10, color=ORANGE, family="monospace")
        y -= LINE


def draw_column(ax: Axes, sides: tuple[float, float], top: float, forms: tuple[Form, ...]) -> None:
    """Draw the forms that are left after an answer, one below the other."""
    title = "What goes in, and what comes out?"
    ax.text(sides[0] + 0.05, top - 0.12, title, va="center", fontsize=11, weight="bold")
    top -= 0.33
    for form, height in zip(forms, CARDS, strict=True):
        draw_form(ax, sides, top, height, form)
        top -= height + GAP


def draw_rest(ax: Axes, top: float) -> None:
    """Draw what is added to the call for models that return or take something else."""
    rows = (
        ("(spikes, potential) comes out", 'readout="spikes", or "potential"'),
        ("the logits are a sum over time", 'readout="sum"'),
        ("[N, K] comes out of [T, N, ...]", "readout=None"),
        ("anything else comes out", "readout=function"),
        ("Poisson spikes go in", "encoder=Poisson(8), without steps"),
        ("event frames [N, T, ...] go in", "encoder=Frames(), without steps"),
    )
    ax.text(0.05, top, "Add to the call, if", fontsize=11.5, weight="bold")
    for place, (condition, argument) in enumerate(rows, start=1):
        y = top - 0.28 * place
        ax.text(0.15, y, condition, fontsize=10.5, color=DARK)
        ax.text(COLUMNS[1][0], y, argument, fontsize=10, color=ORANGE, family="monospace")


def main() -> None:
    cards = 0.33 + sum(CARDS) + 3 * GAP
    height = 1.35 + cards + 2.05
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0, WIDTH), ylim=(0, height))
    ax.axis("off")

    top = height - 0.05
    box(ax, (0.9, 6.1), top, 0.82, GREY, "white")
    question = "Does your forward loop over time?"
    ax.text(3.5, top - 0.27, question, ha="center", va="center", fontsize=13, weight="bold")
    detail = "It has a line such as  for t in range(T)  or  x.repeat(T, ...)"
    ax.text(3.5, top - 0.57, detail, ha="center", va="center", fontsize=10.5, color=GREY)
    arrow(ax, (1.7, top - 0.82), (1.7, top - 1.22), "yes")
    arrow(ax, (5.3, top - 0.82), (5.3, top - 1.22), "no")

    top -= 1.3
    draw_column(ax, COLUMNS[0], top, LOOPED)
    draw_column(ax, COLUMNS[1], top, LOOPLESS)
    draw_rest(ax, top - cards - 0.15)
    figure.savefig(Path(__file__).parent / "_static" / "forms.png", dpi=150)


if __name__ == "__main__":
    main()
