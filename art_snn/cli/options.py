"""What the commands share: options, complaints about arguments, and numbers in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from art_snn.evaluation.attacks import Attack

Result = TypeVar("Result")

Data = Annotated[
    str, typer.Option(help="digits, or a .npz file: x_train, y_train, x_test, y_test.")
]
Checkpoint = Annotated[
    Path | None, typer.Option(help="Weights of a trained network; none trains one here.")
]
Model = Annotated[str | None, typer.Option(help="Name of a model. [vgg5]")]
Steps = Annotated[int | None, typer.Option(help="Time steps T. [8]")]
Threshold = Annotated[float | None, typer.Option(help="Of the neurons. [1]")]
Reset = Annotated[str | None, typer.Option(help="hard or soft. [hard]")]
Encoder = Annotated[str | None, typer.Option(help="direct or poisson. [direct]")]
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
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
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
