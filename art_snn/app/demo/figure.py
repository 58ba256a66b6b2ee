from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import COLOURS, LINES
from art_snn.app.demo.result import GRADIENTS, Demonstration
from art_snn.metrics import Robustness


def draw_curves(outcome: Demonstration) -> Figure:
    """Accuracy against eps, one panel per network."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(outcome.curves), sharey=True, squeeze=False)[0]
    for ax, (name, curves) in zip(axes, outcome.curves.items(), strict=True):
        accuracy_against_eps(ax, outcome.settings.eps, curves)
        ax.set_title(name if outcome.settings.model else f"{name}, T = 8")
        ax.label_outer()
    axes[0].legend(frameon=False)
    return figure


def draw_pictures(outcome: Demonstration) -> Figure:
    """Originals, adversarials by each gradient, and what was added."""
    original = outcome.pictures["original"]
    rows = [("original", original, False)]
    for gradient in GRADIENTS:
        adversarial = outcome.pictures[gradient]
        rows += [(f"PGD by {gradient.upper()}", adversarial, False)]
        rows += [("difference", adversarial - original, True)]
    figure = Figure(figsize=(9, 5), layout="constrained")
    for ax, (label, images, signed) in zip(figure.subplots(len(rows), 1), rows, strict=True):
        image_row(ax, images, label=label, signed=signed)
    eps = outcome.settings.eps[len(outcome.settings.eps) // 2]
    figure.suptitle(f"Digits and their adversarials on the plain network, eps = {eps:g}")
    return figure


def accuracy_against_eps(
    ax: Axes, eps: Sequence[float], curves: Mapping[tuple[str, str], Sequence[Robustness]]
) -> Axes:
    """Robust accuracy against the budget, one line per attack and gradient, with 95 % bands.

    Budgets ascend, in units of the clip range; each curve has one outcome per budget."""
    for (attack, gradient), outcomes in curves.items():
        shares = [outcomes[0].clean_accuracy, *(o.robust_accuracy for o in outcomes)]
        low, high = 100 * np.array([share.interval for share in shares]).T
        x, y = [0.0, *eps], [100 * share.value for share in shares]
        colour, label = COLOURS.get(gradient), f"{attack} by {gradient.upper()}"
        ax.plot(x, y, LINES.get(attack, "-"), color=colour, marker="o", markersize=3, label=label)
        ax.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
    ax.set(xlabel="budget eps (share of the pixel range)", ylabel="accuracy [%]", ylim=(0, 100))
    ax.grid(alpha=0.3)
    return ax


def image_row(ax: Axes, images: np.ndarray, *, label: str, signed: bool = False) -> Axes:
    """Images (N, C, H, W), C = 1 or 3, in [0, 1], side by side, with a label at the left.

    Signed ones are differences: negative blue and positive red, on the scale of the largest."""
    padded = np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    strip = np.concatenate(list(padded), axis=2)[..., :-1].transpose(1, 2, 0)
    if signed:
        scale = float(np.nanmax(np.abs(strip))) or 1.0
        ax.imshow(strip.mean(2), cmap="RdBu_r", vmin=-scale, vmax=scale)
    else:
        ax.imshow(strip[..., 0] if strip.shape[2] == 1 else strip, cmap="gray", vmin=0, vmax=1)
    ax.set_ylabel(label, rotation=0, ha="right", va="center")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax
