"""The strength table: obtain a network, compare every rule on it, draw what came out."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from art_snn.data import Dataset
from art_snn.evaluation import compare
from art_snn.evaluation.comparison import Comparison, markdown
from art_snn.evaluation.subject import Subject
from art_snn.plotting import success_bars, time_bars


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
    :param samples: data set; its test samples are attacked within its value range.
    :param output: folder, made when missing; receives network.pt when a network is trained.
    :param checkpoint: weights of the subject.
    :param device_type: "gpu" or "cpu", as in ART.
    :raises CheckpointError: when the weights do not fit.
    :raises ValueError: when the data have no value range or do not suit the subject, before
        anything is trained, or the folder holds results of something else.
    """
    subject = subject.on(samples)
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
