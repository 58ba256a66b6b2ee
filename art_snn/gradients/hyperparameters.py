"""The hyperparameters of a rule by dotted names: beta, surrogate.width, rule.gamma."""

from dataclasses import dataclass, fields, is_dataclass, replace
from numbers import Integral, Real
from typing import Any

from art_snn.checks import invalid

KINDS: dict[str, type] = {"bool": bool, "int": int, "<class 'bool'>": bool, "<class 'int'>": int}
"""By the declaration of a field; all others are floats."""


@dataclass(frozen=True)
class Number:
    """A field that holds a number or a truth value.

    :param kind: float, int or bool, as the field declares.
    :param value: what the rule has there."""

    kind: type
    value: float

    def converted(self, value: object) -> float:
        """The value in the field's kind; 0 and 1 are truth values too.

        :raises ValueError: when it is none of that kind."""
        if isinstance(value, bool) and self.kind is not bool:
            raise ValueError(f"expected a number, got {value}")
        if self.kind is float and isinstance(value, Real):
            return float(value)
        whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
        if self.kind is int and whole:
            return int(value)  # type: ignore[call-overload, no-any-return]
        if self.kind is bool and value in (0, 1):
            return bool(value)
        words = {float: "a number", int: "a whole number", bool: "0 or 1"}[self.kind]
        raise ValueError(f"expected {words}, got {value!r}")


def numbers(rule: object) -> dict[str, Number]:
    """Every field of a dataclass that holds a number, and of dataclasses inside, by dotted name."""
    found: dict[str, Number] = {}
    for field in fields(rule) if is_dataclass(rule) else ():
        value = getattr(rule, field.name)
        if isinstance(value, Real) and field.init:
            found[field.name] = Number(KINDS.get(str(field.type), float), value)  # type: ignore[arg-type]
        elif is_dataclass(value):
            inner = numbers(value).items()
            found |= {f"{field.name}.{name}": hyperparameter for name, hyperparameter in inner}
    return found


def hyperparameter(rule: object, name: str) -> Number:
    """The field of that dotted name.

    :raises ValueError: when there is none; the message lists those that there are."""
    known = numbers(rule)
    if name not in known:
        expected = f"one of {', '.join(known)}" if known else "a rule with a number in a field"
        raise invalid("field", expected, repr(name), f"The rule is {rule}.")
    return known[name]


def accepted(rule: object, name: str, value: object) -> float:
    """The value in the kind of that field.

    :raises ValueError: when there is no such field, or the rule refuses the value."""
    field = hyperparameter(rule, name)
    try:
        converted = field.converted(value)
        replaced(rule, name, converted)
    except ValueError as error:
        expected = f"values that {name} of {type(rule).__name__} can have"
        got = f"{value} ({str(error).rstrip('.')})"
        raise invalid("values", expected, got, "Leave that value out.") from error
    return converted


def replaced(rule: Any, name: str, value: float) -> Any:
    """The rule with another value in the field of that dotted name.

    :raises ValueError: when the rule refuses the value."""
    outer, _, inner = name.partition(".")
    if inner:
        return replace(rule, **{outer: replaced(getattr(rule, outer), inner, value)})
    return replace(rule, **{outer: value})
