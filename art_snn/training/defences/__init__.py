"""Defences: what a step of adversarial or certified training minimises, and what follows it."""

from collections.abc import Mapping

from art_snn.gradients import parse_object
from art_snn.training.defences.base import (
    AT as AT,
    Defence as Defence,
    Learner as Learner,
)
from art_snn.training.defences.ibp import IBP as IBP
from art_snn.training.defences.mpd_sgr import MPDSGR as MPDSGR
from art_snn.training.defences.mppd import MPPD as MPPD
from art_snn.training.defences.operations import Operations as Operations
from art_snn.training.defences.rat import RAT as RAT
from art_snn.training.defences.sr import SR as SR
from art_snn.training.defences.stog import StoG as StoG
from art_snn.training.defences.tgo import TGO as TGO
from art_snn.training.defences.trades import TRADES as TRADES

DEFENCES: Mapping[str, type[Defence]] = {
    "at": AT,
    "trades": TRADES,
    "rat": RAT,
    "sr": SR,
    "ibp": IBP,
    "mpd-sgr": MPDSGR,
    "tgo": TGO,
    "mppd": MPPD,
    "stog": StoG,
    "operations": Operations,
}
"""Defences by name: adversarial training alone and with more, and certified training, IBP."""


def parse_defence(text: str) -> Defence:
    """The defence of a text: "at", "trades(beta=6)", "ibp(ramp=0.5)", ...

    A name of :data:`DEFENCES` is a defence with its defaults; parentheses set its fields.

    :raises ValueError: for an unknown name or field, or a value that the defence
        refuses."""
    return parse_object(text, "defence", DEFENCES, "Adversarial training alone is at.")
