"""How a spiking network is differentiated: one interface, two engines, one file per rule."""

from art_snn.gradients.assg import ASSG as ASSG, sharpness_of as sharpness_of
from art_snn.gradients.base import (
    Differentiable as Differentiable,
    Execution as Execution,
    Firing as Firing,
    Gradient as Gradient,
    Site as Site,
)
from art_snn.gradients.bptr import BPTR as BPTR
from art_snn.gradients.cba import CBA as CBA
from art_snn.gradients.composite import Composite as Composite
from art_snn.gradients.conversion import Conversion as Conversion
from art_snn.gradients.ensemble import ENSEMBLE_19 as ENSEMBLE_19
from art_snn.gradients.eot import EOT as EOT
from art_snn.gradients.extended import Extended as Extended
from art_snn.gradients.hart import HART as HART
from art_snn.gradients.mean import Mean as Mean
from art_snn.gradients.native import Native as Native
from art_snn.gradients.pdsg import PDSG as PDSG
from art_snn.gradients.rate import RateGradient as RateGradient, Trace as Trace
from art_snn.gradients.relu import RectifiedANN as RectifiedANN
from art_snn.gradients.rga import RGA as RGA
from art_snn.gradients.rules import (
    GRADIENTS as GRADIENTS,
    applicable as applicable,
    check_applicable as check_applicable,
    engine_of as engine_of,
    name_of as name_of,
    objection as objection,
    resolve as resolve,
    rule_named as rule_named,
    rules_named as rules_named,
    short_name as short_name,
)
from art_snn.gradients.static_curve import StaticCurve as StaticCurve
from art_snn.gradients.stbp import STBP as STBP
from art_snn.gradients.surrogates import (
    ATan as ATan,
    Erf as Erf,
    Exponential as Exponential,
    FastSigmoid as FastSigmoid,
    Gaussian as Gaussian,
    Rectangle as Rectangle,
    Sigmoid as Sigmoid,
    StraightThrough as StraightThrough,
    Surrogate as Surrogate,
    Triangle as Triangle,
)
from art_snn.gradients.temporal import TemporalGradient as TemporalGradient
