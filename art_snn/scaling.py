"""How the cost of an attack grows with the time steps: measure, tabulate, draw."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from art_snn.checks import invalid
from art_snn.data import Dataset
from art_snn.evaluation.cost import Growth, TableS2, grow
from art_snn.evaluation.cost.growth_table import heading, markdown
from art_snn.plotting import memory_against_steps, time_against_steps


def run(protocol: TableS2, output: Path, dataset: Dataset | None = None) -> Growth:
    """Measure the protocol, and write cost.json, cost.md and cost.png.

    A run that was interrupted is taken up after its last whole cell, one model at one T.

    :param protocol: what is measured.
    :param output: folder, made when missing.
    :param dataset: its test images are attacked; None takes random ones.
    :raises ValueError: when the folder holds results of something else, is named like a JSON file,
        or there are fewer images than asked for.
    """
    if output.suffix == ".json":
        raise invalid(
            "output",
            expected="a folder, for table, chart and figures",
            got=str(output),
            remedy="Give the folder's name alone: cost.json is written into it.",
        )
    output.mkdir(parents=True, exist_ok=True)
    growth = grow(protocol, output / "cost.json", dataset)
    (output / "cost.md").write_text(markdown(growth))
    draw(growth).savefig(output / "cost.png", dpi=150)
    return growth


def draw(growth: Growth) -> Figure:
    """Time above, memory below, one column per model."""
    models = growth.protocol.models
    figure = Figure(figsize=(1 + 3.4 * max(2, len(models)), 6.4), layout="constrained")
    axes = figure.subplots(2, len(models), sharex=True, squeeze=False)
    for (above, below), model in zip(axes.T, models, strict=True):
        time_against_steps(above, growth, model).set(title=model, xlabel="")
        memory_against_steps(below, growth, model)
    axes[0, 0].legend(fontsize="small")
    figure.suptitle("\n".join(heading(growth)), fontsize="x-small")
    return figure
