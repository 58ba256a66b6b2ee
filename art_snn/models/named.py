"""The models that have a name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from art_snn.models.resnet import resnet17, sew_resnet17
from art_snn.models.vgg import vgg5, vgg11, vgg16, vgg_dvs
from art_snn.network import SpikingNetwork

MODELS: Mapping[str, Callable[..., SpikingNetwork]] = MappingProxyType(
    {
        "vgg5": vgg5,
        "vgg11": vgg11,
        "vgg16": vgg16,
        "resnet17": resnet17,
        "sew-resnet17": sew_resnet17,
        "vgg-dvs": vgg_dvs,
    }
)
"""Every model that can be chosen by name on the command line."""
