"""What the commands share: options, complaints about arguments, and numbers in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from art_snn.data import Dataset
    from art_snn.evaluation.attacks import Attack

Result = TypeVar("Result")

USAGE = (
    ValueError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    # An extra of the package that is not installed.
    ModuleNotFoundError,
)

Data = Annotated[
    str,
    typer.Option(help="digits, mnist, cifar10, nmnist, ...; a .npz file; or a folder of pictures."),
]
Root = Annotated[Path, typer.Option(help="Folder of the data sets that are kept on disk.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch a data set that is not there.")]
ImageSize = Annotated[int | None, typer.Option(help="Side to which images are brought.")]
ValueRange = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Values that samples of a file or events may have."),
]
Frames = Annotated[int, typer.Option(help="Frames T of event recordings.")]

Checkpoint = Annotated[
    Path | None, typer.Option(help="Weights of a trained network; none trains one here.")
]
Model = Annotated[str | None, typer.Option(help="Name of a model. [vgg5]")]
Width = Annotated[float | None, typer.Option(help="Factor of the layers' widths. [1]")]
Steps = Annotated[int | None, typer.Option(help="Time steps T. [8; events: frames]")]
Decay = Annotated[float | None, typer.Option(help="Decay; 1 is IF. [0.5]")]
Threshold = Annotated[float | None, typer.Option(help="Of the neurons. [1]")]
Reset = Annotated[str | None, typer.Option(help="hard or soft. [hard]")]
Encoder = Annotated[str | None, typer.Option(help="direct or poisson. [direct; events: frames]")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of training here. [10]")]

AttackName = Annotated[str, typer.Option(help="fgsm, pgd, mim or apgd.")]
Eps = Annotated[str, typer.Option(help="Budget, such as 0.1 or 8/255.")]
EpsStep = Annotated[str | None, typer.Option(help="Step of pgd and mim. [eps / 4]")]
Iterations = Annotated[int, typer.Option(help="Gradient steps.")]
Samples = Annotated[int, typer.Option(help="Test samples under attack.")]
Batch = Annotated[int, typer.Option(help="Samples per gradient.")]
Seed = Annotated[int, typer.Option(help="Of weights, training and attack.")]
Threads = Annotated[int | None, typer.Option(help="Threads of torch on the CPU.")]
Device = Annotated[str, typer.Option(help="gpu (where there is one) or cpu.")]


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


def numbers(argument: str, text: str) -> tuple[float, ...]:
    """Numbers and fractions, separated by commas."""
    return tuple(number(argument, part.strip()) for part in text.split(",") if part.strip())


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
    """The data set that the options describe."""
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


def attack_of(name: str, eps: str, eps_step: str | None, iterations: int) -> Attack:
    """The attack that the options describe."""
    from art_snn.evaluation.attacks import Attack

    return checked(
        Attack,
        name=name,
        eps=number("eps", eps),
        eps_step=None if eps_step is None else number("eps_step", eps_step),
        iterations=iterations,
    )


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(part.strip() for part in text.split(","))


def whole_numbers(argument: str, text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{argument}: expected whole numbers such as 4,8, got {text!r}."
        ) from None


def whole_number(argument: str, text: str) -> int:
    """A single whole number."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"{argument}: expected a whole number such as 8, got {text!r}."
        ) from None


def given(**options: Any) -> dict[str, Any]:
    """The options that the user gave; None is one that was left out."""
    return {name: value for name, value in options.items() if value is not None}


def refuse(beside: str, **options: object) -> None:
    """A usage error where one of these options was given although it means nothing there."""
    for name in given(**options):
        flag = "--" + name.replace("_", "-")
        raise typer.BadParameter(f"{name}: expected no {flag} with {beside}. Leave it out.")
