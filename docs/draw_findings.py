"""Draws docs/_static/masked_gradients.png: one network, a masked gradient and another one."""

from pathlib import Path

import numpy as np
import torch
from art.attacks.evasion import SquareAttack
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn import LIF, STBP, Direct, PyTorchSpikingClassifier, SpikingNetwork
from art_snn.attacks import AutoPGD
from art_snn.data import digits
from art_snn.findings import examine, examine_strength
from art_snn.gradients import Triangle
from art_snn.layers import TimeDistributed

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
MASKED, HONEST = STBP(surrogate=Triangle(width=0.02)), STBP(surrogate=Triangle(width=1.0))
WORDS = {"masked gradient (surrogate 0.02 wide)": MASKED, "gradient (surrogate 1 wide)": HONEST}
EPS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2)


def network() -> tuple[PyTorchSpikingClassifier, np.ndarray, np.ndarray]:
    """A small network of digits, and 100 images that it classifies correctly."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (ART draws from numpy's global state)
    data = digits()
    layers = [
        TimeDistributed(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64))),
        LIF(decay=0.9),
        TimeDistributed(torch.nn.Linear(64, 10)),
    ]
    net = SpikingNetwork(layers, Direct(8), gradient=HONEST)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    classifier = PyTorchSpikingClassifier(
        net,
        torch.nn.CrossEntropyLoss(),
        (1, 8, 8),
        10,
        optimizer=optimizer,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=20)
    right = classifier.predict(data.x_test).argmax(1) == data.y_test
    return classifier, data.x_test[right][:100], data.y_test[right][:100]


def draw_path(ax: Axes, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray) -> None:
    """How far the true class leads along the sign of either gradient, of all images."""
    reach = np.linspace(0, EPS[-1], 41)
    for (words, rule), colour in zip(WORDS.items(), (ORANGE, BLUE), strict=True):
        with classifier.model.using(rule):
            way = np.sign(classifier.loss_gradient(x, np.eye(10)[y]))
        leads = np.array([lead(classifier, np.clip(x + eps * way, 0, 1), y) for eps in reach])
        ax.plot(reach, np.median(leads, axis=1), color=colour, label=words)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.text(0, 0, "below: another class", color=GREY, fontsize=8, va="top")
    ax.set(xlabel="step along the sign of the gradient", ylabel="lead of the true class (median)")
    ax.set_title("One step: where does the gradient lead?", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8)


def lead(classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logit of the true class minus the largest other one."""
    logits = classifier.predict(x.astype(np.float32))
    rows = np.arange(len(y))
    true = logits[rows, y].copy()
    logits[rows, y] = -np.inf
    return true - logits.max(1)


def draw_accuracy(
    ax: Axes, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> None:
    """Robust accuracy at every budget under three attacks."""
    shares: dict[str, list[float]] = {words: [] for words in (*WORDS, "SquareAttack, no gradient")}
    for eps in EPS:
        by_gradient = AutoPGD(classifier, eps=eps, max_iter=40, verbose=False)
        search = SquareAttack(classifier, eps=eps, max_iter=1000, verbose=False)
        attacks = [(by_gradient, MASKED), (by_gradient, HONEST), (search, HONEST)]
        for words, (attack, rule) in zip(shares, attacks, strict=True):
            with classifier.model.using(rule):
                crafted = attack.generate(x, y)
            shares[words].append(100 * (lead(classifier, crafted, y) > 0).mean())
        print(eps, {words: round(float(values[-1])) for words, values in shares.items()})
    styles = ((ORANGE, "o-"), (BLUE, "o-"), (GREY, "s--"))
    for (words, values), (colour, style) in zip(shares.items(), styles, strict=True):
        ax.plot((0, *EPS), (100, *values), style, color=colour, label=words, ms=4)
    ax.set(xlabel="budget eps", ylabel="still correct [%]", ylim=(-3, 103))
    ax.set_title("The attack: what does it leave?", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8)


def main() -> None:
    classifier, x, y = network()
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_path(left, classifier, x, y)
    draw_accuracy(right, classifier, x, y)
    for words, rule in WORDS.items():
        with classifier.model.using(rule):
            findings = [look(classifier, x, y, eps=0.1) for look in (examine, examine_strength)]
        print(words, *findings[0], *findings[1], sep="\n  ")
    figure.savefig(Path(__file__).parent / "_static" / "masked_gradients.png", dpi=130)


if __name__ == "__main__":
    main()
