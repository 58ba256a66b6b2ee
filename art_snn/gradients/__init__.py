"""How a spiking network is differentiated: one interface, two engines, one file per rule."""

from __future__ import annotations

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
from art_snn.gradients.rules import (
    GRADIENTS,
    applicable,
    check_applicable,
    chosen,
    kind_of,
    name_of,
    named,
    objection,
    resolve,
)
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
    "chosen",
    "kind_of",
    "name_of",
    "named",
    "objection",
    "resolve",
    "sharpness_of",
]
