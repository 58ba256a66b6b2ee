"""One form for every complaint about an argument: name, expectation, what came, remedy."""

from __future__ import annotations

import math


def invalid(argument: str, *, expected: str, got: object, remedy: str) -> ValueError:
    """The error to raise for a bad argument.

    :param argument: name of the argument as the user wrote it.
    :param expected: what would have been accepted.
    :param got: what came instead.
    :param remedy: a full sentence that says what to do.
    """
    return ValueError(f"{argument}: expected {expected}, got {got}. {remedy}")


def require_number(
    argument: str, value: object, *, above: float, up_to: float = math.inf, remedy: str
) -> float:
    """Return `value` as a float when above < value <= up_to, and raise ValueError otherwise."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if above < number <= up_to and math.isfinite(number):
        return float(number)
    bounds = f"above {above:g}" + ("" if math.isinf(up_to) else f" and at most {up_to:g}")
    raise invalid(argument, expected=f"a number {bounds}", got=repr(value), remedy=remedy)


def require_count(argument: str, value: object, *, remedy: str) -> int:
    """Return `value` when it is a whole number of at least 1, and raise ValueError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise invalid(argument, expected="a whole number >= 1", got=repr(value), remedy=remedy)
