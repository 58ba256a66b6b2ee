"""Train a spiking network on digits, attack it with two gradients, harden it, attack it again.

    python examples/demo.py --output results/demo

Images are those of scikit-learn, 1x8x8 in ten classes. The results follow from the options, the
versions of torch and ART, and the processor, as each rounds sums in its own way.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from art.defences.trainer import AdversarialTrainerMadryPGD
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

from art_snn import PyTorchSpikingClassifier
from art_snn.data import Dataset, digits
from art_snn.metrics import SIGNIFICANT, Robustness, paired_difference, robustness
from art_snn.models import vgg

GRADIENTS, ATTACKS = ("stbp", "rga"), ("FGSM", "PGD-10")
EPS, TRAIN_EPS = (0.02, 0.05, 0.1, 0.15, 0.2), 0.1
COLOURS, LINES = {"stbp": "#0072b2", "rga": "#d55e00"}, {"FGSM": "--", "PGD-10": "-"}
Curves = dict[tuple[str, str], list[Robustness]]


def build(seed: int, device: str) -> PyTorchSpikingClassifier:
    """Two convolutions, two linear layers, LIF neurons, T = 8."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002, since ART draws from numpy's global state
    sizes = {"in_channels": 1, "image_size": 8, "classes": 10}
    network = vgg(((32,), (64,)), hidden=(128,), **sizes, steps=8, decay=0.5)
    network.gradient = "rga"
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=(1, 8, 8),
        nb_classes=10,
        optimizer=torch.optim.Adam(network.parameters(), lr=2e-3),
        clip_values=(0.0, 1.0),
        device_type=device,
    )


def attack(
    classifier: PyTorchSpikingClassifier, data: Dataset, images: int | None
) -> tuple[Curves, dict[str, np.ndarray]]:
    """Outcomes of every attack with every gradient, one per budget, and adversarials of PGD."""
    x, y = data.x_test[:images], data.y_test[:images]
    clean, pictures = classifier.predict(x), {"original": x[:10]}
    curves: Curves = {pair: [] for pair in product(ATTACKS, GRADIENTS)}
    for name, gradient, eps in tqdm(list(product(ATTACKS, GRADIENTS, EPS)), "Attacks"):
        classifier.set_params(gradient=gradient)
        method = FastGradientMethod(classifier, eps=eps, batch_size=128)
        if name == "PGD-10":
            how = {"eps": eps, "eps_step": eps / 4, "max_iter": 10, "batch_size": 128}
            method = ProjectedGradientDescent(classifier, verbose=False, **how)
        adversarial = method.generate(x, y)
        curves[name, gradient].append(robustness(clean, classifier.predict(adversarial), y))
        if (name, eps) == ("PGD-10", EPS[2]):
            pictures[gradient] = adversarial[:10]
    classifier.set_params(gradient="rga")
    return curves, pictures


def compare_gradients(curves: Curves) -> list[str]:
    """Which gradient was stronger in every attack, by McNemar's test at every budget."""
    sentences = []
    for name in ATTACKS:
        pairs = zip(curves[name, "rga"], curves[name, "stbp"], strict=True)
        tests = [paired_difference(rga, stbp) for rga, stbp in pairs]
        shown = [(eps, a > b) for eps, (a, b, p) in zip(EPS, tests, strict=True) if p < SIGNIFICANT]
        claims = [
            f"{rule} stronger at {', '.join(f'{eps:g}' for eps in budgets)}"
            for rule, by_rga in (("RGA", True), ("STBP", False))
            if (budgets := [eps for eps, stronger in shown if stronger is by_rga])
        ]
        finding = "; ".join(claims) or "no difference that these images can show"
        sentences.append(f"{name}: {finding} (McNemar, p < {SIGNIFICANT:g})")
    return sentences


def table(curves: Curves) -> str:
    """Attack success among the correctly classified, a line per budget."""
    lines = ["eps    " + "".join(f"{f'{a} by {g.upper()}':>28}" for a, g in curves)]
    for i, eps in enumerate(EPS):
        cells = "".join(f"{outcomes[i].attack_success!s:>28}" for outcomes in curves.values())
        lines.append(f"{eps:<7g}{cells}")
    return "\n".join(lines)


