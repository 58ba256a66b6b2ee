"""The cost protocol of table S2 of Bu et al. (CVPR 2023): PGD over a validation set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from art_snn.checks import invalid, require_count, require_number
from art_snn.data import Dataset
from art_snn.encoders import Frames
from art_snn.evaluation.attacks import Attack
from art_snn.evaluation.cost.machine import require_device, require_threads
from art_snn.gradients import resolve
from art_snn.models import MODELS
from art_snn.network import SpikingNetwork

INFERENCE = "inference"
RANDOM = "random images"
PGD = Attack(eps=2.55 / 255, eps_step=2 / 255, iterations=5)
"""PGD at the settings of the paper."""


@dataclass(frozen=True, kw_only=True)
class TableS2:
    """What is attacked and how, for every model and number of time steps.

    The weights are untrained, and so may the images be random: PGD as ART runs it takes all its
    iterations whatever it meets, so neither changes what is computed.

    :param models: names of art_snn.models.MODELS.
    :param steps: time steps T, each with every model.
    :param rules: names of GRADIENTS that PGD runs by.
    :param batch: samples per gradient.
    :param samples: images under attack; None is all of a data set.
    :param attack: the attack; :data:`PGD` is the paper's.
    :param data: name of the data set, or :data:`RANDOM`; set by :meth:`over`.
    :param image_size: side of the images, or (height, width), in pixels.
    :param channels: of the images.
    :param classes: number of classes K.
    :param decay: decay of the neurons.
    :param width: factor of all widths of the models.
    :param device: "cpu" or "cuda".
    :param threads: threads of torch on the CPU; None leaves torch's choice.
    :param keep_memory: keep freed memory in the measuring processes
        (:func:`art_snn.evaluation.memory.keep_freed_memory`).
    :param repeats: rounds behind each median.
    :raises ValueError: for an unknown name, one named twice, a count below 1, a rule that does not
        apply to the neurons, a model of event frames, or CUDA where there is none.
    """

    models: tuple[str, ...] = ("vgg11", "vgg16", "resnet17")
    steps: tuple[int, ...] = (4, 8, 16, 32)
    rules: tuple[str, ...] = ("rga", "stbp")
    batch: int = 32
    samples: int | None = 32
    attack: Attack = PGD
    data: str = RANDOM
    image_size: int | tuple[int, int] = 32
    channels: int = 3
    classes: int = 10
    decay: float = 0.5
    width: float = 1.0
    device: str = "cpu"
    threads: int | None = None
    keep_memory: bool = False
    repeats: int = 3

    def __post_init__(self) -> None:
        for name in ("models", "steps", "rules"):
            _require_different(name, getattr(self, name))
        for model in self.models:
            if model not in MODELS:
                raise invalid(
                    "models",
                    expected=f"names out of {', '.join(MODELS)}",
                    got=repr(model),
                    remedy="Separate them by commas.",
                )
        for steps in self.steps:
            require_count("steps", steps, remedy="The paper uses T = 8.")
        for name in ("batch", "repeats"):
            require_count(name, getattr(self, name), remedy="Use a whole number from 1.")
        if self.samples is not None:
            require_count("samples", self.samples, remedy="One batch of the paper is 32.")
        require_number("width", self.width, above=0, remedy="1 is the width of the paper.")
        require_threads(self.threads)
        for rule in self.rules:
            resolve(rule, "rules")
        require_device(self.device)
        for model in self.models:
            self._try(model)

    def _try(self, model: str) -> None:
        """Build the model without memory for its weights, so that bad options show at once."""
        with torch.device("meta"):
            network = self.network(model, 1)
        for rule in self.rules:
            with network.using(rule):
                pass

    @property
    def rows(self) -> tuple[str, ...]:
        """What is measured of every network: inference over the images, and PGD by every rule."""
        return (INFERENCE, *self.rules)

    def network(self, model: str, steps: int) -> SpikingNetwork:
        """The untrained network on torch's current device, in evaluation mode."""
        network = MODELS[model](
            in_channels=self.channels,
            classes=self.classes,
            image_size=self.image_size,
            steps=steps,
            decay=self.decay,
            width=self.width,
        )
        if isinstance(network.encoder, Frames):
            raise invalid(
                "models",
                expected="models of images",
                got=f"{model}, which takes event frames",
                remedy="Its gradient can be measured by the protocol gradient.",
            )
        return network.eval()

    def over(self, dataset: Dataset) -> TableS2:
        """The protocol over the test images of a data set, the first `samples` of them or all.

        :raises ValueError: when there are fewer, or it holds event frames.
        """
        if dataset.events:
            raise invalid(
                "data",
                expected="images",
                got=f"{dataset.name}, which holds event frames",
                remedy="Attack event frames with art-snn compare, which times every gradient.",
            )
        count, channels, *sides = dataset.x_test.shape
        samples = count if self.samples is None else self.samples
        if samples > count:
            raise invalid(
                "samples",
                expected=f"at most the {count} test images of {dataset.name}",
                got=str(samples),
                remedy="Ask for all of them, or for fewer.",
            )
        height, width = sides
        return replace(
            self,
            samples=samples,
            data=dataset.name,
            image_size=height if height == width else (height, width),
            channels=channels,
            classes=dataset.classes,
        )

    def images(self, dataset: Dataset | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Images (samples, C, H, W) in [0, 1] and one-hot labels (samples, K).

        :param dataset: what :meth:`over` was given; None draws uniform random images and labels.
        :raises ValueError: when all random images are asked for.
        """
        if dataset is not None:
            labels = dataset.y_test[: self.samples]
            images = dataset.x_test[: self.samples].astype(np.float32)
        elif self.samples is None:
            raise invalid(
                "samples",
                expected="a number, for random images have no end",
                got="all",
                remedy="Give a number, or a data set.",
            )
        else:
            generator = np.random.default_rng(0)
            size = self.image_size
            sides = (size, size) if isinstance(size, int) else size
            shape = (self.samples, self.channels, *sides)
            images = generator.random(shape, dtype=np.float32)
            labels = generator.integers(0, self.classes, self.samples)
        return images, np.eye(self.classes, dtype=np.float32)[labels]


def _require_different(argument: str, values: Sequence[object]) -> None:
    if not values or len(set(values)) < len(values):
        raise invalid(
            argument,
            expected="at least one, and each once",
            got=", ".join(map(str, values)) or "none",
            remedy="Separate them by commas.",
        )
