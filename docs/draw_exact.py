"""Draws docs/_static/exact.png: certified, exact and attacked accuracy against the budget."""

from pathlib import Path

from matplotlib.figure import Figure

from art_snn.app.results import read_result
from art_snn.files import read_json

DOCS = Path(__file__).parent
RECORD = DOCS.parent / "examples" / "zoo" / "evaluations" / "digits-ibp" / "evaluation.json"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def main() -> None:
    rows = read_result(DOCS / "results" / "exact-digits" / "exact.json")["rows"]
    eps = [row["eps"] for row in rows]

    def shares(name: str) -> list[float]:
        return [100 * row[name] / row["samples"] for row in rows]

    high = [a + b for a, b in zip(shares("safe"), shares("open"), strict=True)]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    ax = figure.subplots()
    attacked = read_json(RECORD)["summary"]
    points = [[one["eps"] for one in attacked], [100 * one["robust"] for one in attacked]]
    ax.plot(*points, "v--", color=ORANGE, label="under all attacks")
    ax.fill_between(eps, shares("safe"), high, color=GREY, alpha=0.4, label="open")
    ax.plot(eps, shares("safe"), "o-", color="black", ms=4, label="safe")
    ax.plot(eps, shares("trains"), "^--", color=BLUE, label="certified by trains")
    ax.plot(eps, shares("counts"), "^:", color=BLUE, alpha=0.6, label="certified by counts")
    ax.set(xlabel="budget eps, maximum norm", ylabel="of the test samples [%]", ylim=(50, 100))
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(DOCS / "_static" / "exact.png", dpi=150)


if __name__ == "__main__":
    main()