def draw_curves(found: dict[str, Curves], file: Path) -> None:
    """Accuracy against the budget with 95 % bands, one panel per network."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for ax, (title, curves) in zip(figure.subplots(1, 2, sharey=True), found.items(), strict=True):
        for (name, gradient), outcomes in curves.items():
            shares = [outcomes[0].clean_accuracy, *(one.robust_accuracy for one in outcomes)]
            low, high = 100 * np.array([share.interval for share in shares]).T
            x, y, colour = [0.0, *EPS], [100 * share.value for share in shares], COLOURS[gradient]
            label = f"{name} by {gradient.upper()}"
            ax.plot(x, y, LINES[name], color=colour, marker="o", markersize=3, label=label)
            ax.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
        ax.set(title=title, xlabel="budget eps (share of the pixel range)", ylim=(0, 100))
        ax.grid(alpha=0.3)
    figure.axes[0].set_ylabel("accuracy [%]")
    figure.axes[0].legend(frameon=False)
    figure.savefig(file, dpi=150)


def draw_pictures(pictures: dict[str, np.ndarray], file: Path) -> None:
    """Originals, adversarials with each gradient, and what was added."""
    rows = [("original", pictures["original"])]
    for gradient in GRADIENTS:
        rows.append((f"PGD by {gradient.upper()}", pictures[gradient]))
        rows.append(("difference", pictures[gradient] - pictures["original"]))
    figure = Figure(figsize=(9, 5), layout="constrained")
    for ax, (label, images) in zip(figure.subplots(len(rows), 1), rows, strict=True):
        strip = np.concatenate(list(np.pad(images[:, 0], ((0, 0), (0, 0), (0, 1)))), axis=1)
        signed = {"cmap": "RdBu_r", "vmin": -EPS[2], "vmax": EPS[2]}
        ax.imshow(
            strip, **signed if label == "difference" else {"cmap": "gray", "vmin": 0, "vmax": 1}
        )
        ax.set_ylabel(label, rotation=0, ha="right", va="center")
        ax.set(xticks=[], yticks=[])
    figure.suptitle(f"Digits and their adversarials on the plain network, eps = {EPS[2]:g}")
    figure.savefig(file, dpi=150)


def main() -> None:
    # A pass of 8x8 images gains nothing from a second thread, and waits for it on a busy machine.
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Train, attack, harden and attack again.")
    parser.add_argument("--output", type=Path, default=Path("results/demo"))
    parser.add_argument(
        "--epochs", type=int, default=15, help="of plain and of adversarial training"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--small", action="store_true", help="one epoch and ten images")
    chosen = parser.parse_args()
    epochs, images = (1, 10) if chosen.small else (chosen.epochs, None)
    data, plain = digits(seed=chosen.seed), build(chosen.seed, chosen.device)
    for _ in tqdm(range(epochs), "Training"):
        plain.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=1)
    found, (curves, pictures) = {}, attack(plain, data, images)
    found["plain, T = 8"] = curves
    hardened = plain.clone_for_refitting()
    budget = {"eps": TRAIN_EPS, "eps_step": TRAIN_EPS / 4, "max_iter": 7}
    trainer = AdversarialTrainerMadryPGD(hardened, epochs, batch_size=64, **budget)
    trainer.fit(data.x_train, data.y_train)
    found["adversarially trained, T = 8"] = attack(hardened, data, images)[0]
    text = ["Attack success among the correctly classified test images, with 95 % intervals"]
    for name, curves in found.items():
        accuracy = next(iter(curves.values()))[0].clean_accuracy
        text += [f"{name}: {100 * accuracy.value:.1f} % test accuracy", table(curves)]
        text += ["\n".join(compare_gradients(curves))]
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "results.txt").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    content = {
        name: {" by ".join(pair): [one.as_dict() for one in some] for pair, some in curves.items()}
        for name, curves in found.items()
    }
    (chosen.output / "results.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    draw_curves(found, chosen.output / "accuracy.png")
    draw_pictures(pictures, chosen.output / "adversarials.png")
    print("\n\n".join(text), f"\nWritten to {chosen.output}")


if __name__ == "__main__":
    main()
