"""Draws docs/_static/idea.png: an image, its spikes, a slope for the derivative, an attack."""

from pathlib import Path

import numpy as np
import torch
from art.attacks.evasion import ProjectedGradientDescent
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from art_snn import zoo
from art_snn.gradients.surrogates import Triangle
from art_snn.neurons import Neuron

NETWORK, SAMPLE, EPS = "eurosat-vgg5-plain", 7, 4 / 255
NAMES = ("crops", "forest", "shrubs", "highway", "industry", "pasture", "orchard", "houses")
NAMES = (*NAMES, "river", "lake")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def show(ax: Axes, values: np.ndarray, title: str, colour: str, cmap: str | None = None) -> None:
    """Draw an image [C, H, W], or a map [H, W], below its title."""
    image = values.transpose(1, 2, 0) if values.ndim == 3 else values
    ax.imshow(image, cmap=cmap, vmin=0, vmax=1)
    ax.set_title(title, color=colour, fontsize=15)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color=colour, lw=1.5)


def draw_slope(ax: Axes) -> None:
    """Draw the spike as a function of the potential, and the surrogate that STBP differentiates."""
    z = torch.linspace(-1.4, 1.4, 401)
    ax.plot(z, z >= 0, color=BLUE, lw=2.5)
    ax.fill_between(z, Triangle()(z), color=ORANGE, alpha=0.25)
    ax.plot(z, Triangle()(z), color=ORANGE, lw=2.5)
    ax.set(xticks=[0], yticks=[], ylim=(-0.05, 1.25))
    ax.set_xticklabels(["threshold"], fontsize=13)
    ax.text(0.4, 1.07, "spike", color=BLUE, fontsize=14)
    ax.text(-1.5, 0.66, "slope", color=ORANGE, fontsize=14)
    ax.spines[["top", "right", "left"]].set_visible(False)


def main() -> None:
    classifier = zoo.classifier(NETWORK, device="cpu")
    samples, labels = zoo.samples("eurosat")
    x, y = samples[SAMPLE : SAMPLE + 1], labels[SAMPLE : SAMPLE + 1]
    classifier.set_params(gradient="stbp")
    attack = ProjectedGradientDescent(classifier, eps=EPS, eps_step=EPS / 4, verbose=False)
    adversarial = attack.generate(x, y)
    before, after = (NAMES[classifier.predict(images).argmax()] for images in (x, adversarial))
    spikes: list[torch.Tensor] = []
    first = next(one for one in classifier.model.modules() if isinstance(one, Neuron))
    hook = first.register_forward_hook(lambda *values: spikes.append(values[-1]))
    classifier.predict(x)
    hook.remove()
    channel = int(spikes[0][:, 0].mean((0, 2, 3)).argmax())  # The one that fires most.
    maps = spikes[0][:, 0, channel].numpy()

    figure = Figure(figsize=(6.8, 4.4))
    grid = figure.add_gridspec(2, 12, left=0.01, right=0.99, bottom=0.03, top=0.9, hspace=0.3)
    show(figure.add_subplot(grid[0, :4]), x[0], f"Input: {before}", BLUE)
    steps = grid[0, 5:].subgridspec(1, len(maps), wspace=0.08).subplots()
    for t, (ax, fired) in enumerate(zip(steps, maps, strict=True), start=1):
        show(ax, 1 - fired, f"t = {t}", BLUE, "gray")
    show(figure.add_subplot(grid[1, :4]), adversarial[0].clip(0, 1), f"Now: {after}", ORANGE)
    change = (adversarial - x)[0] / EPS
    show(figure.add_subplot(grid[1, 4:8]), (change + 1).clip(0, 2) / 2, "Perturbation", ORANGE)
    draw_slope(figure.add_axes((0.74, 0.13, 0.25, 0.29)))
    for start, end, colour in (
        ((0.33, 0.7), (0.39, 0.7), BLUE),
        ((0.865, 0.56), (0.865, 0.47), GREY),
        ((0.71, 0.22), (0.65, 0.22), ORANGE),
        ((0.365, 0.22), (0.305, 0.22), ORANGE),
    ):
        figure.add_artist(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=18, color=colour, lw=2)
        )
    figure.text(0.42, 0.9, "Spikes over time", color=BLUE, fontsize=15)
    figure.savefig(Path(__file__).parent / "_static" / "idea.png", dpi=150)


if __name__ == "__main__":
    main()
