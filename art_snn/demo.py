"""The product's main job on real images: train, attack by both gradients, harden, attack again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from art.defences.trainer import AdversarialTrainerMadryPGD
from matplotlib.figure import Figure
from torch import nn
from tqdm.auto import tqdm

from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset, digits
from art_snn.evaluation.metrics import Robustness, paired_difference, robustness
from art_snn.inputs import check_device_type
from art_snn.models import Plan, vgg
from art_snn.plotting import accuracy_against_eps, image_row

GRADIENTS = ("stbp", "rga")
ATTACKS = ("FGSM", "PGD-10")
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Demo:
    """Settings of the demo; its results follow from them and from the versions of torch and ART.

    :param seed: of the split, the weights, the batches and the attacks' random starts.
    :param epochs: epochs of plain training.
    :param adversarial_epochs: epochs of adversarial training.
    :param train_eps: budget of the adversarial training.
    :param eps: budgets of the attacks, ascending.
    :param test_images: how many test images are attacked; None is all of them.
    :param device_type: "gpu" or "cpu", as in ART.
    """

    seed: int = 0
    epochs: int = 15
    adversarial_epochs: int = 15
    train_eps: float = 0.1
    eps: tuple[float, ...] = (0.02, 0.05, 0.1, 0.15, 0.2)
    test_images: int | None = None
    device_type: str = "gpu"

    def __post_init__(self) -> None:
        check_device_type(self.device_type)


Curves = dict[tuple[str, str], list[Robustness]]


@dataclass
class Outcome:
    """What the demo found.

    :param settings: of the run.
    :param accuracy: test accuracy of each network, "plain" and "adversarially trained".
    :param curves: per network, (attack, gradient) -> outcomes, one per budget.
    :param pictures: originals and, per gradient, adversarials (n, 1, 8, 8) of the plain network.
    """

    settings: Demo
    accuracy: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curves] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


def run(settings: Demo, output: Path) -> Outcome:
    """Run the demo and write results.json, accuracy.png and adversarials.png.

    :param settings: see :class:`Demo`.
    :param output: folder for the results, made when missing.
    """
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    np.random.seed(settings.seed)  # noqa: NPY002, since ART draws from numpy's global state
    data = digits(seed=settings.seed)
    outcome = Outcome(settings)
    plain = build(data, settings)
    plain.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=settings.epochs, verbose=True)
    _attack_all("plain", plain, data, outcome)
    hardened = plain.clone_for_refitting()
    AdversarialTrainerMadryPGD(
        hardened,
        nb_epochs=settings.adversarial_epochs,
        batch_size=64,
        eps=settings.train_eps,
        eps_step=settings.train_eps / 4,
        max_iter=7,
    ).fit(data.x_train, data.y_train)
    _attack_all("adversarially trained", hardened, data, outcome)
    (output / "results.json").write_text(json.dumps(as_dict(outcome), indent=1) + "\n")
    draw_curves(outcome).savefig(output / "accuracy.png", dpi=150)
    draw_pictures(outcome).savefig(output / "adversarials.png", dpi=150)
    return outcome


def build(data: Dataset, settings: Demo) -> PyTorchSpikingClassifier:
    """The demo's classifier: two convolutions, two linear layers, LIF neurons, T = 8."""
    network = vgg(
        Plan(stages=((32,), (64,)), hidden=(128,)),
        in_channels=1,
        image_size=8,
        classes=data.classes,
        steps=8,
        decay=0.5,
        gradient="rga",
    )
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=data.input_shape,
        nb_classes=data.classes,
        optimizer=torch.optim.Adam(network.parameters(), lr=2e-3),
        clip_values=(0.0, 1.0),
        device_type=settings.device_type,
    )


