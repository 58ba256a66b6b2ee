"""What the commands share: complaints about arguments, numbers in words, and the data options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from art_snn.data import Dataset

Result = TypeVar("Result")

USAGE = (
    ValueError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    # An extra of the package that is not installed.
    ModuleNotFoundError,
)

DataOption = Annotated[
    str,
    typer.Option(help="digits, mnist, cifar10, nmnist, ...; a .npz file; or a folder of pictures."),
]
RootOption = Annotated[Path, typer.Option(help="Folder of the data sets that are kept on disk.")]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="Fetch a data set that is not there.")
]
ImageSizeOption = Annotated[int | None, typer.Option(help="Side to which images are brought.")]
ValueRangeOption = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Values that samples of a file or events may have."),
]
FramesOption = Annotated[int, typer.Option(help="Frames T of event recordings.")]


def checked(call: Callable[..., Result], **arguments: object) -> Result:
    """The call's result; a complaint about an argument becomes a usage error."""
    try:
        return call(**arguments)
    except USAGE as error:
        raise typer.BadParameter(str(error)) from error


def number(argument: str, text: str) -> float:
    """A number, or a fraction such as 8/255."""
    numerator, _, denominator = text.partition("/")
    try:
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(
            f"{argument}: expected a number such as 0.03 or 8/255, got {text!r}."
        ) from None


def value_range(text: str | None) -> tuple[float, float] | None:
    """Two numbers or fractions separated by a comma; None stays None."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2:
        raise typer.BadParameter(
            f"value_range: expected two numbers such as 0,1 or 0,255, got {text!r}."
        )
    low, high = (number("value_range", part) for part in parts)
    return low, high


def dataset(
    data: str,
    root: Path,
    *,
    download: bool,
    image_size: int | None,
    values: str | None,
    frames: int,
) -> Dataset:
    """The data set that the shared options describe."""
    from art_snn.data import load

    return checked(
        load,
        name=data,
        root=root,
        download=download,
        image_size=image_size,
        value_range=value_range(values),
        frames=frames,
    )
