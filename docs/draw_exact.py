"""Draws results/exact-*/exact.png: certified, exact and attacked accuracy against the budget."""

from pathlib import Path

from matplotlib.figure import Figure

from art_snn.app.results import read_result
from art_snn.files import read_json

DOCS = Path(__file__).parent
RECORDS = DOCS.parent / "examples" / "zoo" / "evaluations"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def draw(folder: Path, network: str) -> None:
    """The picture of a folder, with the record of the zoo where that has the same samples."""
    rows = read_result(folder / "exact.json")["rows"]
    eps, record = [row["eps"] for row in rows], read_json(RECORDS / network / "evaluation.json")

    def shares(name: str) -> list[float]:
        return [100 * row[name] / row["samples"] for row in rows]

    high = [a + b for a, b in zip(shares("safe"), shares("open"), strict=True)]
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    ax = figure.subplots()
    if len(record["samples"]) == rows[0]["samples"]:
        attacked = {one["eps"]: 100 * one["robust"] for one in record["summary"]}
        ax.plot(*zip(*attacked.items(), strict=True), "v", color=ORANGE, label="under all attacks")
    ax.fill_between(eps, shares("safe"), high, color=GREY, alpha=0.4, label="open")
    ax.plot(eps, shares("safe"), "o-", color="black", ms=4, label="safe")
    ax.plot(eps, shares("trains"), "^--", color=BLUE, label="certified by trains")
    ax.plot(eps, shares("counts"), "^:", color=BLUE, alpha=0.6, label="certified by counts")
    ax.set(xlabel="budget eps, maximum norm", ylabel="of the test samples [%]")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
    figure.savefig(folder / "exact.png", dpi=110)


def main() -> None:
    for folder, network in (("exact-digits", "digits-ibp"), ("exact-eurosat", "eurosat-vgg5-ibp")):
        draw(DOCS / "results" / folder, network)


if __name__ == "__main__":
    main()
