"""The hyperparameters of a rule by dotted names: beta, surrogate.width, rule.gamma."""

from dataclasses import dataclass, fields, is_dataclass, replace
from numbers import Integral, Real
from typing import Any

from art_snn.checks import invalid

KINDS: dict[str, type] = {"bool": bool, "int": int, "<class 'bool'>": bool, "<class 'int'>": int}
"""By the declaration of a field; all others are floats."""
WORDS = {float: "a number", int: "a whole number", bool: "0 or 1"}


@dataclass(frozen=True)
class Number:
    """A field of a rule: its declared kind, float, int or bool, and what the rule has there."""

    kind: type
    value: float

    def converted(self, value: object) -> float:
        """The value in the field's kind, or a ValueError; 0 and 1 are also truth values."""
        if isinstance(value, bool) and self.kind is not bool:
            raise ValueError(f"expected a number, got {value}")
        whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
        fits = {float: isinstance(value, Real), int: whole, bool: value in (0, 1)}
        if not fits[self.kind]:
            raise ValueError(f"expected {WORDS[self.kind]}, got {value!r}")
        number: float = self.kind(value)
        return number


def numbers(rule: object) -> dict[str, Number]:
    """Every field of a dataclass that holds a number, and of dataclasses inside, by dotted name."""
    by_name: dict[str, Number] = {}
    for field in fields(rule) if is_dataclass(rule) else ():
        value = getattr(rule, field.name)
        if isinstance(value, Real) and field.init:
            by_name[field.name] = Number(KINDS.get(str(field.type), float), value)  # type: ignore[arg-type]
        elif is_dataclass(value):
            by_name |= {f"{field.name}.{name}": inner for name, inner in numbers(value).items()}
    return by_name


def hyperparameter(rule: object, name: str, argument: str = "field") -> Number:
    """The field of that dotted name; a ValueError lists the fields where there is none."""
    by_name = numbers(rule)
    if name not in by_name:
        expected = f"one of {', '.join(by_name)}" if by_name else "a rule with a number in a field"
        raise invalid(argument, expected, repr(name), f"The rule is {rule}.")
    return by_name[name]


def accepted(rule: object, name: str, value: object, argument: str | None = None) -> float:
    """The value in the kind of that field; a ValueError where the rule refuses it."""
    field = hyperparameter(rule, name, argument or "field")
    try:
        converted = field.converted(value)
        replaced(rule, name, converted)
    except ValueError as error:
        expected = f"values that {name} of {type(rule).__name__} can have"
        got = f"{value} ({str(error).rstrip('.')})"
        raise invalid(argument or "values", expected, got, "Leave that value out.") from error
    return converted


def replaced(rule: Any, name: str, value: float) -> Any:
    """The rule with another value in the field of that dotted name; it may refuse it."""
    outer, _, inner = name.partition(".")
    changed = replaced(getattr(rule, outer), inner, value) if inner else value
    return replace(rule, **{outer: changed})
