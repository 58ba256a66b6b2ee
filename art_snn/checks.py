"""Checks of arguments. Every complaint says: name, what was expected, what came, remedy."""

import math
import operator
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from pathlib import Path
from traceback import extract_tb

from typing_extensions import Self

MOST = 2**31 - 1
"""The largest count where nothing smaller is stated."""
SEEDS = 2**32 - 1
"""The largest seed: numpy and scikit-learn take no larger one."""
LONGEST_SIDE = 2**15
"""The longest side of an image, in pixels."""
LARGEST_BUDGET = 1e12
"""In the unit of the samples: twice its square is still a number in single precision."""
FILE, FOLDER = "a file", "a folder"

_LONGEST = 2000
"""Letters of a complaint."""

_KINDS = {
    "-": FILE,
    "d": FOLDER,
    "p": "a named pipe",
    "s": "a socket",
    "c": "a device",
    "b": "a device",
}
"""What is at a path, by the first letter of its mode."""


def truncate(text: str, most: int = 80) -> str:
    """The text without its middle where it is longer than most."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 4 :]}"


def printable(text: str) -> str:
    """The text with a space for newlines and for letters that are not shown.

    Such letters steer a terminal or turn the direction of writing."""
    if text.isprintable():
        return text
    letters = (x if x.isprintable() or x == "\u00a0" else "\n" for x in text)
    return re.sub("\n+", " ", "".join(letters))


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type where there is no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


_LIBRARY = re.compile(
    rf"<|{re.escape(str(Path(__file__).parent))}|"
    r".*[/\\]((site|dist)-packages|python3\.\d+|Python3\d+[/\\]Lib)[/\\]"
)
"""The beginning of names of files that no user wrote."""


def locate_own(error: BaseException | None) -> str:
    """The last line of code of the user that an error passed, in brackets; "" for none."""
    place = ""
    while error is not None:
        for frame in extract_tb(error.__traceback__):
            if not _LIBRARY.match(frame.filename):
                place = f" ({frame.filename}, line {frame.lineno}: {frame.line})"
        error = error.__cause__ or error.__context__
    return place


class ArgumentError(ValueError):
    """A complaint about an argument: what was expected, what came instead, and what to do."""

    def __init__(self, argument: str, complaint: str) -> None:
        super().__init__(argument, complaint)
        self.argument, self.complaint = argument, truncate(complaint, _LONGEST)

    @classmethod
    def of(cls, argument: str, expected: str, got: object, remedy: str) -> Self:
        """The complaint in its usual form; the remedy is a full sentence that says what to do."""
        return cls(argument, f"expected {expected}, got {got}. {remedy}")

    def __str__(self) -> str:
        return f"{self.argument}: {self.complaint}"


invalid = ArgumentError.of
"""The error to raise for a bad argument."""


@contextmanager
def refusing(
    argument: str,
    expected: str,
    got: str,
    remedy: str,
    kinds: tuple[type[Exception], ...] = (Exception,),
) -> Iterator[None]:
    """A block in which errors become a complaint that ends with their first line.

    A complaint passes as it is.

    :param kinds: of these errors; what damaged files hold may make readers fail in any way."""
    try:
        yield
    except ArgumentError:
        raise
    except kinds as error:
        raise invalid(
            argument, expected, f"{got} ({first_line(error)})", remedy
        ) from error


def cuts_gradients(error: BaseException) -> bool:
    """True if torch complains that no gradient reaches the input."""
    said = "does not require grad" in str(error) or "not have been used" in str(error)
    return said and isinstance(error, RuntimeError)


class MissingFile(ArgumentError, FileNotFoundError):
    """A file or folder that an argument names is not there."""


class WriteFailed(OSError):
    """A file could not be written: no space, no permission, ..."""

    def __init__(self, path: Path, cause: OSError) -> None:
        super().__init__(cause.errno, cause.strerror or str(cause), str(path))
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} could not be written ({self.strerror})"


def require_number(
    argument: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    up_to: float | None = None,
    below: float | None = None,
    within: tuple[float, float] = (-math.inf, math.inf),
    remedy: str,
) -> float:
    """`value` as a float when it is a finite number within the bounds, otherwise ValueError.

    :param within: a range that complaints name only where the other bounds hold."""
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    limits = (
        (above, operator.gt, "above"),
        (at_least, operator.ge, "of at least"),
        (up_to, operator.le, "at most"),
        (below, operator.lt, "below"),
    )
    words = []
    fits = math.isfinite(number)
    for limit, holds, word in limits:
        if limit is not None:
            words.append(f"{word} {limit:g}")
            fits = fits and holds(number, limit)
    least, most = within
    if fits:
        if least <= number <= most:
            return number
        words = [f"from {least:g} to {most:g}"]
    raise invalid(
        argument,
        f"a number {' and '.join(words) or 'that is finite'}",
        quote(value),
        remedy,
    )


def require_whole(
    argument: str, value: object, *, least: int = 0, up_to: int = MOST, remedy: str
) -> int:
    """`value` as an int when it is a whole number from `least` to `up_to`, otherwise ValueError."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    number: int = int(value) if whole else least - 1  # type: ignore[call-overload]  # It is whole.
    bounds = f"from {least} to {up_to}" if number > up_to else f">= {least}"
    require(
        least <= number <= up_to,
        argument,
        f"a whole number {bounds}",
        quote(value),
        remedy,
    )
    return number


