"""Training and test samples, which of them are accepted, and how they are split."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from sklearn.model_selection import train_test_split

from art_snn.checks import invalid, require, require_count, require_sides, set_fields

ImageSize = int | tuple[int, int]
"""A side of a square, or (height, width), in pixels."""

TEST_SHARE = 0.2
"""Share for testing where a data set has no split of its own and no other is asked for."""

MOST_CLASSES = 100_000
"""Networks have an output for every class up to the largest label: 10**9 would take gigabytes."""


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
            set_fields(self, value_range=require_range(self.value_range))
        for name in ("x_train", "x_test"):
            check_kind(name, getattr(self, name))
        _check_shapes(self.x_train, self.x_test)
        for part in ("train", "test"):
            x, label = getattr(self, f"x_{part}"), f"y_{part}"
            set_fields(self, **{label: require_labels(label, getattr(self, label), len(x))})
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
        kept = _thin(self.y_train, train, seed, "train")
        tested = _thin(self.y_test, test, seed, "test")
        training = {"x_train": self.x_train[kept], "y_train": self.y_train[kept]}
        testing = {"x_test": self.x_test[tested], "y_test": self.y_test[tested]}
        name = f"{self.name} ({len(kept)} + {len(tested)} samples, seed {seed})"
        part = replace(self, name=name, **training, **testing)
        expected = f"a count that reaches all {self.classes} classes"
        got = f"{len(kept)}, and {len(tested)} for testing"
        remedy = "Take at least one sample per class."
        require(part.classes >= self.classes, "train", expected, got, remedy)
        return part


def require_range(value_range: object) -> tuple[float, float]:
    """(low, high) as floats; ValueError unless they are two finite numbers with low < high."""
    ends = value_range if isinstance(value_range, Sequence) else ()
    finite = [isinstance(end, Real) and math.isfinite(end) for end in ends]
    if len(ends) == 2 and all(finite) and ends[0] < ends[1]:
        return float(ends[0]), float(ends[1])
    expected = "(low, high), two finite numbers with low < high"
    remedy = "Bytes as shares are (0, 1); counts go from 0 to the largest that may occur."
    raise invalid("value_range", expected, repr(value_range), remedy)


def check_kind(name: str, x: object) -> None:
    """Refuse anything but an array of real numbers."""
    remedy = "Convert it by numpy.asarray."
    require(isinstance(x, np.ndarray), name, "a numpy array", type(x).__name__, remedy)
    assert isinstance(x, np.ndarray)
    remedy = "Convert the samples first."
    require(x.dtype.kind in "buif", name, "real numbers", str(x.dtype), remedy)


def _check_shapes(x_train: np.ndarray, x_test: np.ndarray) -> None:
    """Refuse anything but images or event frames of one shape, with the channels before the sides.

    More than three channels before a width of at most three count as sides before channels."""
    expected = "images [N, C, H, W] or event frames [N, T, C, H, W]"
    got = f"shape {x_train.shape}"
    remedy = "Add the axes that are missing."
    require(x_train.ndim in (4, 5), "x_train", expected, got, remedy)
    channels, height, width = x_train.shape[-3:]
    order = (0, 3, 1, 2) if x_train.ndim == 4 else (0, 1, 4, 2, 3)
    remedy = f"Put the channels first by x.transpose{order}, or the shorter side before the longer."
    last = min(channels, height) > 3 >= width
    require(not last, "x_train", expected, f"{got}, whose channels seem to come last", remedy)
    expected = f"samples of shape {x_train.shape[1:]}, as in x_train"
    got = str(x_test.shape[1:])
    remedy = "Bring all samples to one size."
    require(x_train.shape[1:] == x_test.shape[1:], "x_test", expected, got, remedy)


def require_labels(name: str, y: object, samples: int) -> np.ndarray:
    """One class index for each of the samples, below :data:`MOST_CLASSES`, as int64 [N]."""
    remedy = "Convert them by numpy.asarray."
    require(isinstance(y, np.ndarray), name, "a numpy array", type(y).__name__, remedy)
    assert isinstance(y, np.ndarray)
    # By the letter, since to numpy durations are whole numbers, too.
    fits = y.dtype.kind in "iu" and y.shape == (samples,) and samples > 0
    expected, got = f"{samples or 'some'} class indices from 0", f"{y.dtype} of shape {y.shape}"
    require(fits, name, expected, got, _advice(y))
    least, most = int(y.min()), int(y.max())
    remedy = "Number the classes from 0 without gaps, alike in training and test labels."
    require(least >= 0, name, expected, f"{got} from {least} to {most}", remedy)
    expected = f"class indices below {MOST_CLASSES:,}"
    require(most < MOST_CLASSES, name, expected, f"{most:,} in {name}", remedy)
    return y.astype(np.int64, copy=False)


def _advice(y: np.ndarray) -> str:
    if y.ndim == 2:
        # The largest of a single column would always be its first.
        turned = "y.argmax(1)" if y.shape[1] > 1 else "y[:, 0]"
        return f"Turn one-hot rows into indices: {turned}."
    if y.dtype.kind not in "iu":
        return "Number the classes from 0 by integers, alike in training and test labels."
    return "Give one label per sample."


def check_values(name: str, x: np.ndarray, value_range: tuple[float, float] | None) -> None:
    """Refuse NaN, infinity, and values outside the range where there is one."""
    if not x.size:
        return
    least, most = float(x.min()), float(x.max())
    low, high = value_range or (-math.inf, math.inf)
    got = f"values from {least:g} to {most:g}"
    remedy = "Clean the data, for instance by numpy.nan_to_num."
    require(math.isfinite(least) and math.isfinite(most), name, "finite values", got, remedy)
    # Samples are float32, so the bounds are compared as such: 0.1 is no exact float32.
    expected = f"values within value_range, {low:g} to {high:g}"
    remedy = "Give the range that the data have, or scale the data."
    require(np.float32(low) <= least and most <= np.float32(high), name, expected, got, remedy)


def refuse_share(test_share: float | None, owner: str) -> None:
    """Refuse a share for testing where there is a split already."""
    expected = f"None, since {owner} has training and test samples of its own"
    require(test_share is None, "test_share", expected, repr(test_share), "Leave it out.")


def stratified(
    y: np.ndarray, share: float, seed: int, argument: str
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two disjoint parts that hold all samples, shuffled, each class in proportion.

    The share, between 0 and 1, is that of the second part; complaints name it as `argument`."""
    remedy = "A usual share is 0.1 or 0.2."
    require(0 < share < 1, argument, "a share between 0 and 1", repr(share), remedy)
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < 2:
        single = ", ".join(map(str, classes[counts < 2][:5]))
        expected = "at least two samples of every class, one for each part"
        remedy = "Add samples of that class, or leave it out."
        raise invalid("y", expected, f"one of class {single}", remedy)
    held = int(np.ceil(share * len(y)))
    expected = f"a share that leaves each part one sample of each of {len(classes)} classes"
    got = f"{share!r} of {len(y)} samples"
    remedy = "Take a share nearer to 0.5, or more samples."
    require(min(held, len(y) - held) >= len(classes), argument, expected, got, remedy)
    rows = np.arange(len(y))
    train, test = train_test_split(rows, test_size=share, random_state=seed, stratify=y)
    return train, test


def _thin(y: np.ndarray, count: int | None, seed: int, argument: str) -> np.ndarray:
    """Indices of `count` samples whose classes are in proportion, none drawn twice; None is all.

    One sample of every class comes first, as far as the count reaches; after that the classes take
    turns by their shares. A smaller draw of the same seed is the beginning of a larger one."""
    if count is None:
        return np.arange(len(y))
    remedy = f"There are {len(y)} samples; leave it out for all of them."
    count = require_count(argument, count, remedy=remedy)
    require(count <= len(y), argument, f"at most {len(y)}", count, remedy)
    shuffled = np.random.default_rng(seed).permutation(len(y))
    turn = np.empty(len(y))
    for members in (np.flatnonzero(y[shuffled] == label) for label in np.unique(y)):
        turn[members] = np.arange(len(members)) / len(members)
    return shuffled[np.argsort(turn, kind="stable")][:count]


def sized_name(name: str, image_size: ImageSize | None) -> str:
    """Name of a data set whose images were brought to that size.

    :raises ValueError: for a size that is not whole numbers of at least 1."""
    if image_size is None:
        return name
    height, width = require_sides(image_size, channels="Channels are not resized.")
    return f"{name} {height}x{width}"
