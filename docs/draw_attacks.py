"""Draws docs/_static/attacks.png: what each attack leaves of a small network, and its queries."""

from pathlib import Path

import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn import STBP
from art_snn.attacks import (
    AutoPGD,
    Outcome,
    Plan,
    SpikingAutoAttack,
    SquareSearch,
    StableAdaptivePGD,
    Stage,
)
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.data import digits
from art_snn.models import vgg5

EPS, SAMPLES = 0.08, 200
PGD = {"max_iter": 7, "eps_step": EPS / 4}
STAGES = {
    "FGSM (ART)": Stage(FastGradientMethod, STBP()),
    "PGD-7 (ART)": Stage(ProjectedGradientDescent, STBP(), PGD),
    "AutoPGD, 100 steps": Stage(AutoPGD, STBP(), {"max_iter": 100}),
    "StableAdaptivePGD, 100 steps": Stage(StableAdaptivePGD, STBP(), {"max_iter": 100}),
    "SquareSearch, 1,000 steps": Stage(SquareSearch, None, {"max_iter": 1000}),
}
PLANS = {name: Plan(name, (stage,)) for name, stage in STAGES.items()}
PLANS |= {f"SpikingAutoAttack, {name}": name for name in ("fast", "standard")}
BLUE, GREY = "#0072b2", "#777777"


def trained() -> PyTorchSpikingClassifier:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (ART draws the order of the samples from it)
    data, network = digits(), vgg5(in_channels=1, image_size=8, width=0.25)
    classifier = wrap(network, data.input_shape, data.classes, (0, 1), "cpu")
    classifier.set_params(optimizer=torch.optim.Adam(network.parameters(), lr=2e-3))
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=10)
    return classifier


def attacked(classifier: PyTorchSpikingClassifier, plan: str | Plan) -> Outcome:
    data = digits()
    attack = SpikingAutoAttack(classifier, eps=EPS, plan=plan, verbose=False)
    attack.generate(data.x_test[:SAMPLES], data.y_test[:SAMPLES])
    print(attack.outcome)
    return attack.outcome


def queries(outcome: Outcome) -> float:
    return float((outcome.forwards + outcome.backwards)[outcome.robustness.correct].mean())


def bars(ax: Axes, names: list[str], widths: list[float], form: str, title: str) -> None:
    colours = [GREY if "ART" in name else BLUE for name in names]
    ax.barh(names, widths, color=colours, height=0.65)
    for place, width in enumerate(widths):
        ax.annotate(
            form.format(width), (width, place), (4, 0), textcoords="offset points", va="center"
        )
    ax.set_title(title, loc="left", fontsize=10)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.tick_params(which="both", left=False, bottom=False, labelbottom=False)


def main() -> None:
    classifier = trained()
    outcomes = {name: attacked(classifier, plan) for name, plan in PLANS.items()}
    robust = [100 * one.robustness.robust_accuracy.value for one in outcomes.values()]
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    bars(left, [*outcomes], robust, "{:.1f} %", "Robust accuracy")
    left.set_xlim(0, 118)
    left.invert_yaxis()
    bars(
        right,
        [*outcomes],
        [queries(one) for one in outcomes.values()],
        "{:.0f}",
        "Passes per sample (logarithmic)",
    )
    right.set(xscale="log", xlim=(1, 2e4))
    figure.savefig(Path(__file__).parent / "_static" / "attacks.png", dpi=120)


if __name__ == "__main__":
    main()
