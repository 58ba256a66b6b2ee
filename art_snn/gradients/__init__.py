"""How a spiking network is differentiated: one interface, two engines, one file per rule."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from art_snn.checks import invalid
from art_snn.gradients.base import Differentiable, Execution, Firing, Gradient, Site
from art_snn.gradients.rate import RateGradient, Trace
from art_snn.gradients.rga import RGA
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

GRADIENTS: Mapping[str, type[Gradient]] = MappingProxyType({"stbp": STBP, "rga": RGA})
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


__all__ = [
    "GRADIENTS",
    "RGA",
    "STBP",
    "ATan",
    "Differentiable",
    "Erf",
    "Execution",
    "FastSigmoid",
    "Firing",
    "Gaussian",
    "Gradient",
    "RateGradient",
    "Rectangle",
    "Sigmoid",
    "Site",
    "Surrogate",
    "TemporalGradient",
    "Trace",
    "Triangle",
    "resolve",
]
