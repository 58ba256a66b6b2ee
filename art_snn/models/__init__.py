"""Architectures of the papers and a small one, as functions that build a SpikingNetwork."""

from art_snn.layers import Residual as Residual
from art_snn.models.networks import (
    DEFAULTS as DEFAULTS,
    MODELS as MODELS,
    Options as Options,
    build_model as build_model,
    cnn4 as cnn4,
    resnet17 as resnet17,
    sew_resnet17 as sew_resnet17,
    shallow as shallow,
    vgg as vgg,
    vgg5 as vgg5,
    vgg11 as vgg11,
    vgg16 as vgg16,
    vgg_dvs as vgg_dvs,
)
