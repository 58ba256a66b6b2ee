from collections.abc import Mapping
from dataclasses import Field, fields, make_dataclass
from inspect import getdoc
from types import MappingProxyType
from typing import Any

from art_snn.checks import require, require_choice
from art_snn.training.defences.base import AT, Defence
from art_snn.training.defences.ibp import IBP
from art_snn.training.defences.rat import RAT
from art_snn.training.defences.sr import SR
from art_snn.training.defences.trades import TRADES

DEFENCES: Mapping[str, type[Defence]] = MappingProxyType(
    {"at": AT, "trades": TRADES, "rat": RAT, "sr": SR, "ibp": IBP}
)
"""Defences by name: adversarial training alone, TRADES, RAT, SR, and certified training, IBP."""


def _hyperparameters(kind: type[Defence]) -> list[Field[Any]]:
    return [field for field in fields(kind) if field.init]  # type: ignore[arg-type]


def _strengths() -> type[Any]:
    """A dataclass of the fields of all defences, each described as its defence does."""
    options: list[Any] = []
    lines = ["Hyperparameters of the defences; None leaves the default.\n"]
    for name, kind in DEFENCES.items():
        for one in _hyperparameters(kind):
            type_: Any = one.type
            options.append((one.name, type_ | None, None))
            text = str(getdoc(kind)).partition(f":param {one.name}: ")[2].partition("\n:")[0]
            default = one.default if isinstance(one.default, str) else f"{one.default:g}"
            lines.append(f":param {one.name}: of {name}: {text.rstrip('.')} [{default}].")
    made = make_dataclass("Strengths", options, frozen=True, kw_only=True)
    made.__doc__ = "\n".join(lines)
    return made


Strengths = _strengths()
"""Hyperparameters of the defences, as settings: every field is an option of the command line."""


def defence_named(name: str, **strengths: float | str | None) -> Defence:
    """The defence of that name in DEFENCES.

    :param strengths: its hyperparameters by name; None leaves the default.
    :raises ValueError: for another name, a strength of another defence, or one out of range."""
    require_choice("defence", name, DEFENCES, remedy="Adversarial training alone is at.")
    given = {field: value for field, value in strengths.items() if value is not None}
    for field, value in given.items():
        of = [other for other, kind in DEFENCES.items() if field in _names(kind)]
        remedy = f"Leave it out, or take {' or '.join(of)} for the defence."
        require(name in of, field, f"None for {name}, which has none", value, remedy)
    return DEFENCES[name](**given)


def _names(kind: type[Defence]) -> list[str]:
    return [field.name for field in _hyperparameters(kind)]
