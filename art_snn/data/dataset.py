"""Training and test samples, and the values that an attack on them may use."""

import math
from dataclasses import dataclass, replace

import numpy as np

from art_snn.checks import invalid, require, set_fields
from art_snn.data.samples import (
    check_kind,
    check_shapes,
    check_values,
    checked_labels,
    checked_range,
)
from art_snn.data.split import stratified, thin


@dataclass(frozen=True)
class Dataset:
    """Samples float32, images [N, C, H, W] or event frames [N, T, C, H, W], and classes [N] int64.

    :param name: in titles and in the notes of trained weights.
    :param x_train, y_train: training samples and their class indices.
    :param x_test, y_test: test samples, of the same shape, and their class indices.
    :param value_range: (low, high) of the values that samples may have, attacked ones included
        (ART's clip_values). None: unknown, as for event frames that hold counts.
    :param mirrored: whether a mirrored sample is still one of its class. Numerals and gestures of a
        left or right arm are not.
    :raises ValueError: for samples of other or differing shapes, with the channels last, outside
        the range or not finite; for labels other than one class index per sample from 0 to 99,999;
        and for a bad range."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    value_range: tuple[float, float] | None = (0.0, 1.0)
    mirrored: bool = True

    def __post_init__(self) -> None:
        if self.value_range is not None:
            set_fields(self, value_range=checked_range(self.value_range))
        for name in ("x_train", "x_test"):
            check_kind(name, getattr(self, name))
        check_shapes(self.x_train, self.x_test)
        for part in ("train", "test"):
            x, label = getattr(self, f"x_{part}"), f"y_{part}"
            set_fields(self, **{label: checked_labels(label, getattr(self, label), len(x))})
            check_values(f"x_{part}", x, self.value_range)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes, counted over training and test labels."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def events(self) -> bool:
        """Whether the samples are event frames, with a time axis of their own."""
        return self.x_train.ndim == 5

    @property
    def steps(self) -> int | None:
        """Number of frames T of event frames; None for images."""
        return int(self.x_train.shape[1]) if self.events else None

    def clip_values(self, what: str = "an attack") -> tuple[float, float]:
        """The value range; a ValueError where there is none says that `what` needs it."""
        if self.value_range is not None:
            return self.value_range
        samples = [x for x in (self.x_train, self.x_test) if x.size]
        least, most = min(float(x.min()) for x in samples), max(float(x.max()) for x in samples)
        low, high = min(0, math.floor(least)), max(math.ceil(most), 1)
        flag = f"on the command line --value-range {low},{high}"
        remedy = f"Say which values may occur: value_range=({low}, {high}), {flag}."
        got = f"None, for {self.name} with values from {least:g} to {most:g}"
        raise invalid("value_range", f"the range that {what} may use", got, remedy)

    def held_out(self, share: float = 0.1, seed: int = 0, argument: str = "share") -> "Dataset":
        """Training samples split anew, for choices that must not see the test samples.

        :param share: of the training samples that are held out, between 0 and 1.
        :param seed: of the split, which keeps the classes' proportions.
        :param argument: the share's name in complaints.
        :return: the other training samples, with those held out as x_test and y_test.
        :raises ValueError: for another share, a class of one sample, or too few samples."""
        rest, held = stratified(self.y_train, share, seed, argument)
        name = f"{self.name} (validation {share:g}, seed {seed})"
        training = {"x_train": self.x_train[rest], "y_train": self.y_train[rest]}
        testing = {"x_test": self.x_train[held], "y_test": self.y_train[held]}
        return replace(self, name=name, **training, **testing)

    def subset(self, train: int | None = None, test: int | None = None, seed: int = 0) -> "Dataset":
        """Fewer samples, for quick studies; each class in proportion to its share.

        A smaller subset of the same seed lies within a larger one.

        :param train, test: number of training and of test samples; None keeps all.
        :raises ValueError: for a count below 1, above what there is, or that loses a class."""
        kept = thin(self.y_train, train, seed, "train")
        tested = thin(self.y_test, test, seed, "test")
        training = {"x_train": self.x_train[kept], "y_train": self.y_train[kept]}
        testing = {"x_test": self.x_test[tested], "y_test": self.y_test[tested]}
        name = f"{self.name} ({len(kept)} + {len(tested)} samples, seed {seed})"
        part = replace(self, name=name, **training, **testing)
        expected = f"a count that reaches all {self.classes} classes"
        got = f"{len(kept)}, and {len(tested)} for testing"
        remedy = "Take at least one sample per class."
        require(part.classes >= self.classes, "train", expected, got, remedy)
        return part
