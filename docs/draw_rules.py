"""Draws docs/_static/rules.png: questions that lead to one of the twelve gradient rules."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"
WIDTH, HEIGHT, GAP = 7.0, 0.78, 0.36
"""Of the picture, of a box, and between two boxes, in inches."""
LEFT, RIGHT = (0.05, 3.25), (3.95, 6.95)
"""Where the boxes of questions and of answers begin and end."""
PADDING = 0.06


@dataclass(frozen=True)
class Question:
    """A question, what makes the answer that leaves the column, and the rules that follow."""

    text: str
    detail: str
    answer: str
    rules: str
    reason: str


QUESTIONS = (
    Question(
        "Do you report a number?",
        "the robustness, in a paper",
        "yes",
        "art-snn evaluate",
        "no single rule: it tries several",
    ),
    Question(
        "Are all equations known?",
        "art-snn inspect lists every neuron",
        "no",
        "stbp  pdsg  assg  native",
        "these four need no equations",
    ),
    Question(
        "Must a gradient be cheap?",
        "in time and in memory",
        "yes",
        "rga  hart  bptr  static",
        "rate rules: averages over time",
    ),
    Question(
        "Do you want a strong rule?",
        "and the cost does not matter",
        "yes",
        "assg-through-reset  hart",
        "strongest single rules on EuroSAT",
    ),
    Question(
        "Do you study other gradients?",
        "to compare, or to repeat a paper",
        "yes",
        "pdsg  static  bptr  cba  relu",
        "cba and relu: as an ordinary network",
    ),
)
LAST = ("stbp", "the usual rule: start here")
AROUND = (
    ("eot(rule)", "the network draws random numbers"),
    ("extended(rule)", "the gradient shall see more time steps"),
    ("mean(rule, rule)", "you want the mean of several rules"),
)
"""Rules around the rule that was found, and when each suits."""


def box(ax: Axes, sides: tuple[float, float], top: float, colour: str, fill: str) -> None:
    """Draw an empty box whose upper edge is at that height."""
    left, right = sides
    shape = FancyBboxPatch(
        (left + PADDING, top - HEIGHT + PADDING),
        right - left - 2 * PADDING,
        HEIGHT - 2 * PADDING,
        boxstyle=f"round,pad={PADDING}",
        facecolor=fill,
        edgecolor=colour,
        linewidth=1.3,
    )
    ax.add_patch(shape)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    shape = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=13, color=GREY, shrinkA=0, shrinkB=0
    )
    ax.add_patch(shape)


def draw_question(ax: Axes, question: Question, top: float) -> None:
    """Draw a question, the arrow to its rules, and the arrow to the next question."""
    middle = top - HEIGHT / 2
    left = LEFT[0] + 0.14
    box(ax, LEFT, top, GREY, "white")
    ax.text(left, middle + 0.14, question.text, va="center", fontsize=11.5, weight="bold")
    ax.text(left, middle - 0.17, question.detail, va="center", fontsize=10.5, color=GREY)

    arrow(ax, (LEFT[1], middle), (RIGHT[0], middle))
    ax.text((LEFT[1] + RIGHT[0]) / 2, middle + 0.07, question.answer, ha="center", fontsize=10.5)
    left = RIGHT[0] + 0.14
    box(ax, RIGHT, top, BLUE, "#eaf3fa")
    ax.text(
        left,
        middle + 0.14,
        question.rules,
        va="center",
        fontsize=11,
        color=BLUE,
        family="monospace",
    )
    ax.text(left, middle - 0.17, question.reason, va="center", fontsize=10.5, color="#333333")

    below = top - HEIGHT
    arrow(ax, (1.0, below), (1.0, below - GAP))
    other = "no" if question.answer == "yes" else "yes"
    ax.text(1.1, below - GAP / 2, other, va="center", fontsize=10.5)


def draw_last(ax: Axes, top: float) -> None:
    """Draw the rule that is left where no question led away."""
    name, reason = LAST
    middle = top - HEIGHT / 2
    left = LEFT[0] + 0.14
    box(ax, LEFT, top, BLUE, "#eaf3fa")
    ax.text(left, middle + 0.14, name, va="center", fontsize=11.5, color=BLUE, family="monospace")
    ax.text(left, middle - 0.17, reason, va="center", fontsize=10.5, color="#333333")


def draw_around(ax: Axes, top: float) -> None:
    """Draw the rules that stand around another rule."""
    ax.text(LEFT[0], top, "Then put it into another rule, if", fontsize=11.5, weight="bold")
    for place, (name, reason) in enumerate(AROUND, start=1):
        y = top - 0.32 * place
        ax.text(LEFT[0] + 0.1, y, reason, fontsize=10.5, color="#333333")
        ax.text(RIGHT[0], y, name, fontsize=11, color=ORANGE, family="monospace")


def main() -> None:
    height = (len(QUESTIONS) + 1) * (HEIGHT + GAP) + 1.25
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=(0, WIDTH), ylim=(0, height))
    ax.axis("off")

    top = height - 0.05
    for question in QUESTIONS:
        draw_question(ax, question, top)
        top -= HEIGHT + GAP
    draw_last(ax, top)
    draw_around(ax, top - HEIGHT - GAP)
    figure.savefig(Path(__file__).parent / "_static" / "rules.png", dpi=150)


if __name__ == "__main__":
    main()
