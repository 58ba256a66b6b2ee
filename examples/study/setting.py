"""What the scripts of the study share: options, data, networks.

Every script trains the networks that it needs, or finds them in --output; run them in any order.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_snn import PyTorchSpikingClassifier
from art_snn.app.architecture import Architecture
from art_snn.app.network import ResolvedNetwork
from art_snn.app.settings import Train
from art_snn.app.train import train_network
from art_snn.attacks import craft, parse_stage
from art_snn.data import NAMES, Dataset, Source
from art_snn.gradients import Gradient

KINDS = ("plain", "other seed", "adversarial")
PAPER = {"eps": 2.55 / 255, "eps_step": 2 / 255, "iterations": 5}
"""Budget, step and steps of Bu et al. (CVPR 2023); the first two are shares of the value range."""


def subset(data: Dataset, train: int | None = None, test: int | None = None) -> Dataset:
    """Fewer samples, drawn by seed 0, each class in proportion; None keeps all.

    A smaller subset lies within a larger one."""
    kept, tested = (_thin(y, n) for y, n in ((data.y_train, train), (data.y_test, test)))
    training = {"x_train": data.x_train[kept], "y_train": data.y_train[kept]}
    testing = {"x_test": data.x_test[tested], "y_test": data.y_test[tested]}
    name = f"{data.name} ({len(kept)} + {len(tested)} samples, seed 0)"
    return replace(data, name=name, **training, **testing)


def _thin(y: np.ndarray, count: int | None) -> np.ndarray:
    """Indices of `count` samples: one of every class first, then the classes take turns."""
    if count is None:
        return np.arange(len(y))
    shuffled = np.random.default_rng(0).permutation(len(y))
    turn = np.empty(len(y))
    for members in (np.flatnonzero(y[shuffled] == label) for label in np.unique(y)):
        turn[members] = np.arange(len(members)) / len(members)
    return shuffled[np.argsort(turn, kind="stable")][:count]


@dataclass(frozen=True)
class Attack:
    """An attack in the maximum norm as art-snn takes it, with its budget in the unit of x."""

    text: str
    eps: float

    def craft(
        self,
        rule: Gradient,
        classifier: PyTorchSpikingClassifier,
        x: np.ndarray,
        y: np.ndarray,
        label: str,
    ) -> np.ndarray:
        """Adversarial samples of x [N, ...] of classes y [N], in batches of 50."""
        how: dict[str, Any] = {"norm": np.inf, "eps": self.eps, "batch_size": 50, "seed": 0}
        stage = parse_stage(self.text, np.inf, self.eps)
        return craft(stage, rule, classifier, x, y, progress_label=label, **how)

    def __str__(self) -> str:
        return f"{self.text}, eps {self.eps:.4g}"


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
        many = f"pgd(max_iter={iterations}, eps_step={eps_step * self.span})"
        return Attack(many if name == "pgd" else name, eps * self.span)

    def architecture(self, decay: float) -> Architecture:
        """The network without its weights."""
        return Architecture(model=self.model, width=self.width, steps=self.steps, decay=decay)

    def train(self, folder: Path, decay: float, **options: Any) -> Path:
        """The weights of a network in a folder, trained now where they are missing."""
        if not (folder / "network.safetensors").exists():
            form = {"model": self.model, "width": self.width, "steps": self.steps, "decay": decay}
            form |= {"output": folder, "device": self.device, "epochs": self.epochs, "cutout": 0}
            train_network(Train(**form | options), self.data)
            (folder / "training.pt").unlink()
        return folder / "network.safetensors"

    def train_short(self, folder: Path, decay: float, **options: Any) -> PyTorchSpikingClassifier:
        """A network that was trained by Adam on the samples as they are."""
        bare = {"optimizer": "adam", "learning_rate": 1e-3, "crop_padding": 0, "flip": False}
        file = self.train(folder, decay, **bare, **options)
        network = ResolvedNetwork(self.architecture(decay), file, Source())
        return network.classifier(self.data, self.device)

    def trained(self, decay: float, kind: str) -> ResolvedNetwork:
        """The network with its weights, from its folder or trained now.

        By the recipe of the papers, for fewer epochs, without Cutout. Adversarial training is
        against FGSM at the paper's budget by the mean of both gradients, so that the network is
        hardened against neither alone."""
        options: dict[str, Any] = {"seed": KINDS.index(kind) % 2, "flip": self.flip}
        options["train_dtype"] = self.train_dtype
        if kind == "adversarial":
            attack = self._attack("fgsm", **PAPER)
            options |= {"attack": attack.text, "eps": attack.eps, "attack_rule": "mean(rga, stbp)"}
        file = self.train(self.folder(decay, kind), decay, **options)
        return ResolvedNetwork(self.architecture(decay), file, Source())

    def network(self, decay: float, kind: str) -> PyTorchSpikingClassifier:
        """The trained network as ART sees it."""
        return self.trained(decay, kind).classifier(self.data, self.device)

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
    add("--output", type=Path, default=Path("results/study"))
    add("--decays", type=float, nargs="+", default=[1.0, 0.9, 0.5])
    add("--model", default="vgg5", help="as in art-snn train")
    add("--width", type=float, default=0.25, help="of the model")
    add("--steps", type=int, default=8)
    add("--epochs", type=int, default=10)
    add("--train", type=int, help="training samples, all unless given")
    add("--samples", type=int, default=500, help="test samples under attack")
    add("--no-flip", action="store_true", help="mirror no training sample")
    for name, value in PAPER.items():
        add(f"--{name.replace('_', '-')}", type=type(value), default=value)
    add("--train-dtype", help="as in art-snn train")
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--small", action="store_true")
    chosen = parser.parse_args()
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    limits = None if chosen.value_range is None else tuple(chosen.value_range)
    data = Source(data=chosen.data, root=chosen.root, value_range=limits).load()
    if chosen.small:
        data = subset(data, train=200, test=40)
    elif chosen.train is not None:
        data = subset(data, train=chosen.train)
    return Study(
        data=data,
        output=chosen.output / "small" if chosen.small else chosen.output,
        decays=(1.0, 0.5) if chosen.small else tuple(chosen.decays),
        model=chosen.model,
        width=1 / 16 if chosen.small else chosen.width,
        steps=2 if chosen.small else data.steps or chosen.steps,
        epochs=1 if chosen.small else chosen.epochs,
        samples=16 if chosen.small else chosen.samples,
        flip=False if chosen.no_flip else None if chosen.data in NAMES else True,
        device=chosen.device,
        train_dtype=chosen.train_dtype,
        attack_settings={name: getattr(chosen, name) for name in PAPER},
    )
