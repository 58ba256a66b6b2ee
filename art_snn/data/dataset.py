"""Training and test samples, which of them are accepted, how they are split, and .npz files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from sklearn.model_selection import train_test_split

from art_snn.checks import (
    expand_path,
    invalid,
    refusing,
    require,
    require_count,
    require_sides,
    set_fields,
)
from art_snn.files import LARGEST, read_arrays

ImageSize = int | tuple[int, int]
"""A side of a square, or (height, width), in pixels."""
ValueRange = tuple[float, float]
"""(low, high) of the values that samples may have."""
Sides = tuple[int, int] | None
"""(height, width) to which images are brought; None: they keep theirs."""

_CHANNELS = (1, 3)
"""How many an image of a .npz file may have."""
_SPLIT = ("x_train", "y_train", "x_test", "y_test")
_WHOLE = ("x", "y")
"""Arrays of a .npz file that is split into training and test samples, and of one that is not."""
_MOST_CLASSES = 100_000
"""Networks have an output for every class up to the largest label: 10**9 would take gigabytes."""


@dataclass(frozen=True)
class Dataset:
    """Samples float32, images [N, C, H, W] or event frames [N, T, C, H, W], and classes [N] int64.

    :param name: in titles and in the notes of trained weights.
    :param x_train, y_train: training samples and their class indices.
    :param x_test, y_test: test samples, of the same shape, and their class indices.
    :param value_range: (low, high) of the values that samples may have, attacked ones
        included (ART's clip_values). None: unknown, as for event frames that hold counts.
    :param mirrored: whether a mirrored sample is known to be one of its class, as
        photographs are. Numerals and gestures of a left or right arm are not.
    :param milliseconds: that a time step of event frames lasts; None if unknown.
    :raises ValueError: for samples of other or differing shapes, with the channels last,
        outside the range or not finite; for labels other than one class index per sample
        from 0 to 99,999; and for a bad range."""

    name: str
    x_train: ndarray
    y_train: ndarray
    x_test: ndarray
    y_test: ndarray
    value_range: ValueRange | None = (0.0, 1.0)
    mirrored: bool = False
    milliseconds: float | None = None

    def __post_init__(self) -> None:
        if self.value_range is not None:
            set_fields(self, value_range=require_range(self.value_range))
        limits = self.value_range
        y_train = check_labelled_samples(
            ("x_train", "y_train"), self.x_train, self.y_train, limits
        )
        y_test = check_labelled_samples(
            ("x_test", "y_test"), self.x_test, self.y_test, limits
        )
        set_fields(self, y_train=y_train, y_test=y_test)
        _check_shapes(self.x_train, self.x_test)

    @classmethod
    def split(
        cls,
        name: str,
        x: ndarray,
        y: ndarray,
        test_share: float | None = None,
        seed: int = 0,
        **options: Any,
    ) -> "Dataset":
        """The data set of samples that have no split of their own.

        :param test_share: share for testing, between 0 and 1; None is 0.2.
        :param seed: of the split, which keeps the classes' proportions.
        :param options: value_range and mirrored.
        :raises ValueError: as the class, and for a share that leaves a part without a
            class."""
        y = check_labelled_samples(("x", "y"), x, y)
        share = 0.2 if test_share is None else test_share
        train, test = _stratify(y, share, seed, "test_share")
        return cls(name, x[train], y[train], x[test], y[test], **options)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.x_train.shape[1:]

    @property
    def classes(self) -> int:
        """Number of classes, counted over training and test labels."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def events(self) -> bool:
        """True if the samples are event frames, with a time axis of their own."""
        return self.x_train.ndim == 5

    @property
    def steps(self) -> int | None:
        """Number of frames T of event frames; None for images."""
        return self.x_train.shape[1] if self.events else None

    def clip_values(self, what: str = "an attack") -> ValueRange:
        """The value range.

        :param what: needs the range, in the words of the complaint.
        :raises ValueError: when the range is unknown."""
        if self.value_range is not None:
            return self.value_range
        least = float(min(self.x_train.min(), self.x_test.min()))
        most = float(max(self.x_train.max(), self.x_test.max()))
        low = min(0, math.floor(least))
        high = max(math.ceil(most), 1)
        raise invalid(
            "value_range",
            f"the range that {what} may use",
            f"None, for {self.name} with values from {least:g} to {most:g}",
            f"Say which values may occur: value_range=({low}, {high}).",
        )

    def hold_out(
        self, share: float = 0.1, seed: int = 0, argument: str = "share"
    ) -> "Dataset":
        """Training samples split again, for choices that must not see the test samples.

        :param share: of the training samples that are held out, between 0 and 1.
        :param seed: of the split, which keeps the classes' proportions.
        :param argument: the share's name in complaints.
        :return: the other training samples, with those held out as x_test and y_test.
        :raises ValueError: for another share, a class of one sample, or too few
            samples."""
        rest, held = _stratify(self.y_train, share, seed, argument)
        return replace(
            self,
            name=f"{self.name} (validation {share:g}, seed {seed})",
            x_train=self.x_train[rest],
            y_train=self.y_train[rest],
            x_test=self.x_train[held],
            y_test=self.y_train[held],
        )


def require_range(value_range: object) -> ValueRange:
    """(low, high) as floats; ValueError unless they are two finite numbers with low < high."""
    ends = value_range if isinstance(value_range, Sequence) else ()
    finite = [isinstance(end, Real) and math.isfinite(end) for end in ends]
    if len(ends) == 2 and all(finite) and ends[0] < ends[1]:
        return float(ends[0]), float(ends[1])
    raise invalid(
        "value_range",
        "(low, high), two finite numbers with low < high",
        repr(value_range),
        "Bytes as shares are (0, 1); counts go from 0 to the largest that may occur.",
    )


def check_labelled_samples(
    names: tuple[str, str], x: ndarray, y: ndarray, value_range: ValueRange | None = None
) -> ndarray:
    """The labels as int64 [N], once samples and labels have been checked.

    :param names: of both, in complaints.
    :param x: samples [N, ...], finite real numbers within the range where there is one.
    :param y: one class index per sample, from 0 to 99,999.
    :raises ValueError: for any others."""
    x_name, y_name = names
    for name, array in ((x_name, x), (y_name, y)):
        require(
            isinstance(array, ndarray) and not isinstance(array, np.ma.MaskedArray),
            name,
            "a numpy array",
            type(array).__name__,
            "Convert it by numpy.asarray.",
        )
    require(
        x.dtype.kind in "buif" and x.ndim and x.size,
        x_name,
        "samples [N, ...] of real numbers",
        f"{x.dtype} of shape {x.shape}",
        "Convert the samples first.",
    )
    # The letter of the type decides, since numpy calls durations whole numbers.
    require(
        y.dtype.kind in "iu" and y.shape == x.shape[:1],
        y_name,
        f"{len(x)} class indices from 0",
        f"{y.dtype} of shape {y.shape}",
        "Give every sample the number of its class; y.argmax(1) turns one-hot rows into them.",
    )
    require(
        y.min() >= 0 and y.max() < _MOST_CLASSES,
        y_name,
        f"class indices from 0 and below {_MOST_CLASSES:,}",
        f"{y.min():,} to {y.max():,}",
        "Number the classes from 0 without gaps, alike in training and test labels.",
    )
    check_values(x_name, x, value_range)
    return y.astype(np.int64, copy=False)


def _check_shapes(x_train: ndarray, x_test: ndarray) -> None:
    """Refuse anything but images or event frames of one shape, with the channels before the sides.

    More than three channels before a width of at most three count as sides before
    channels."""
    expected = "images [N, C, H, W] or event frames [N, T, C, H, W]"
    got = f"shape {x_train.shape}"
    require(
        x_train.ndim in (4, 5), "x_train", expected, got, "Add the axes that are missing."
    )

    channels, height, width = x_train.shape[-3:]
    order = (0, 3, 1, 2) if x_train.ndim == 4 else (0, 1, 4, 2, 3)
    require(
        not min(channels, height) > 3 >= width,
        "x_train",
        expected,
        f"{got}, whose channels seem to come last",
        f"Put the channels first by x.transpose{order}, or the shorter side before the longer.",
    )
    require(
        x_train.shape[1:] == x_test.shape[1:],
        "x_test",
        f"samples of shape {x_train.shape[1:]}, as in x_train",
        x_test.shape[1:],
        "Bring all samples to one size.",
    )


def check_values(name: str, x: ndarray, value_range: ValueRange | None) -> None:
    """Refuse NaN, infinity, and values outside the range where there is one."""
    if not x.size:
        return
    least = float(x.min())
    most = float(x.max())
    got = f"values from {least:g} to {most:g}"
    require(
        math.isfinite(least) and math.isfinite(most),
        name,
        "finite values",
        got,
        "Clean the data, for instance by numpy.nan_to_num.",
    )
    low, high = value_range or (-math.inf, math.inf)
    require(
        # Samples are float32, so the bounds are compared as such: 0.1 is no exact float32.
        np.float32(low) <= least and most <= np.float32(high),
        name,
        f"values within value_range, {low:g} to {high:g}",
        got,
        "Give the range that the data have, or scale the data.",
    )


def _stratify(
    y: ndarray, share: float, seed: int, argument: str
) -> tuple[ndarray, ndarray]:
    """Indices of two disjoint parts that hold all samples, shuffled, each class in proportion.

    The share, between 0 and 1, is that of the second part; complaints name it as
    `argument`."""
    require(
        0 < share < 1,
        argument,
        "a share between 0 and 1",
        repr(share),
        "A usual share is 0.1 or 0.2.",
    )
    expected = "a share that leaves each part a sample of every class"
    remedy = "Take a share nearer to 0.5, or add samples."
    with refusing(argument, expected, f"{share!r} of {len(y)}", remedy):
        train, test = train_test_split(
            np.arange(len(y)), test_size=share, random_state=seed, stratify=y
        )
    return train, test


def read_size(name: str, image_size: ImageSize | None) -> tuple[str, Sides]:
    """Name of a data set whose images were brought to that size, and the size.

    :raises ValueError: for a size that is not whole numbers of at least 1."""
    if image_size is None:
        return name, None
    height, width = require_sides(image_size, channels="Channels are not resized.")
    return f"{name} {height}x{width}", (height, width)


def require_no_share(test_share: float | None, place: Path) -> None:
    """Refuse a share for testing of samples that are split already."""
    require(
        test_share is None,
        "test_share",
        f"None, since {place} has training and test samples of its own",
        repr(test_share),
        "Leave it out.",
    )


def from_npz(
    path: str | Path,
    value_range: ValueRange | None = None,
    *,
    test_share: float | None = None,
    seed: int = 0,
    largest: int = LARGEST,
) -> Dataset:
    """Images or event frames from a .npz file: x_train, y_train, x_test and y_test, or x and y.

    Without a value range, images are uint8, which become shares of 255, or floating point
    in [0, 1], and their range is (0, 1). Event frames hold any real numbers, such as
    counts, and are never scaled; their range stays None.

    :param path: images are [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, event
        frames [N, T, C, H, W]. Labels are class indices [N] from 0.
    :param value_range: (low, high) that an attack may use. Samples are then taken as they
        are, and must lie within it.
    :param test_share: share for testing of a file with x and y alone; None is 0.2.
    :param seed: of that split, which keeps the classes' proportions.
    :param largest: bytes that the arrays may take, unpacked, as the file states them; 16
        GiB.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when it is no .npz file or a larger one, an array is missing, or
        samples, labels or share are not as above."""
    path = expand_path("data", path)
    remedy = "Give the bytes, such as 16 * 2**30."
    largest = require_count("largest", largest, up_to=2**63 - 1, remedy=remedy)
    arrays = _read_parts(path, largest)
    samples = [name for name in arrays if name.startswith("x")]
    for name in samples:
        arrays[name] = _arrange(name, arrays[name], value_range is None)
    if value_range is None and all(arrays[name].ndim == 4 for name in samples):
        value_range = (0.0, 1.0)
    if "x" in arrays:
        data = Dataset.split(
            path.name, **arrays, test_share=test_share, seed=seed, value_range=value_range
        )
    else:
        require_no_share(test_share, path)
        data = Dataset(path.name, **arrays, value_range=value_range)

    least = int(min(data.y_train.min(), data.y_test.min()))
    require(
        least == 0 or data.classes < 3,
        "y_train, y_test",
        "class indices from 0",
        f"labels from {least}, so that class 0 has no sample",
        f"Number the classes from 0: subtract {least}.",
    )
    return data


def _read_parts(path: Path, largest: int) -> dict[str, Any]:
    """The arrays x and y of a file, where it has no others, or those of both parts."""
    content = read_arrays(
        path,
        "data",
        "a .npz file",
        "Take another copy, or write it again; frames of events are made again without it. "
        "More bytes are allowed by from_npz(..., largest=...).",
        names=(*_SPLIT, *_WHOLE),
        largest=largest,
    )
    if {*content} == {*_WHOLE}:
        return content
    require(
        {*_SPLIT} <= {*content},
        "data",
        f"the arrays {', '.join(_SPLIT)}, or x and y to be split",
        f"{path} with {', '.join(content) or 'none'}",
        "Write it with numpy.savez(path, x_train=..., y_train=..., ...).",
    )
    return {name: content[name] for name in _SPLIT}


def _arrange(name: str, x: ndarray, scaled: bool) -> ndarray:
    """Images [N, C, H, W] or event frames [N, T, C, H, W], float32.

    :param scaled: bring images to shares of the largest value, in [0, 1]."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in _CHANNELS:
        require(
            x.shape[1] not in _CHANNELS,
            name,
            "channels in the second axis or in the last",
            f"both of {x.shape}",
            "Build art_snn.data.Dataset from such images.",
        )
        x = x.transpose(0, 3, 1, 2)
    has_axes = x.ndim == 5 or (x.ndim == 4 and x.shape[1] in _CHANNELS)
    require(
        has_axes and x.dtype.kind in "buif" and x.size,
        name,
        "real numbers: images [N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3, "
        "or event frames [N, T, C, H, W]",
        f"{x.dtype} of shape {x.shape}",
        "Convert the samples, or reorder the axes.",
    )
    # What float32 cannot hold becomes infinite, which is refused like any other infinity.
    with np.errstate(over="ignore"):
        samples = np.ascontiguousarray(x, dtype=np.float32)
    if x.ndim == 4 and scaled:
        if x.dtype == np.uint8:
            samples /= 255
        low = samples.min()
        high = samples.max()
        require(
            low >= 0 and high <= 1,
            name,
            "uint8, or values from 0 to 1",
            f"{x.dtype} from {low:g} to {high:g}",
            "Scale the images, or give their value_range; budgets are in its unit.",
        )
    return samples