def _attack_all(
    name: str, classifier: PyTorchSpikingClassifier, data: Dataset, outcome: Outcome
) -> None:
    settings = outcome.settings
    x, y = data.x_test[: settings.test_images], data.y_test[: settings.test_images]
    clean = classifier.predict(x)
    outcome.accuracy[name] = float((clean.argmax(1) == y).mean())
    curves: Curves = {(a, g): [] for a in ATTACKS for g in GRADIENTS}
    total = len(curves) * len(settings.eps)
    for attack, gradient, eps in tqdm(_runs(settings), total=total, desc=f"Attacks on {name}"):
        classifier.set_params(gradient=gradient)
        adversarial = craft(attack, classifier, eps, x, y)
        curves[attack, gradient].append(robustness(clean, classifier.predict(adversarial), y))
        if (
            name == "plain"
            and attack == ATTACKS[-1]
            and eps == settings.eps[len(settings.eps) // 2]
        ):
            outcome.pictures["original"] = x[:10]
            outcome.pictures[gradient] = adversarial[:10]
    classifier.set_params(gradient="rga")
    outcome.curves[name] = curves


def _runs(settings: Demo) -> Iterator[tuple[str, str, float]]:
    for attack in ATTACKS:
        for gradient in GRADIENTS:
            for eps in settings.eps:
                yield attack, gradient, eps


def craft(
    attack: str, classifier: PyTorchSpikingClassifier, eps: float, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Adversarial samples by ART's FGSM, or by its PGD with 10 steps of eps / 4."""
    if attack == "FGSM":
        method = FastGradientMethod(classifier, eps=eps, batch_size=128)
    else:
        method = ProjectedGradientDescent(
            classifier, eps=eps, eps_step=eps / 4, max_iter=10, batch_size=128, verbose=False
        )
    adversarial: np.ndarray = method.generate(x, y)
    return adversarial


def table(outcome: Outcome) -> str:
    """Conditional attack success with its 95 % interval, one line per network and budget."""
    columns = [(a, g) for a in ATTACKS for g in GRADIENTS]
    width = 25
    lines = ["Attack success among the correctly classified, with 95 % intervals", ""]
    for name, curves in outcome.curves.items():
        lines.append(f"{name}: {100 * outcome.accuracy[name]:.1f} % test accuracy")
        titles = [f"{attack} by {gradient.upper()}" for attack, gradient in columns]
        lines.append("  eps " + "".join(f"{title:>{width}}" for title in titles))
        for i, eps in enumerate(outcome.settings.eps):
            cells = [str(curves[column][i].attack_success) for column in columns]
            lines.append(f"{eps:5.3f} " + "".join(f"{cell:>{width}}" for cell in cells))
        lines.append("")
    return "\n".join(lines)


def verdicts(outcome: Outcome) -> list[str]:
    """Which gradient was stronger, per network and attack, by McNemar's test at every budget."""
    return [
        _verdict(name, attack, outcome.settings.eps, curves)
        for name, curves in outcome.curves.items()
        for attack in ATTACKS
    ]


def _verdict(name: str, attack: str, eps: tuple[float, ...], curves: Curves) -> str:
    pairs = zip(curves[attack, "rga"], curves[attack, "stbp"], strict=True)
    tests = [paired_difference(rga, stbp) for rga, stbp in pairs]
    rga = [e for e, (a, b, p) in zip(eps, tests, strict=True) if p < SIGNIFICANCE and a > b]
    stbp = [e for e, (a, b, p) in zip(eps, tests, strict=True) if p < SIGNIFICANCE and b > a]
    if not rga and not stbp:
        finding = "no difference that these images can show"
    else:
        claims = [
            f"{rule} stronger at {', '.join(f'{e:g}' for e in budgets)}"
            for rule, budgets in (("RGA", rga), ("STBP", stbp))
            if budgets
        ]
        finding = "; ".join(claims)
    only_rga, only_stbp = sum(t[0] for t in tests), sum(t[1] for t in tests)
    return (
        f"{name}, {attack}: {finding} "
        f"(flipped by RGA alone {only_rga}, by STBP alone {only_stbp}, over all budgets)"
    )


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """The outcome for JSON."""
    settings = outcome.settings
    return {
        "data": "scikit-learn digits, 80/20 split",
        "seed": settings.seed,
        "eps": list(settings.eps),
        "train_eps": settings.train_eps,
        "torch": torch.__version__,
        "accuracy": outcome.accuracy,
        "networks": {
            name: {
                f"{attack} by {gradient}": [o.as_dict() for o in outcomes]
                for (attack, gradient), outcomes in curves.items()
            }
            for name, curves in outcome.curves.items()
        },
        "verdicts": verdicts(outcome),
    }


def draw_curves(outcome: Outcome) -> Figure:
    """Accuracy against eps, one panel per network."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(outcome.curves), sharey=True, squeeze=False)[0]
    for ax, (name, curves) in zip(axes, outcome.curves.items(), strict=True):
        accuracy_against_eps(ax, outcome.settings.eps, curves)
        ax.set_title(f"{name}, T = 8")
        ax.label_outer()
    axes[0].legend(frameon=False)
    return figure


def draw_pictures(outcome: Outcome) -> Figure:
    """Originals, adversarials by each gradient, and what was added."""
    original = outcome.pictures["original"]
    rows = [("original", original, False)]
    for gradient in GRADIENTS:
        adversarial = outcome.pictures[gradient]
        rows.append((f"PGD by {gradient.upper()}", adversarial, False))
        rows.append(("difference", adversarial - original, True))
    figure = Figure(figsize=(9, 5), layout="constrained")
    for ax, (label, images, signed) in zip(figure.subplots(len(rows), 1), rows, strict=True):
        image_row(ax, images, label=label, signed=signed)
    eps = outcome.settings.eps[len(outcome.settings.eps) // 2]
    figure.suptitle(f"Digits and their adversarials on the plain network, eps = {eps:g}")
    return figure
