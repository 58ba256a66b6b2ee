"""Count over several data sets what speaks for the paper's claims on RGA, and what against them.

    python examples/study/claims.py --studies results/study/eurosat results/study/nmnist \
        --output results/study/claims

Reads what attacks.py and hyperparameters.py wrote into these folders; nothing is attacked.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from attacks import KINDS, Cell, Outcomes, Tally, outcomes_of, tally
from hyperparameters import Line, read_lines
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app import tables
from art_snn.app.results import read_result
from art_snn.app.tables import SERIES
from art_snn.checks import require
from art_snn.files import write_text
from art_snn.metrics import paired_difference

Attacks = Mapping[str, Outcomes]
Sweeps = Mapping[str, Sequence[Line]]
MARKERS = {"fgsm": "o", "pgd": "s"}
ALL = "all"


def read_studies(folders: Sequence[Path]) -> tuple[Attacks, Sweeps]:
    """The studies in the folders, by their names; a folder may hold one of the two alone."""
    names = [folder.name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    expected, remedy = "folders of different names", "Name each once, or rename one."
    require(not twice, "--studies", expected, f"{', '.join(twice)} more than once", remedy)
    attacks, sweeps = {}, {}
    for folder in folders:
        files = folder / "attacks.json", folder / "sweep.json"
        expected = "folders in which attacks.json or sweep.json lies"
        remedy = "Run attacks.py or hyperparameters.py with that --output."
        require(any(file.exists() for file in files), "--studies", expected, folder, remedy)
        if files[0].exists():
            outcomes = outcomes_of(read_result(files[0]))
            whole = {(cell, rule) for cell, _ in outcomes for rule in ("stbp", "rga")}
            expected, got = "every attack by both rules", f"{files[0]}, in which some are missing"
            remedy = "Run attacks.py to its end."
            require(whole == set(outcomes), "--studies", expected, got, remedy)
            attacks[folder.name] = outcomes
        if files[1].exists():
            sweeps[folder.name] = read_lines(read_result(files[1]))
    return attacks, sweeps


def counted(attacks: Attacks) -> tables.Table:
    """How often RGA was stronger or weaker than STBP, by training, box and study."""
    rows = []
    for kinds in KINDS:
        counts = {name: tally(outcomes, kinds) for name, outcomes in attacks.items()}
        if len(counts) > 1:
            counts[ALL] = sum(counts.values(), Tally())
        for name, one in counts.items():
            figures = (one.count, one.stronger, one.weaker, one.equal, one.only_rga, one.only_stbp)
            rows.append((*kinds, name, *map(str, figures)))
    titles = ("training", "box", "study", "attacks", "RGA stronger", "RGA weaker", "neither")
    return tables.Table((*titles, "samples only by RGA", "only by STBP"), rows, words=3)


def ahead(outcomes: Outcomes, cell: Cell) -> float:
    """Success by RGA less that by STBP."""
    rga, stbp = (outcomes[cell, rule].attack_success.value for rule in ("rga", "stbp"))
    return rga - stbp


def extremes(attacks: Attacks) -> Iterator[str]:
    """Where RGA was furthest ahead and furthest behind, on networks of either training."""
    for box in ("white", "black"):
        cells = [
            (ahead(outcomes, cell), name, cell)
            for name, outcomes in attacks.items()
            for cell, rule in outcomes
            if cell[2] == box and rule == "rga"
        ]
        if cells:
            for word, (_, name, cell) in (("ahead", max(cells)), ("behind", min(cells))):
                by = {rule: attacks[name][cell, rule].attack_success for rule in ("stbp", "rga")}
                where = f"{cell[3].upper()} on {name}, {cell[1]} training, decay {cell[0]:g}"
                shares = f"STBP {by['stbp']}, RGA {by['rga']}"
                yield f"{box} box, RGA furthest {word}: {where}: {shares}."


def lines_of(sweeps: Sweeps) -> list[tuple[str, str, str, Line]]:
    """Field, study, network and line; those in which the default is missing tell nothing of it."""
    lines = [
        (line.field, name, f"decay {line.decay:g}", line)
        for name, some in sweeps.items()
        for line in some
        if line.default in line.outcomes
    ]
    fields = list(dict.fromkeys(field for field, *_ in lines))
    return sorted(lines, key=lambda line: fields.index(line[0]))


def values(some: Sequence[float]) -> str:
    """The values, or that there is none."""
    return ", ".join(f"{value:g}" for value in some) or "none"


def swept(sweeps: Sweeps) -> tables.Table:
    """The best value of every sweep, and which are weaker or stronger than others."""
    rows = []
    for field, name, network, line in lines_of(sweeps):
        rivals = [line.weaker(line.best), line.weaker(line.default), line.stronger(line.default)]
        rows.append((field, name, network, f"{line.best:g}", *map(values, rivals)))
    weaker = ("weaker than the best", "weaker than the default", "stronger than the default")
    return tables.Table(("field", "study", "network", "best", *weaker), rows, words=3)


def sentences(sweeps: Sweeps) -> Iterator[str]:
    """How often the default could not be told from the best, and how often others were weaker."""
    for field in dict.fromkeys(field for field, *_ in lines_of(sweeps)):
        lines = [line for other, _, _, line in lines_of(sweeps) if other == field]
        near = sum(line.default not in line.weaker(line.best) for line in lines)
        asked = dict.fromkeys(value for line in lines for value in line.outcomes)
        words = [
            f"{value:g} in {sum(value in line.weaker(line.best) for line in lines)} and "
            f"{sum(value in line.weaker(line.default) for line in lines)}"
            for value in asked
        ]
        yield (
            f"{field}: the default could not be told from the best in {near} of {len(lines)} "
            f"sweeps (McNemar, p >= 0.05). Weaker than the best and than the default was "
            f"{'; '.join(words)}."
        )


def render(folders: Sequence[Path]) -> str:
    """Tables and sentences on what lies in the folders."""
    attacks, sweeps = read_studies(folders)
    parts: list[tables.Part] = []
    if attacks:
        parts += [counted(attacks), tables.Notes([*extremes(attacks)])]
    if sweeps:
        parts += [swept(sweeps), tables.Notes([*sentences(sweeps)])]
    return tables.render(parts, "markdown")


def draw(ax: Axes, attacks: Attacks, kinds: tuple[str, str]) -> None:
    """How far RGA is ahead in every attack, filled where McNemar's test tells the two apart."""
    for row, outcomes in enumerate(attacks.values()):
        colour = SERIES[row % len(SERIES)]
        cells = [c for c in dict.fromkeys(cell for cell, _ in outcomes) if c[1:3] == kinds]
        for cell, shift in zip(cells, np.linspace(-0.3, 0.3, len(cells)), strict=True):
            p = paired_difference(outcomes[cell, "rga"], outcomes[cell, "stbp"])[2]
            face = colour if p < 0.05 else "none"
            place = 100 * ahead(outcomes, cell), row + shift
            ax.plot(*place, MARKERS[cell[3]], color=colour, markerfacecolor=face)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(yticks=range(len(attacks)), yticklabels=list(attacks))
    ax.set(title=f"{kinds[0]} training, {kinds[1]} box", xlabel="RGA less STBP [points]")
    ax.grid(alpha=0.3, axis="x")


def drawn(attacks: Attacks) -> Figure:
    """A panel per training and box."""
    figure = Figure(figsize=(10, 1.8 + 1.1 * len(attacks)), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for ax, kinds in zip(axes.flat, KINDS, strict=True):
        draw(ax, attacks, kinds)
        ax.label_outer()
    axes.flat[0].invert_yaxis()  # Of all: they share it.
    figure.suptitle(
        "Attack success by RGA less that by STBP: FGSM as circles, PGD as squares, the highest "
        "decay on top;\nfilled where McNemar's test tells the two apart (p < 0.05)",
        fontsize="medium",
    )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Count what speaks for and against the claims.")
    parser.add_argument("--studies", type=Path, nargs="+", default=[Path("results/study")])
    parser.add_argument("--output", type=Path, default=Path("results/study"))
    parser.add_argument("--small", action="store_true", help="of what the others wrote with it")
    chosen = parser.parse_args()
    small = Path("small" if chosen.small else "")
    folders, output = [one / small for one in chosen.studies], chosen.output / small
    text, (attacks, _) = render(folders), read_studies(folders)
    write_text(output / "claims.md", text)
    if attacks:
        drawn(attacks).savefig(output / "claims.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
