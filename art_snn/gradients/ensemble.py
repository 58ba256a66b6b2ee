"""The published ensemble of gradients, for attacks that may choose among them sample by sample."""

from art_snn.gradients.base import Gradient
from art_snn.gradients.bptr import BPTR
from art_snn.gradients.relu import RectifiedANN
from art_snn.gradients.stbp import STBP
from art_snn.gradients.surrogates import Exponential, Rectangle, StraightThrough, Triangle

SURROGATES = (
    *(Triangle(width) for width in (0.25, 0.5, 1.0, 2.0, 3.0)),
    *(Exponential(gamma) for gamma in (0.5, 1.0, 2.0)),
    *(Exponential(gamma, height=0.3) for gamma in (0.5, 1.0, 2.0)),
    *(Rectangle(width) for width in (0.25, 0.5, 1.0, 2.0, 4.0)),
    StraightThrough(),
)

ENSEMBLE_19: tuple[Gradient, ...] = (
    *(STBP(surrogate=surrogate) for surrogate in SURROGATES),
    BPTR(),
    RectifiedANN(),
)
"""The nineteen rules of Ozdenizci and Legenstein (TMLR 2024), who count a sample as broken if any
of them breaks it: STBP with 17 surrogates, BPTR, and the ReLU network of the same weights.

Ours of STBP differentiate through the reset, which is its default (`detach_reset=False`)."""
