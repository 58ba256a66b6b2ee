"""How weights are trained: by Adam, or by the published recipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from art_snn.checks import invalid, require_count, require_number, require_whole

PUBLISHED_SIDE = 32


@dataclass(frozen=True, kw_only=True)
class Training:
    """Cross entropy by Adam, the learning rate annealed along a cosine to zero, step by step.

    :param epochs: passes over the samples.
    :param batch_size: samples per step.
    :param learning_rate: of the first step.
    :param seed: of the order of the samples and of whatever the network draws.
    :raises ValueError: for a count below 1 or a learning rate that is not positive.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        epochs = require_count("epochs", self.epochs, remedy="Training needs one at least.")
        batch_size = require_count("batch_size", self.batch_size, remedy="64 is usual.")
        rate = require_number(
            "learning_rate",
            self.learning_rate,
            above=0,
            remedy="1e-3 is usual for Adam, 0.1 for SGD.",
        )
        seed = require_whole("seed", self.seed, remedy="Use 0.")
        # Plain numbers, since they are written beside the weights.
        plain = {"epochs": epochs, "batch_size": batch_size, "learning_rate": rate}
        for name, value in {**plain, "seed": seed}.items():
            object.__setattr__(self, name, value)

    def optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of the weights."""
        return torch.optim.Adam(parameters, lr=self.learning_rate)

    def augmented(self, samples: Tensor) -> Tensor:
        """The samples of a step [N, ...] as the network sees them: here as they are."""
        return samples

    def check_samples(self, shape: tuple[int, ...]) -> None:
        """Whether samples of this shape, without the batch, can be trained on.

        :raises ValueError: when they cannot.
        """


@dataclass(frozen=True, kw_only=True)
class Recipe(Training):
    """The published recipe: the defaults are table S1 of the supplement of Bu et al. (CVPR 2023).

    Cross entropy by SGD with momentum; random crop, horizontal flip and Cutout by torchvision,
    drawn anew for every sample, one draw for all frames of an event recording. torchvision's hole
    (RandomErasing) lies inside the image; that of DeVries and Taylor (2017) may stick out.

    :param momentum: of SGD, in [0, 1).
    :param weight_decay: of all parameters.
    :param crop_padding: pixels of zeros around an image before it is cropped to its size, or 0.
    :param flip: whether half of the samples are mirrored left to right.
    :param cutout: side in pixels of the hole that is filled with zeros; 0 is none.
    :raises ValueError: for a number outside its range.
    """

    epochs: int = 200
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop_padding: int = 4
    flip: bool = True
    cutout: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, end in (("momentum", 1.0), ("weight_decay", float("inf"))):
            value = require_number(
                name, getattr(self, name), at_least=0, below=end, remedy="See table S1."
            )
            object.__setattr__(self, name, value)
        for name in ("crop_padding", "cutout"):
            pixels = require_whole(name, getattr(self, name), remedy="0 leaves it out.")
            object.__setattr__(self, name, pixels)
        if not isinstance(self.flip, bool | np.bool_):
            raise invalid(
                "flip", expected="True or False", got=repr(self.flip), remedy="False keeps sides."
            )
        object.__setattr__(self, "flip", bool(self.flip))

    def fitted(self, height: int, width: int) -> Recipe:
        """The same shares of another image size: padding and hole scaled from 32 pixels.

        :param height: of the images, in pixels.
        :param width: of the images, in pixels.
        """
        side = min(height, width) / PUBLISHED_SIDE
        return replace(
            self, crop_padding=round(self.crop_padding * side), cutout=round(self.cutout * side)
        )

    def optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """SGD with momentum and weight decay."""
        return torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )

    def augmented(self, samples: Tensor) -> Tensor:
        """Every sample [C, H, W], or [T, C, H, W], cropped, flipped and cut out for itself."""
        transform = self._transform(samples.shape[-2], samples.shape[-1])
        return torch.stack([transform(sample) for sample in samples])

    def check_samples(self, shape: tuple[int, ...]) -> None:
        """Whether samples are images or frames, and larger than the hole.

        :raises ValueError: when they are not.
        """
        draws = self.crop_padding or self.flip or self.cutout
        if draws and len(shape) < 3:
            raise invalid(
                "x",
                expected="samples [C, H, W] or [T, C, H, W], which can be cropped and flipped",
                got=f"samples of shape {list(shape)}",
                remedy="Use crop_padding=0, flip=False, cutout=0.",
            )
        if self.cutout and self.cutout >= min(shape[-2:]):
            raise invalid(
                "cutout",
                expected=f"a hole smaller than the images of {shape[-2]}x{shape[-1]} pixels",
                got=str(self.cutout),
                remedy="recipe.fitted(height, width) scales it; 0 leaves it out.",
            )

    def _transform(self, height: int, width: int) -> v2.Transform:
        parts: list[v2.Transform] = []
        if self.crop_padding:
            parts.append(v2.RandomCrop((height, width), padding=self.crop_padding))
        if self.flip:
            parts.append(v2.RandomHorizontalFlip())
        if self.cutout:
            share = self.cutout**2 / (height * width)
            parts.append(v2.RandomErasing(p=1.0, scale=(share, share), ratio=(1.0, 1.0)))
        return v2.Compose(parts or [v2.Identity()])
