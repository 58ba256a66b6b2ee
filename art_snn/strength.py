"""The strength table: obtain a network, compare every rule on it, draw what came out."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from art_snn import data
from art_snn.data import Dataset
from art_snn.evaluation import compare
from art_snn.evaluation.comparison import Comparison, markdown
from art_snn.evaluation.subject import Subject
from art_snn.plotting import success_bars, time_bars


def dataset(name: str) -> Dataset:
    """A data set by the word "digits" or the path of a .npz file.

    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when the file is of another form (:func:`art_snn.data.from_npz`).
    """
    return data.digits() if name == "digits" else data.from_npz(name)


def run(
    settings: compare.Settings,
    subject: Subject,
    samples: Dataset,
    output: Path,
    checkpoint: Path | None = None,
    device_type: str = "gpu",
) -> Comparison:
    """Train or load the network, compare the rules, write compare.json, compare.md, compare.png.

    A run that was interrupted is taken up where it stopped: training after its last whole epoch,
    the comparison after its last whole rule.

    :param settings: of the comparison.
    :param subject: the network; trained on the training samples unless a checkpoint is given.
    :param samples: data set; its test samples are attacked.
    :param output: folder, made when missing; receives network.pt when a network is trained.
    :param checkpoint: weights of the subject.
    :param device_type: "gpu" or "cpu", as in ART.
    :raises CheckpointError: when the weights do not fit.
    :raises ValueError: when the folder holds results of something else.
    """
    classifier = subject.classifier(samples, device_type)
    output.mkdir(parents=True, exist_ok=True)
    if checkpoint is None:
        subject.train(classifier.model, samples, output)
    else:
        subject.load(classifier.model, checkpoint)
    comparison = compare.run(
        settings,
        classifier,
        samples.x_test,
        samples.y_test,
        output / "compare.json",
        title=f"{subject.words()} on {samples.name}",
    )
    (output / "compare.md").write_text(markdown(comparison))
    draw(comparison).savefig(output / "compare.png", dpi=150)
    return comparison


def draw(comparison: Comparison) -> Figure:
    """Attack success and time of one gradient, one bar per rule."""
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(comparison.attacked)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    success_bars(left, comparison)
    time_bars(right, comparison)
    figure.suptitle(f"{comparison.title}\n{comparison.attack}", fontsize="medium")
    return figure
