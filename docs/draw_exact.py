"""Draws results/exact-digits/exact.png: certified, exact and attacked accuracy by budget."""

from pathlib import Path

from matplotlib.figure import Figure

from art_snn.app.evaluation.record import RESULT, read_evaluation
from art_snn.app.results import read_result
from art_snn.attacks import Outcome

DOCS = Path(__file__).parent
RECORDS = DOCS.parent / "examples" / "zoo" / "evaluations"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
FOLDER, NETWORK = DOCS / "results" / "exact-digits", "digits-ibp"


def main() -> None:
    rows = read_result(FOLDER / "exact.json")["rows"]
    eps, attacked = [row["eps"] for row in rows], dict[float, float]()
    for trial in read_evaluation(RECORDS / NETWORK / RESULT).evaluation.trials:
        if trial.name == "standard":
            left = trial.outcome.stage == Outcome.STANDING
            left |= trial.decided
            attacked[trial.eps] = 100 * left.mean()

    def shares(name: str) -> list[float]:
        return [100 * row[name] / row["samples"] for row in rows]

    high = [a + b for a, b in zip(shares("safe"), shares("open"), strict=True)]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    ax = figure.subplots()
    ax.plot(*zip(*attacked.items(), strict=True), "v", color=ORANGE, label="under attack")
    ax.fill_between(eps, shares("safe"), high, color=GREY, alpha=0.4, label="open")
    ax.plot(eps, shares("safe"), "o-", color="black", ms=4, label="proven safe")
    ax.plot(eps, shares("trains"), "^--", color=BLUE, label="certified by trains")
    ax.plot(eps, shares("counts"), "s:", color=BLUE, alpha=0.6, label="certified by counts")
    ax.set(xlabel="budget eps, maximum norm", ylabel="of the test samples [%]")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(FOLDER / "exact.png", dpi=110)


if __name__ == "__main__":
    main()
