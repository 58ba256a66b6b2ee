"""What the commands share: complaints about arguments, and numbers in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

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
