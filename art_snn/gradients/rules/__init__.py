"""The gradient rules, one file each, and the tables of them.

A new rule is a file here, its import below, and a line in :data:`GRADIENTS`."""

from collections.abc import Mapping

from art_snn.gradients.base import Gradient
from art_snn.gradients.rules.assg import ASSG, sharpness_of
from art_snn.gradients.rules.bptr import BPTR
from art_snn.gradients.rules.cba import CBA
from art_snn.gradients.rules.eot import EOT
from art_snn.gradients.rules.extended import Extended
from art_snn.gradients.rules.hart import HART
from art_snn.gradients.rules.mean import Mean
from art_snn.gradients.rules.native import Native
from art_snn.gradients.rules.pdsg import PDSG
from art_snn.gradients.rules.relu import RectifiedANN
from art_snn.gradients.rules.rga import RGA
from art_snn.gradients.rules.static_curve import StaticCurve
from art_snn.gradients.rules.stbp import STBP
from art_snn.gradients.surrogates import Exponential, Rectangle, StraightThrough, Triangle

__all__ = [
    "ASSG",
    "BPTR",
    "CBA",
    "ENSEMBLE_19",
    "EOT",
    "GRADIENTS",
    "HART",
    "PDSG",
    "RGA",
    "STBP",
    "Extended",
    "Mean",
    "Native",
    "RectifiedANN",
    "StaticCurve",
    "sharpness_of",
]

GRADIENTS: Mapping[str, type[Gradient]] = {
    "stbp": STBP,
    "pdsg": PDSG,
    "assg": ASSG,
    "rga": RGA,
    "static": StaticCurve,
    "bptr": BPTR,
    "hart": HART,
    "cba": CBA,
    "relu": RectifiedANN,
}
"""The rules that have a name, with their defaults."""

VARIANTS: Mapping[str, Gradient] = {
    "pdsg-per-sample": PDSG(per_sample=True),
    "assg-through-reset": ASSG(detach_reset=False),
    "native": Native(),
}
"""Further names: rules with other settings, and the rule for adapted networks alone."""

_SURROGATES_17 = (
    *(Triangle(width) for width in (0.25, 0.5, 1.0, 2.0, 3.0)),
    *(Exponential(gamma) for gamma in (0.5, 1.0, 2.0)),
    *(Exponential(gamma, height=0.3) for gamma in (0.5, 1.0, 2.0)),
    *(Rectangle(width) for width in (0.25, 0.5, 1.0, 2.0, 4.0)),
    StraightThrough(),
)

ENSEMBLE_19: tuple[Gradient, ...] = (
    *(STBP(surrogate=surrogate) for surrogate in _SURROGATES_17),
    BPTR(),
    RectifiedANN(),
)
"""The nineteen rules of Ozdenizci and Legenstein (TMLR 2024): STBP with 17 surrogates, through the
reset, BPTR, and the ReLU network. They count a sample as broken if any rule breaks it."""
