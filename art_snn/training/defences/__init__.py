"""Defences: what a step of adversarial or certified training minimises, and what follows it."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

from art_snn.checks import ArgumentError, require, require_choice
from art_snn.gradients import parse_call
from art_snn.training.defences.base import AT as AT, Defence as Defence, Learner as Learner
from art_snn.training.defences.ibp import IBP as IBP
from art_snn.training.defences.rat import RAT as RAT
from art_snn.training.defences.sr import SR as SR
from art_snn.training.defences.trades import TRADES as TRADES

DEFENCES: Mapping[str, type[Defence]] = MappingProxyType(
    {"at": AT, "trades": TRADES, "rat": RAT, "sr": SR, "ibp": IBP}
)
"""Defences by name: adversarial training alone, TRADES, RAT, SR, and certified training, IBP."""


def parse_defence(text: str) -> Defence:
    """The defence of a text: "at", "trades(beta=6)", "ibp(ramp=0.5)", ...

    A name of :data:`DEFENCES` is a defence with its defaults; parentheses set its fields.

    :raises ValueError: for an unknown name or field, or a value that the defence refuses."""
    name, options = parse_call(text, "defence")
    require_choice("defence", name, DEFENCES, remedy="Adversarial training alone is at.")
    names = [field.name for field in fields(DEFENCES[name]) if field.init]  # type: ignore[arg-type]
    odd = [option for option in options if option not in names]
    expected = f"options of {name}: {', '.join(names) or 'none'}"
    require(not odd, "defence", expected, ", ".join(odd), "Leave out the others.")
    try:
        return DEFENCES[name](**options)
    except ArgumentError as error:
        raise ArgumentError("defence", f"{error.argument}: {error.complaint}") from error
