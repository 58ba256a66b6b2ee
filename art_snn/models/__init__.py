"""The architectures of the papers, as functions that build a SpikingNetwork."""

from __future__ import annotations

from art_snn.models.architecture import DEFAULTS, ENCODERS, Architecture
from art_snn.models.initial import kaiming
from art_snn.models.named import MODELS
from art_snn.models.options import Options
from art_snn.models.resnet import Residual, resnet17, sew_resnet17
from art_snn.models.vgg import Plan, vgg, vgg5, vgg11, vgg16, vgg_dvs

__all__ = [
    "DEFAULTS",
    "ENCODERS",
    "MODELS",
    "Architecture",
    "Options",
    "Plan",
    "Residual",
    "kaiming",
    "resnet17",
    "sew_resnet17",
    "vgg",
    "vgg5",
    "vgg11",
    "vgg16",
    "vgg_dvs",
]
