"""Architectures of the papers and a small one, as functions that build a SpikingNetwork."""

from art_snn.models.architecture import (
    DEFAULTS as DEFAULTS,
    ENCODERS as ENCODERS,
    MODELS as MODELS,
    Architecture as Architecture,
)
from art_snn.models.options import Options as Options, kaiming as kaiming
from art_snn.models.resnet import (
    Residual as Residual,
    resnet17 as resnet17,
    sew_resnet17 as sew_resnet17,
)
from art_snn.models.vgg import (
    Widths as Widths,
    cnn4 as cnn4,
    vgg as vgg,
    vgg5 as vgg5,
    vgg11 as vgg11,
    vgg16 as vgg16,
    vgg_dvs as vgg_dvs,
)
