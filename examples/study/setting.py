"""What the scripts of the study share: options, data, networks.

Every script trains the networks that it needs, or finds them in --output; run them in any order.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_snn import RGA, STBP, Mean, PyTorchSpikingClassifier
from art_snn.app import harden, train
from art_snn.app.attack import Attack
from art_snn.app.trained import Trained
from art_snn.data import Dataset, load_data
from art_snn.measuring.machine import set_threads
from art_snn.models import Architecture
from art_snn.precision import DTYPES
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
    model: str
    width: float
    steps: int
    epochs: int
    samples: int
    flip: bool | None
    device: str
    dtypes: tuple[str, ...]
    train_dtype: str | None
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
        many = {"eps_step": eps_step * self.span, "iterations": iterations}
        return Attack(name=name, eps=eps * self.span, **({} if name == "fgsm" else many))

    def architecture(self, decay: float) -> Architecture:
        """The network without its weights."""
        return Architecture(model=self.model, width=self.width, steps=self.steps, decay=decay)

    def train(self, decay: float, kind: str) -> None:
        """Train a network by the recipe of the papers, for fewer epochs, without Cutout.

        Adversarial training is against FGSM at the paper's budget by the mean of both gradients, so
        that the network is hardened against neither alone.
        """
        recipe = Recipe(
            epochs=self.epochs,
            seed=KINDS.index(kind) % 2,
            flip=self.flip,
            cutout=0,
            train_dtype=self.train_dtype,
        )
        options: dict[str, Any] = {"output": self.folder(decay, kind), "device": self.device}
        options |= {"architecture": self.architecture(decay), "recipe": recipe}
        settings = train.Settings(**options)
        if kind == "adversarial":
            attack, rule = self._attack("fgsm", **PAPER), Mean(RGA(), STBP())
            settings = harden.Settings(attack=attack, rule=rule, **options)
        train.fitted(settings, self.data)
        (settings.output / "training.pt").unlink()

    def trained(self, decay: float, kind: str) -> Trained:
        """The network with its weights, from its folder or trained now."""
        file = self.folder(decay, kind) / "network.safetensors"
        if not file.exists():
            self.train(decay, kind)
        return Trained(architecture=self.architecture(decay), checkpoint=file)

    def network(self, decay: float, kind: str) -> PyTorchSpikingClassifier:
        """The trained network as ART sees it."""
        trained = self.trained(decay, kind)
        classifier = trained.classifier(self.data, self.device)
        trained.obtain(classifier.model, self.data, self.output)
        return classifier

    def folder(self, decay: float, kind: str) -> Path:
        """Where a network is kept."""
        return self.output / f"decay-{decay:g}-{kind.replace(' ', '-')}"

    def networks(self) -> Iterator[tuple[float, str]]:
        """Decay and kind of all of them."""
        return ((decay, kind) for decay in self.decays for kind in KINDS)


def ratio(words: str) -> float:
    """A number, or one over another: 8/255."""
    above, _, below = words.partition("/")
    return float(above) / float(below or 1)


def parse(words: str) -> Study:
    """The options of the command line; --small makes everything tiny."""
    parser = argparse.ArgumentParser(description=words)
    add = parser.add_argument
    add("--data", default="digits", help="as in art-snn train")
    add("--root", default="data")
    add("--value-range", type=float, nargs=2, help="of event frames")
    add("--output", type=Path, default=Path("study"))
    add("--decays", type=float, nargs="+", default=[1.0, 0.9, 0.5])
    add("--model", default="vgg5", help="as in art-snn train")
    add("--width", type=float, default=0.25, help="of the model")
    add("--steps", type=int, default=8)
    add("--epochs", type=int, default=10)
    add("--train", type=int, help="training samples, all unless given")
    add("--samples", type=int, default=500, help="test samples under attack")
    add("--no-flip", action="store_true", help="mirror no training sample, as in art-snn train")
    for name, value in PAPER.items():
        add(f"--{name.replace('_', '-')}", type=type(value), default=value)
    add("--dtypes", nargs="+", default=list(DTYPES), choices=DTYPES, help="of precision.py")
    add("--train-dtype", help="as in art-snn train")
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--small", action="store_true")
    chosen = parser.parse_args()
    set_threads(chosen.threads)
    limits = None if chosen.value_range is None else tuple(chosen.value_range)
    data = load_data(chosen.data, root=chosen.root, value_range=limits)
    if chosen.small:
        data = data.subset(train=200, test=40)
    elif chosen.train is not None:
        data = data.subset(train=chosen.train)
    return Study(
        data=data,
        output=chosen.output / "small" if chosen.small else chosen.output,
        decays=(1.0, 0.5) if chosen.small else tuple(chosen.decays),
        model=chosen.model,
        width=1 / 16 if chosen.small else chosen.width,
        steps=2 if chosen.small else data.steps or chosen.steps,
        epochs=1 if chosen.small else chosen.epochs,
        samples=16 if chosen.small else chosen.samples,
        flip=False if chosen.no_flip else None,
        device=chosen.device,
        dtypes=tuple(chosen.dtypes),
        train_dtype=chosen.train_dtype,
        attack_settings={name: getattr(chosen, name) for name in PAPER},
    )
