"""How a spiking network is differentiated: one interface, two engines, one file per rule."""

from art_snn.gradients.base import (
    Body as Body,
    Composite as Composite,
    Execution as Execution,
    Firing as Firing,
    Gradient as Gradient,
    NeuronRef as NeuronRef,
)
from art_snn.gradients.names import (
    applicable as applicable,
    check_applicable as check_applicable,
    choose_rule as choose_rule,
    hyperparameters as hyperparameters,
    objection as objection,
    parse_call as parse_call,
    parse_object as parse_object,
    parse_rule as parse_rule,
    parse_rules as parse_rules,
    short_name as short_name,
    spell as spell,
)
from art_snn.gradients.rate import (
    Conversion as Conversion,
    RateGradient as RateGradient,
    Trace as Trace,
)
from art_snn.gradients.rules import *  # noqa: F403
from art_snn.gradients.surrogates import (
    ATan as ATan,
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
