"""How a spiking network is differentiated: one interface, two engines, one file per rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from art_snn.checks import invalid
from art_snn.gradients.assg import ASSG, sharpness_of
from art_snn.gradients.base import Differentiable, Execution, Firing, Gradient, Site
from art_snn.gradients.bptr import BPTR
from art_snn.gradients.cba import CBA
from art_snn.gradients.composite import Composite
from art_snn.gradients.eot import EOT
from art_snn.gradients.extended import Extended
from art_snn.gradients.hart import HART
from art_snn.gradients.mean import Mean
from art_snn.gradients.pdsg import PDSG
from art_snn.gradients.rate import RateGradient, Trace
from art_snn.gradients.rga import RGA
from art_snn.gradients.static_curve import StaticCurve
from art_snn.gradients.stbp import STBP
from art_snn.gradients.surrogates import (
    ATan,
    Erf,
    FastSigmoid,
    Gaussian,
    Rectangle,
    Sigmoid,
    Surrogate,
    Triangle,
)
from art_snn.gradients.temporal import TemporalGradient

GRADIENTS: Mapping[str, type[Gradient]] = MappingProxyType(
    {
        "stbp": STBP,
        "pdsg": PDSG,
        "assg": ASSG,
        "rga": RGA,
        "static": StaticCurve,
        "bptr": BPTR,
        "hart": HART,
        "cba": CBA,
    }
)
"""Every rule that can be chosen by name, with its defaults."""


def resolve(gradient: Gradient | str, argument: str = "gradient") -> Gradient:
    """A rule from an instance or a name of :data:`GRADIENTS`.

    :raises ValueError: for an unknown name; the message lists the known ones.
    :raises TypeError: for anything that is neither a rule nor a name.
    """
    if isinstance(gradient, Gradient):
        return gradient
    known = ", ".join(repr(name) for name in GRADIENTS)
    if not isinstance(gradient, str):
        raise TypeError(
            f"{argument}: expected a gradient rule such as RGA() or one of {known}, "
            f"got {gradient!r}. Pass an instance, not a class."
        )
    if gradient not in GRADIENTS:
        raise invalid(
            argument,
            expected=f"one of {known}",
            got=repr(gradient),
            remedy="A rule of your own is passed as an instance.",
        )
    return GRADIENTS[gradient]()


def applicable(sites: Iterable[Site]) -> list[str]:
    """Names of the rules that apply, with their defaults, to every neuron of a network."""
    every = list(sites)
    return [
        name
        for name, kind in GRADIENTS.items()
        if not any(kind().objection(site.dynamics) for site in every)
    ]


def check_applicable(rule: Gradient, sites: Iterable[Site], argument: str = "gradient") -> None:
    """Refuse a rule that does not apply to one of the neurons of a network.

    :raises ValueError: with the reason, and the names of the rules that do apply.
    """
    every = list(sites)
    for site in every:
        reason = rule.objection(site.dynamics)
        if reason is not None:
            names = ", ".join(map(repr, applicable(every)))
            raise invalid(
                argument,
                expected="a rule that applies to every neuron of the network",
                got=f"{rule}, which does not apply to neuron {site.name!r} with "
                f"{site.dynamics}: {reason}",
                remedy=f"The rules that do apply: {names or 'none'}.",
            )


__all__ = [
    "ASSG",
    "BPTR",
    "CBA",
    "EOT",
    "GRADIENTS",
    "HART",
    "PDSG",
    "RGA",
    "STBP",
    "ATan",
    "Composite",
    "Differentiable",
    "Erf",
    "Execution",
    "Extended",
    "FastSigmoid",
    "Firing",
    "Gaussian",
    "Gradient",
    "Mean",
    "RateGradient",
    "Rectangle",
    "Sigmoid",
    "Site",
    "StaticCurve",
    "Surrogate",
    "TemporalGradient",
    "Trace",
    "Triangle",
    "applicable",
    "check_applicable",
    "resolve",
    "sharpness_of",
]
