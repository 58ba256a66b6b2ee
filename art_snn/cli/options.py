"""What the commands share: complaints about arguments, and numbers in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import typer

Result = TypeVar("Result")


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
