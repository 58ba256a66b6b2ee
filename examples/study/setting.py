"""What the scripts of the study share: options, data, networks.

Every script trains the networks that it needs, or finds them in --output; run them in any order.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from art_snn import RGA, STBP, Mean, PyTorchSpikingClassifier
from art_snn.data import Dataset, load
from art_snn.evaluation.attacks import Attack
from art_snn.evaluation.cost import set_threads
from art_snn.evaluation.hardening import AdversarialTraining
from art_snn.evaluation.subject import Subject
from art_snn.fitting import Fitting, mirrored, run
from art_snn.training import Recipe

KINDS = ("plain", "other seed", "adversarial")
PAPER = {"eps": 2.55 / 255, "eps_step": 2 / 255, "iterations": 5}
"""Budget, step and steps of Bu et al. (CVPR 2023); the first two are shares of the value range."""


@dataclass(frozen=True)
class Study:
    """The options of a script, with the data that they name."""

    data: Dataset
    output: Path
    decays: tuple[float, ...]
    width: float
    steps: int
    epochs: int
    samples: int
    device: str
    attack_settings: dict[str, Any]

    @property
    def span(self) -> float:
        """Width of the value range, which budgets are shares of."""
        low, high = self.data.clip_values("the study")
        return high - low

    def attack(self, name: str) -> Attack:
        """FGSM or PGD, at the settings of the paper unless others were asked for."""
        return self._attack(name, **self.attack_settings)

    def _attack(self, name: str, eps: float, eps_step: float, iterations: int) -> Attack:
        scaled = {"eps": eps * self.span, "eps_step": eps_step * self.span}
        return Attack(name=name, iterations=iterations, **scaled)

    def fitting(self, decay: float, kind: str) -> Fitting:
        """Network and training: the recipe of the papers, for fewer epochs, without Cutout.

        Adversarial training is against FGSM at the paper's budget by the mean of both gradients, so
        that the network is hardened against neither alone.
        """
        adversary = AdversarialTraining(
            attack=self._attack("fgsm", **PAPER),
            rule=Mean(RGA(), STBP()),
            value_range=self.data.clip_values("the study"),
        )
        recipe = Recipe(
            epochs=self.epochs,
            seed=KINDS.index(kind) % 2,
            flip=mirrored(self.data),
            cutout=0,
        )
        return Fitting(
            subject=Subject(width=self.width, steps=self.steps, decay=decay),
            recipe=recipe.fitted(*self.data.input_shape[-2:]),
            adversary=adversary if kind == "adversarial" else None,
        )

    def network(self, decay: float, kind: str) -> PyTorchSpikingClassifier:
        """The trained network, from its folder or trained now."""
        fitting, folder = self.fitting(decay, kind), self.folder(decay, kind)
        if not (folder / "network.pt").exists():
            run(fitting, self.data, folder, self.device)
            (folder / "training.pt").unlink()
        network = fitting.subject.build(self.data)
        fitting.subject.load(network, folder / "network.pt")
        return PyTorchSpikingClassifier(
            network,
            nn.CrossEntropyLoss(),
            input_shape=self.data.input_shape,
            nb_classes=self.data.classes,
            clip_values=self.data.clip_values("the study"),
            device_type=self.device,
        )

    def folder(self, decay: float, kind: str) -> Path:
        """Where a network is kept."""
        return self.output / f"decay-{decay:g}-{kind.replace(' ', '-')}"

    def networks(self) -> Iterator[tuple[float, str]]:
        """Decay and kind of all of them."""
        return ((decay, kind) for decay in self.decays for kind in KINDS)


def parse(words: str) -> Study:
    """The options of the command line; --small makes everything tiny."""
    parser = argparse.ArgumentParser(description=words)
    add = parser.add_argument
    add("--data", default="digits", help="as in art-snn train")
    add("--root", default="data")
    add("--value-range", type=float, nargs=2, help="of event frames")
    add("--output", type=Path, default=Path("study"))
    add("--decays", type=float, nargs="+", default=[1.0, 0.9, 0.5])
    add("--width", type=float, default=0.25, help="of VGG-5")
    add("--steps", type=int, default=8)
    add("--epochs", type=int, default=10)
    add("--train", type=int, help="training samples, all unless given")
    add("--samples", type=int, default=500, help="test samples under attack")
    for name, value in PAPER.items():
        add(f"--{name.replace('_', '-')}", type=type(value), default=value)
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--small", action="store_true")
    chosen = parser.parse_args()
    set_threads(chosen.threads)
    limits = None if chosen.value_range is None else tuple(chosen.value_range)
    data = load(chosen.data, root=chosen.root, value_range=limits)
    if chosen.small:
        data = data.subset(train=200, test=40)
    elif chosen.train is not None:
        data = data.subset(train=chosen.train)
    return Study(
        data=data,
        output=chosen.output / "small" if chosen.small else chosen.output,
        decays=(1.0, 0.5) if chosen.small else tuple(chosen.decays),
        width=1 / 16 if chosen.small else chosen.width,
        steps=2 if chosen.small else data.steps or chosen.steps,
        epochs=1 if chosen.small else chosen.epochs,
        samples=16 if chosen.small else chosen.samples,
        device=chosen.device,
        attack_settings={name: getattr(chosen, name) for name in PAPER},
    )
