"""The cost protocol of table S2 of Bu et al. (CVPR 2023): PGD over a validation set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from art_snn.attacks import Attack
from art_snn.checks import invalid, require_count, require_number
from art_snn.data import Dataset, Source
from art_snn.encoders import Frames
from art_snn.experiments.base import Experiment
from art_snn.flags import Open
from art_snn.gradients import Gradient, check_applicable, named
from art_snn.measuring.machine import require_device
from art_snn.measuring.workload import INFERENCE, network_of, random_samples
from art_snn.models import Architecture

RANDOM = "random"
"""In the place of a data set: uniform random images."""

PGD = Attack(eps=2.55 / 255, eps_step=2 / 255, iterations=5)
"""PGD at the settings of the paper."""


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """How time and memory of PGD grow with the time steps, on this machine.

    The weights are untrained, and so may the images be random: PGD as ART runs it takes all its
    iterations whatever it meets, so neither changes what is computed.

    :param models: names of models, separated by commas, or functions of yours: file.py:function.
    :param steps: time steps T, separated by commas, each with every model.
    :param rules: names of rules that the attack runs by, separated by commas.
    :param width: factor of all widths of the models [1].
    :param decay: of their neurons [0.5].
    :param attack: the attack; its defaults are the paper's.
    :param source: the data: random, or a data set of images.
    :param channels: of random images [3].
    :param samples: images under attack, or all.
    :param batch_size: samples per gradient.
    :param repeats: rounds behind each median.
    :param keep_memory: keep freed memory in the measuring processes (glibc).
    :raises ValueError: for an unknown name, one named twice, a count below 1, a rule that does not
        apply to the neurons, a model of event frames, or a GPU where there is none.
    """

    output: Path = Path("scaling")
    device: str = "cpu"
    models: tuple[str, ...] = ("vgg11", "vgg16", "resnet17")
    steps: tuple[int, ...] = (4, 8, 16, 32)
    rules: Mapping[str, Gradient] = field(
        default_factory=lambda: {name: named(name) for name in ("rga", "stbp")}
    )
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
            _require_different(name, list(getattr(self, name)))
        for steps in self.steps:
            require_count("steps", steps, remedy="The paper uses T = 8.")
        for name in ("batch_size", "repeats"):
            require_count(name, getattr(self, name), remedy="Use a whole number from 1.")
        if self.samples != "all":
            require_count("samples", self.samples, remedy="One batch of the paper is 32.")
        elif self.random:
            raise invalid(
                "samples",
                "a number, for random images have no end",
                "all",
                "Give a number, or a data set.",
            )
        if self.width is not None:
            require_number("width", self.width, above=0, remedy="1 is the width of the paper.")
        if self.channels is not None and not self.random:
            raise invalid(
                "channels",
                f"None beside {self.source.data}, whose images have channels",
                self.channels,
                "Leave it out.",
            )
        if self.random:
            _check_random(self.source, self.channels)
        require_device(self.device)
        for model in self.models:
            self._try(model)

    @property
    def random(self) -> bool:
        """Whether random images are attacked."""
        return self.source.data == RANDOM

    @property
    def rows(self) -> tuple[str, ...]:
        """What is measured of every network: inference over the images, and PGD by every rule."""
        return (INFERENCE, *self.rules)

    def architecture(self, model: str) -> Architecture:
        """The network of that name, but for its time steps."""
        return Architecture(model=model, width=self.width, decay=self.decay)

    def _try(self, model: str) -> None:
        """Build the model without memory for its weights, so that bad options show at once."""
        architecture = self.architecture(model)
        if architecture.is_own:
            network = network_of(architecture, self.steps[0])
        else:
            with torch.device("meta"):
                network = network_of(architecture, 1)
        if isinstance(network.encoder, Frames):
            raise invalid(
                "models",
                "models of images",
                f"{model}, which takes event frames",
                "Its gradient can be measured by art-snn cost.",
            )
        for rule in self.rules.values():
            check_applicable(rule, network.sites(), "rules", network.encoder)

    def images(self) -> Images:
        """The images under attack.

        :raises FileNotFoundError: when the data are not there.
        :raises ValueError: when there are fewer than asked for, or they are event frames.
        """
        if self.random:
            assert self.samples != "all"
            x, y = random_samples(
                self.architecture(self.models[0]),
                self.samples,
                channels=self.channels,
                image_size=_side(self.source),
            )
            return Images("random images", x, y)
        return self._of(self.source.load())

    def _of(self, dataset: Dataset) -> Images:
        if dataset.events:
            raise invalid(
                "data",
                "images",
                f"{dataset.name}, which holds event frames",
                "Attack event frames with art-snn compare, which times every gradient.",
            )
        count = len(dataset.x_test)
        samples = count if self.samples == "all" else self.samples
        if samples > count:
            raise invalid(
                "samples",
                f"at most the {count} test images of {dataset.name}",
                str(samples),
                "Ask for all of them, or for fewer.",
            )
        labels = np.eye(dataset.classes, dtype=np.float32)[dataset.y_test[:samples]]
        return Images(dataset.name, dataset.x_test[:samples].astype(np.float32), labels)


@dataclass(frozen=True)
class Images:
    """What is attacked.

    :param name: of the data.
    :param x: images (N, C, H, W) in [0, 1].
    :param y: one-hot labels (N, K).
    """

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What was measured, for JSON.

    :param image_size: side of the images, or [height, width].
    :param classes: number of classes K.
    """

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
    decay: float
    width: float
    device: str
    threads: int | None
    keep_memory: bool
    repeats: int

    @classmethod
    def of(cls, settings: Settings, images: Images) -> Protocol:
        """What these settings measure on these images."""
        _, channels, height, width = images.x.shape
        same = ("batch_size", "device", "threads", "keep_memory", "repeats")
        return cls(
            models=list(settings.models),
            steps=list(settings.steps),
            rules=list(settings.rules),
            samples=len(images.x),
            attack=asdict(settings.attack),
            data=images.name,
            image_size=height if height == width else [height, width],
            channels=channels,
            classes=images.y.shape[1],
            decay=0.5 if settings.decay is None else settings.decay,
            width=1.0 if settings.width is None else settings.width,
            **{name: getattr(settings, name) for name in same},
        )


def _side(source: Source) -> int | None:
    size = source.image_size
    if isinstance(size, tuple):
        raise invalid(
            "image_size", "the side of square images", repr(size), "Random images are square."
        )
    return size


def _require_different(argument: str, values: Sequence[object]) -> None:
    if not values or len(set(values)) < len(values):
        raise invalid(
            argument,
            "at least one, and each once",
            ", ".join(map(str, values)) or "none",
            "Separate them by commas.",
        )


def _check_random(source: Source, channels: int | None) -> None:
    """Refuse what random images cannot have, or have no use for; no data set does it here."""
    for name, value in {"channels": channels, "image_size": source.image_size}.items():
        if value is not None and not isinstance(value, tuple):
            require_count(name, value, remedy="The paper has 3 channels of 32x32 pixels.")
    for name in ("value_range", "frames", "axes", "test_share"):
        if getattr(source, name) is not None:
            got = repr(getattr(source, name))
            raise invalid(name, "None for random images", got, "Leave it out, or name data.")