def require_count(argument: str, value: object, *, up_to: int = MOST, remedy: str) -> int:
    """`value` as an int when it is a whole number from 1 to `up_to`, otherwise ValueError."""
    return require_whole(argument, value, least=1, up_to=up_to, remedy=remedy)


def require_seed(argument: str, value: object) -> int:
    """`value` as an int when it is a whole number from 0 to 2**32 - 1, otherwise ValueError."""
    return require_whole(argument, value, up_to=SEEDS, remedy="Use 0.")


def quote(value: object) -> str:
    """The repr of a value, shortened; Python writes no whole numbers above its limit of digits."""
    try:
        return truncate(repr(value))
    except ValueError:
        return "a whole number of more digits than Python writes"


def require(
    holds: object, argument: str, expected: str, got: object, remedy: str
) -> None:
    """Raise the error of :func:`invalid` unless something holds."""
    if not holds:
        raise invalid(argument, expected, got, remedy)


def require_distinct(argument: str, values: Collection[object]) -> None:
    """ValueError where there are no values, or where one of them occurs twice."""
    require(values, argument, "at least one", "none", "Name some.")
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    distinct = len(set(values)) == len(values)
    got = ", ".join(words)
    require(distinct, argument, "distinct values", got, "Remove the duplicates.")


def require_memory(
    argument: str, value: object, what: str, needed: int, *, remedy: str
) -> None:
    """ValueError when `what`, of so many bytes, needs more memory than the machine has."""
    if hasattr(os, "sysconf"):
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    else:
        import psutil  # Windows

        limit = int(psutil.virtual_memory().total)
    require(
        needed <= limit,
        argument,
        f"{what} that fit into the {limit / 2**30:,.1f} GiB of memory that there are",
        f"{value}, which makes {what} of {needed / 2**30:,.1f} GiB",
        remedy,
    )


def set_fields(settings: object, **values: object) -> None:
    """Set fields of a frozen dataclass, in its __post_init__."""
    for name, value in values.items():
        object.__setattr__(settings, name, value)


def require_choice(
    argument: str, value: object, words: Collection[str], *, remedy: str
) -> None:
    """ValueError unless `value` is one of the words."""
    require(
        value in list(words), argument, f"one of {', '.join(words)}", quote(value), remedy
    )


def require_sides(image_size: int | tuple[int, int], *, channels: str) -> tuple[int, int]:
    """(height, width) of a side or of both, when they are whole numbers from 1 to 2**15."""
    sides = image_size if isinstance(image_size, Sequence) else (image_size, image_size)
    require(
        len(sides) == 2,
        "image_size",
        "a side, or (height, width)",
        quote(image_size),
        channels,
    )
    height, width = (
        require_count(
            "image_size",
            side,
            up_to=LONGEST_SIDE,
            remedy="Give the side of a square image, or (height, width), in pixels.",
        )
        for side in sides
    )
    return height, width


def expand_path(argument: str, path: str | Path) -> Path:
    """The path with its ~ expanded; ValueError where it cannot be looked up."""
    require(
        str(path),
        argument,
        "a path",
        "an empty string",
        "Check the spelling and the path.",
    )
    try:
        expanded = Path(path).expanduser()
    except (RuntimeError, ValueError) as error:
        raise _unknown(argument, path, error) from error
    path_kind(argument, expanded)
    return expanded


def path_kind(argument: str, path: Path) -> str | None:
    """FILE, FOLDER, or words for another thing that is there; None for nothing."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unknown(argument, path, error) from error
    return _KINDS.get(stat.filemode(mode)[0], "no file")


def require_kind(argument: str, path: str | Path, kind: str, expected: str) -> Path:
    """The path of a file, or a folder, that is there and may be read, with its ~ expanded."""
    path = expand_path(argument, path)
    there = path_kind(argument, path)
    if there is None:
        link = f", a link to {os.readlink(path)}," if path.is_symlink() else ""
        raise MissingFile(
            argument, f"expected {expected}, but {path}{link} does not exist."
        )
    require(
        there == kind, argument, expected, f"{path}, {there}", f"Give {kind} instead."
    )
    readable = os.access(path, os.R_OK | os.X_OK if kind == FOLDER else os.R_OK)
    require(
        readable,
        argument,
        expected,
        f"{path}, which may not be read",
        "Change its permissions, or take a copy.",
    )
    return path


def require_root(root: str | Path) -> Path:
    """The folder of data sets on disk, with its ~ expanded; it may be missing."""
    path = expand_path("root", root)
    if path.exists():
        require_kind("root", path, FOLDER, "a folder of data sets")
    return path


def _unknown(argument: str, path: str | Path, error: Exception) -> ArgumentError:
    # str of an OSError repeats the whole path, which may be what is too long.
    return invalid(
        argument,
        "a path that can be looked up",
        f"{quote(str(path))} ({getattr(error, 'strerror', None) or error})",
        "Check the spelling and the path.",
    )
