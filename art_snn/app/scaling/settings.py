from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from art_snn.app.annotations import Folder, Open
from art_snn.app.attack import Attack
from art_snn.app.base import Experiment
from art_snn.app.resume import converter, expect
from art_snn.checks import require, require_count, require_distinct, set_counts
from art_snn.data import RANDOM, Dataset, Source
from art_snn.dynamics import MOST_STEPS
from art_snn.encoders import Frames
from art_snn.gradients import Gradient, check_applicable, parse_rules
from art_snn.measuring.machine import Device, require_device
from art_snn.measuring.workload import INFERENCE, CostRow, Workload, network_of, random_samples
from art_snn.models import DEFAULTS, Architecture
from art_snn.models.options import MOST_CHANNELS
from art_snn.models.own import is_own, source_digest

PGD = Attack(eps=2.55 / 255, eps_step=2 / 255, iterations=5)
"""PGD at the settings of the paper."""


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Measure how time and memory of PGD grow with the time steps, on this machine.

    The weights are untrained and the images may be random: PGD always takes all its iterations.

    :param device: what is measured: cpu, or gpu, which has to be there.
    :param models: names of models, or functions of yours (file.py:function), separated by commas.
    :param steps: time steps T, separated by commas, each with every model.
    :param rules: names of the rules that the attack runs with, separated by commas.
    :param width: factor of the layers' widths [1].
    :param decay: decay of the neurons [0.5].
    :param attack: the attack; its defaults are the paper's, a step of 2/255 and 5 iterations.
    :param source: the data: random, or a data set of images.
    :param channels: of random images [3].
    :param samples: images under attack, or all.
    :param batch_size: samples per gradient.
    :param repeats: rounds behind each median.
    :param keep_memory: keep freed memory in the measuring processes (glibc)."""

    output: Folder = Path("scaling")
    device: Device = "cpu"
    models: tuple[str, ...] = ("vgg11", "vgg16", "resnet17")
    steps: tuple[int, ...] = (4, 8, 16, 32)
    rules: Mapping[str, Gradient] = field(default_factory=lambda: parse_rules("rga,stbp"))
    width: Open[float] = None
    decay: Open[float] = None
    attack: Attack = PGD
    source: Source = field(default_factory=lambda: Source(data=RANDOM))
    channels: Open[int] = None
    samples: int | Literal["all"] = 32
    batch_size: int = 32
    repeats: int = 3
    keep_memory: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("models", "steps", "rules"):
            require_distinct(name, getattr(self, name))
        for steps in self.steps:
            require_count("steps", steps, up_to=MOST_STEPS, remedy="The paper uses T = 8.")
        set_counts(self, "batch_size", "repeats")
        set_counts(self, "channels", up_to=MOST_CHANNELS)
        if self.samples != "all":
            require_count("samples", self.samples, remedy="One batch of the paper is 32.")
        self.source.check_random(self.channels)
        ends, remedy = self.samples != "all" or not self.source.random, "Give one, or a data set."
        require(ends, "samples", "a number, for random images have no end", "all", remedy)
        require_device(self.device)
        for model in self.models:
            self._try(model)

    @property
    def rows(self) -> tuple[CostRow, ...]:
        """What is measured of every network: inference over the images, and PGD with every rule."""
        return (INFERENCE, *(CostRow("rule", name) for name in self.rules))

    def architecture(self, model: str) -> Architecture:
        """The network of that name, but for its time steps."""
        return Architecture(model=model, width=self.width, decay=self.decay)

    def workload(self, images: "Images", model: str, steps: int, threads: int) -> Workload:
        """One model at one T under attack."""
        names = ("batch_size", "device", "keep_memory")
        same: dict[str, Any] = {name: getattr(self, name) for name in names}
        same |= {"steps": steps, "threads": threads, "rules": dict(self.rules)}
        same |= {"attack": self.attack.stage, "eps": self.attack.eps}
        return Workload(architecture=self.architecture(model), x=images.x, y=images.y, **same)

    def _try(self, model: str) -> None:
        """Build the model without memory for its weights, so that bad options show at once."""
        architecture = self.architecture(model)
        with torch.device("cpu" if architecture.is_own else "meta"):
            network = network_of(architecture, self.steps[0])
        images, remedy = not isinstance(network.encoder, Frames), "art-snn cost takes it."
        got = f"{model}, which takes event frames"
        require(images, "models", "models of images", got, remedy)
        for rule in self.rules.values():
            check_applicable(rule, network.sites(), "rules", network.encoder)

    def images(self) -> "Images":
        """The images under attack."""
        if not self.source.random:
            return self._of(self.source.load())
        architecture = self.architecture(self.models[0])
        sizes: dict[str, Any] = {"channels": self.channels, "image_size": self.source.image_size}
        # A model of another framework may go over no other steps than those that are asked for.
        sizes |= {"steps": self.steps[0]} if architecture.is_own else {}
        x, y = random_samples(architecture, int(self.samples), **sizes)
        return Images("random images", x, y)

    def _of(self, data: Dataset) -> "Images":
        got = f"{data.name}, which holds event frames"
        remedy = "Attack event frames with art-snn compare, which times every gradient."
        require(not data.events, "data", "images", got, remedy)
        count, remedy = len(data.x_test), "Ask for all of them, or fewer."
        samples = count if self.samples == "all" else self.samples
        expected = f"at most the {count} test images of {data.name}"
        require(samples <= count, "samples", expected, samples, remedy)
        labels = np.eye(data.classes, dtype=np.float32)[data.y_test[:samples]]
        return Images(data.name, data.x_test[:samples].astype(np.float32), labels)


@dataclass(frozen=True)
class Images:
    """What is attacked: images x (N, C, H, W) in [0, 1] of some name, one-hot labels y (N, K)."""

    name: str
    x: np.ndarray
    y: np.ndarray


def _sides(sides: Any, _: object) -> int | list[int]:
    several = sides if isinstance(sides, list) else [sides]
    expect(several and all(type(s) is int for s in several), "a side or two sides", sides)
    return sides  # type: ignore[no-any-return]


converter.register_structure_hook(int | list[int], _sides)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What was measured, for JSON: settings, code of the user's own functions, form of images."""

    models: list[str]
    steps: list[int]
    rules: list[str]
    batch_size: int
    samples: int
    attack: dict[str, Any]
    data: str
    image_size: int | list[int]
    channels: int
    classes: int
    decay: float | None
    width: float | None
    device: str
    threads: int | None
    keep_memory: bool
    repeats: int
    sources: list[str]

    @classmethod
    def of(cls, settings: Settings, images: Images) -> "Protocol":
        """What these settings measure on these images."""
        _, channels, height, width = images.x.shape
        same = ("batch_size", "device", "threads", "keep_memory", "repeats")
        given = dict(settings.architecture(settings.models[0]).given)
        given |= dict.fromkeys(("decay", "width")) if all(map(is_own, settings.models)) else {}
        return cls(
            models=list(settings.models),
            steps=list(settings.steps),
            rules=list(settings.rules),
            sources=[source_digest(model)[:16] for model in settings.models if is_own(model)],
            samples=len(images.x),
            attack=settings.attack.as_dict(),
            data=images.name,
            image_size=height if height == width else [height, width],
            channels=channels,
            classes=images.y.shape[1],
            **{name: given.get(name, DEFAULTS[name]) for name in ("decay", "width")},
            **{name: getattr(settings, name) for name in same},
        )
