"""Train the networks of the study and tabulate how good they are.

    python examples/study/networks.py --data data/eurosat32_10k.npz --output results/study/eurosat

Per decay two networks that differ in their seed alone, and one that is trained adversarially.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure
from setting import parse

from art_snn.app import tables
from art_snn.app.results import read_result, write_result
from art_snn.files import write_text
from art_snn.metrics import Share
from art_snn.training import Epoch


def rows(contents: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per network, from what its training noted."""
    for name, content in contents.items():
        decay, _, kind = name.removeprefix("decay ").partition(", ")
        history = [Epoch(**epoch) for epoch in content["history"]]
        kept = history[content["best_epoch"] - 1]
        test = Share(content["test_accuracy"]["count"], content["test_accuracy"]["total"])
        validation = f"{100 * (kept.validation or 0):.1f} %"
        yield decay, kind, f"{kept.number} of {len(history)}", validation, str(test)


def render(title: str, contents: Mapping[str, Any]) -> str:
    """The table of the networks below the title."""
    titles = ("decay", "training", "best epoch", "validation", "test accuracy")
    return tables.render([title, tables.Table(titles, list(rows(contents)))], "markdown")


def main() -> None:
    study = parse("Train the networks of the study.")
    runs = list(study.networks())
    contents = {}
    figure = Figure(figsize=(11, 2.6 * len(study.decays)), layout="constrained")
    axes = figure.subplots(len(study.decays), 3, sharex=True, squeeze=False)
    for ax, (decay, kind) in zip(axes.flat, runs, strict=True):
        study.trained(decay, kind)
        name = f"decay {decay:g}, {kind}"
        contents[name] = read_result(study.folder(decay, kind) / "training.json")
        history = [Epoch(**epoch) for epoch in contents[name]["history"]]
        numbers = [one.number for one in history]
        ax.plot(numbers, [one.loss for one in history], color="grey")
        ax.set_title(name, fontsize="medium")
        ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
        right = ax.twinx()
        right.plot(numbers, [100 * (one.validation or 0) for one in history])
        right.set(ylabel="validation accuracy [%]", ylim=(0, 100))
    network = study.trained(*runs[0]).settle(study.data)
    size = sum(p.numel() for p in network.build_for(study.data).parameters())
    words = f"{network.model}, width {study.width:g}, T = {study.steps}, {size:,} weights"
    text = render(
        f"{words}, on {study.data.name}: {len(study.data.x_train)} training samples.", contents
    )
    write_text(study.output / "networks.md", text)
    write_result(study.output / "networks.json", contents)
    figure.savefig(study.output / "networks.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
