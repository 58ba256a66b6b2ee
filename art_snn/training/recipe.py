"""The recipe of a training: optimizer, schedule, augmentation and precision."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from art_snn.checks import (
    require,
    require_choice,
    require_count,
    require_number,
    require_seed,
    require_whole,
    set_fields,
)

_PUBLISHED_SIDE = 32
_SMALLEST_SIDE = 16
"""Sides of images in pixels: of those of the papers, and of the smallest that are cropped."""

_OPTIMIZERS = {
    "sgd": {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
    "adam": {"learning_rate": 0.01, "weight_decay": 0.0},
}
"""Numbers of each optimizer where nothing else is asked for."""

_BOUNDS: dict[str, dict[str, Any]] = {
    "learning_rate": {"above": 0.0, "within": (0.0, 100.0)},
    "momentum": {"at_least": 0.0, "below": 1.0},
    "weight_decay": {"at_least": 0.0, "within": (0.0, 1.0)},
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How weights are trained; by default as in table S1 of Bu et al. (CVPR 2023, supplement).

    Cross entropy; the learning rate falls along a cosine to zero, step by step.
    torchvision crops, flips and cuts out, drawn for every sample; all frames of an event
    recording share a draw. Its hole (RandomErasing) lies inside the image; that of
    DeVries and Taylor (2017) may stick out.

    :param epochs: passes over the samples.
    :param batch_size: samples per step.
    :param optimizer: sgd, as in the papers, or adam.
    :param learning_rate: of the first step, 100 at most [sgd: 0.1; adam: 0.01].
    :param momentum: of SGD, in [0, 1) [0.9].
    :param weight_decay: of all parameters, 1 at most [sgd: 5e-4; adam: 0].
    :param crop_padding: pixels of zeros around an image before it is cropped to its size,
        or 0 [4 around 32 pixels, and the same share of other images; 0 below 16 pixels].
    :param flip: mirror half of the samples left to right
        [only where the data say that it leaves their classes].
    :param turn: mirror half of the samples top to bottom, and swap the sides of half, where
        they are square: for images from above, together with `flip`.
    :param cutout: side in pixels of the hole that is filled with zeros; 0 is none
        [16 of 32, and the same share; 0 below 16].
    :param seed: of the order of the samples and of whatever the network draws.
    :param train_dtype: precision in which layers compute: bfloat16, or auto, which is
        bfloat16 where the device multiplies it natively [the network's own]. Weights,
        optimizer, batch norm's statistics, logits, loss and validation keep the
        network's.
    :raises ValueError: for a number outside its range, momentum of Adam, or another
        precision."""

    epochs: int = 200
    batch_size: int = 64
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    crop_padding: int | None = None
    flip: bool | None = None
    turn: bool = False
    cutout: int | None = None
    seed: int = 0
    train_dtype: str | None = None
    left_open: ClassVar[frozenset[str]] = frozenset()
    """Names of what this recipe has from its optimizer, which a defence may settle otherwise."""

    @classmethod
    def short(cls, epochs: int = 10, seed: int = 0, **change: Any) -> "Recipe":
        """A short training by Adam on the samples as they are, for networks to measure on."""
        bare: dict[str, Any] = {
            "optimizer": "adam",
            "crop_padding": 0,
            "flip": False,
            "cutout": 0,
        }
        return cls(epochs=epochs, seed=seed, **bare | change)

    def __post_init__(self) -> None:
        self._settle_optimizer()
        for name in ("epochs", "batch_size"):
            count = require_count(
                name, getattr(self, name), remedy="Use a whole number from 1."
            )
            set_fields(self, **{name: count})
        for name in ("crop_padding", "cutout"):
            value = getattr(self, name)
            if value is not None:
                value = require_whole(name, value, up_to=1024, remedy="0 is none.")
                set_fields(self, **{name: value})
        if self.flip is not None:
            require(
                isinstance(self.flip, bool | np.bool_),
                "flip",
                "True or False",
                repr(self.flip),
                "False keeps sides.",
            )
            set_fields(self, flip=bool(self.flip))

        dtype: Any = self.train_dtype
        if dtype is torch.bfloat16:
            dtype = "bfloat16"
        if dtype is not None:
            require_choice(
                "train_dtype",
                dtype,
                ("bfloat16", "auto"),
                remedy="In float16 gradients vanish unless the loss is scaled.",
            )
        set_fields(self, seed=require_seed("seed", self.seed), train_dtype=dtype)

    def _settle_optimizer(self) -> None:
        """Check the numbers of the optimizer; its usual ones stand for those left open."""
        require_choice(
            "optimizer", self.optimizer, _OPTIMIZERS, remedy="Take sgd, as the papers do."
        )
        usual = _OPTIMIZERS[self.optimizer]
        require(
            "momentum" in usual or self.momentum is None,
            "momentum",
            f"None for {self.optimizer}, which has none",
            self.momentum,
            "Leave it out, or take sgd.",
        )
        left_open = frozenset(name for name in usual if getattr(self, name) is None)
        set_fields(self, left_open=left_open)
        for name, value in usual.items():
            number = value if name in left_open else getattr(self, name)
            number = require_number(name, number, **_BOUNDS[name], remedy="See table S1.")
            set_fields(self, **{name: number})

    def fit_to(self, shape: tuple[int, ...], mirrored: bool = False) -> "Recipe":
        """This recipe, with open augmentation fitted to samples of that shape.

        :param mirrored: True if mirrored samples are still of their class."""
        is_image = len(shape) >= 3
        pixels = min(shape[-2:]) if is_image else 0
        side = pixels / _PUBLISHED_SIDE if pixels >= _SMALLEST_SIDE else 0.0
        usual: dict[str, Any] = {
            "crop_padding": round(4 * side),
            "cutout": round(16 * side),
            "flip": is_image and mirrored,
        }
        left_open = {
            name: value for name, value in usual.items() if getattr(self, name) is None
        }
        fitted = replace(self, **left_open)
        set_fields(fitted, left_open=self.left_open)
        return fitted

    @property
    def augments(self) -> bool:
        """True if samples are changed at random."""
        return bool(self.crop_padding or self.flip or self.turn or self.cutout)

    def build_optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of the weights."""
        numbers = {k: getattr(self, k) for k in _OPTIMIZERS[self.optimizer]}
        kind = torch.optim.SGD if self.optimizer == "sgd" else torch.optim.Adam
        return kind(parameters, lr=numbers.pop("learning_rate"), **numbers)

    def augment(self, samples: Tensor) -> Tensor:
        """Every sample [C, H, W], or [T, C, H, W], cropped, mirrored and cut out for itself."""
        if not self.augments:
            return samples
        # torchvision draws on torch's default device.
        with samples.device:
            sides = samples.shape[-2:]
            transforms = []

            if self.crop_padding:
                crop = v2.RandomCrop(sides, padding=self.crop_padding)
                transforms.append(crop)
            if self.flip:
                transforms.append(v2.RandomHorizontalFlip())
            if self.turn:
                transforms.append(v2.RandomVerticalFlip())
            if self.turn and sides[0] == sides[1]:
                transforms.append(v2.RandomApply([v2.Lambda(lambda one: one.mT)]))
            if self.cutout:
                share = self.cutout**2 / sides.numel()
                hole = v2.RandomErasing(p=1.0, scale=(share, share), ratio=(1.0, 1.0))
                transforms.append(hole)

            transform = v2.Compose(transforms)
            return torch.stack([transform(sample) for sample in samples])

    def check_samples(self, shape: tuple[int, ...]) -> None:
        """Refuse samples that are no images or frames, or not larger than the hole."""
        require(
            len(shape) >= 3 or not self.augments,
            "x",
            "samples [C, H, W] or [T, C, H, W], which can be cropped and flipped",
            f"samples of shape {list(shape)}",
            "Use crop_padding=0, flip=False, turn=False, cutout=0.",
        )
        require(
            not self.cutout or self.cutout < min(shape[-2:]),
            "cutout",
            f"a hole smaller than the images of {'x'.join(map(str, shape[-2:]))} pixels",
            self.cutout,
            "Leave it open to have it scaled; 0 is none.",
        )


def compute_dtype(
    train_dtype: str | None, device: torch.device
) -> tuple[torch.dtype | None, str]:
    """The dtype in which layers are trained, None for the network's own, and why."""
    if train_dtype is None:
        return None, ""
    if train_dtype != "auto":
        return torch.bfloat16, train_dtype
    name = "the processor"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    if _multiplies_bfloat16(device):
        return torch.bfloat16, f"bfloat16, which {name} multiplies natively"
    return None, f"no bfloat16, which {name} does not multiply natively"


def _multiplies_bfloat16(device: torch.device) -> bool:
    """True if products of bfloat16 are native: with AMX, AVX-512 BF16 or CUDA capability 8 on."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    asked = [getattr(torch.cpu, name, None) for name in names]
    return any(supported() for supported in asked if callable(supported))


def autocast(
    train_dtype: str | None, device: torch.device
) -> AbstractContextManager[object]:
    """A block in which layers with weights compute in half precision, and weights keep theirs."""
    dtype, _ = compute_dtype(train_dtype, device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
