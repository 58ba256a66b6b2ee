"""Train the networks of the study and tabulate how good they are.

    python examples/study/networks.py --data eurosat32_10k.npz --output study/eurosat

Per decay two networks that differ in their seed alone, and one that is trained adversarially.
"""

import json

from matplotlib.figure import Figure
from setting import parse

from art_snn.evaluation.metrics import Share
from art_snn.plotting import training_curves
from art_snn.training import Epoch


def main() -> None:
    study = parse("Train the networks of the study.")
    lines = ["| decay | training | best epoch | validation | test accuracy |", "|---" * 5 + "|"]
    runs = list(study.networks())
    contents = {}
    figure = Figure(figsize=(11, 2.6 * len(study.decays)), layout="constrained")
    axes = figure.subplots(len(study.decays), 3, sharex=True, squeeze=False)
    for ax, (decay, kind) in zip(axes.flat, runs, strict=True):
        study.network(decay, kind)
        content = json.loads((study.folder(decay, kind) / "training.json").read_text())
        contents[f"decay {decay:g}, {kind}"] = content
        history = [Epoch(**epoch) for epoch in content["history"]]
        training_curves(ax, history).set_title(f"decay {decay:g}, {kind}", fontsize="medium")
        best = history[content["best_epoch"] - 1]
        test = Share(content["test_accuracy"]["count"], content["test_accuracy"]["total"])
        lines.append(
            f"| {decay:g} | {kind} | {best.number} of {len(history)} "
            f"| {100 * (best.validation or 0):.1f} % | {test} |"
        )
    subject = study.fitting(*runs[0]).subject
    size = sum(p.numel() for p in subject.build(study.data).parameters())
    words = f"{subject.model}, width {subject.width:g}, T = {subject.steps}, {size:,} weights"
    heading = f"{words}, on {study.data.name}: {len(study.data.x_train)} training samples.\n\n"
    text = heading + "\n".join(lines) + "\n"
    (study.output / "networks.md").write_text(text)
    (study.output / "networks.json").write_text(json.dumps(contents, indent=1) + "\n")
    figure.savefig(study.output / "networks.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
