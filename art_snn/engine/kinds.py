"""The types of layers without state that are known: one row for each in LAYER_KINDS."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import Module, functional

from art_snn.layers import Normalize, Residual, Scale, TimeDistributed
from art_snn.modulation import Noise


class LayerKind(NamedTuple):
    """What modules of one type compute in evaluation mode.

    :param function: the same as a function of x and of the `arguments`, of which weights can be
        constants; None for modules that are called as they are, since they have no weights.
    :param arguments: the attributes of a module that are the further arguments.
    :param affine: True if it is affine in x.
    :param passes: True if it gives x as it is.
    :param reshapes: True if it gives the values of x in another shape."""

    function: Callable[..., Tensor] | None = None
    arguments: tuple[str, ...] = ()
    affine: bool = True
    passes: bool = False
    reshapes: bool = False


_WEIGHTS = ("weight", "bias")
_CONVOLUTION = (*_WEIGHTS, "stride", "padding", "dilation", "groups")
_NORM = ("running_mean", "running_var", *_WEIGHTS, "training", "momentum", "eps")
_WINDOW = (
    "kernel_size",
    "stride",
    "padding",
    "ceil_mode",
    "count_include_pad",
    "divisor_override",
)

_AFFINE = LayerKind()
_PASSES = LayerKind(passes=True)
_RESHAPES = LayerKind(reshapes=True)
_CURVED = LayerKind(affine=False)

LAYER_KINDS: Mapping[type[Module], LayerKind] = {
    nn.Conv2d: LayerKind(functional.conv2d, _CONVOLUTION),
    nn.Linear: LayerKind(functional.linear, _WEIGHTS),
    nn.BatchNorm1d: LayerKind(functional.batch_norm, _NORM),
    nn.BatchNorm2d: LayerKind(functional.batch_norm, _NORM),
    nn.AvgPool2d: LayerKind(functional.avg_pool2d, _WINDOW),
    nn.AdaptiveAvgPool2d: _AFFINE,
    nn.MaxPool2d: _CURVED,
    nn.AdaptiveMaxPool2d: _CURVED,
    nn.ReLU: _CURVED,
    nn.Dropout: _PASSES,
    nn.Dropout1d: _PASSES,
    nn.Dropout2d: _PASSES,
    nn.Dropout3d: _PASSES,
    nn.AlphaDropout: _PASSES,
    nn.FeatureAlphaDropout: _PASSES,
    nn.Identity: _PASSES,
    Noise: _PASSES,
    nn.Flatten: _RESHAPES,
    nn.Unflatten: _RESHAPES,
    Normalize: _AFFINE,
    Scale: _AFFINE,
    nn.Sequential: _AFFINE,
    TimeDistributed: _AFFINE,
    Residual: _AFFINE,
}
"""The known types, of torch and ours. Layers that hold others are as affine as these are.

Types that are missing may be used: passes find out what they compute, or refuse them by name."""


def kind_of(module: Module) -> LayerKind:
    """The row of a module's type; for other types one that promises nothing."""
    return LAYER_KINDS.get(type(module), _CURVED)
