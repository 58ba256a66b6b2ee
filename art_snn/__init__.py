"""art_snn: attack, train and evaluate spiking networks with the Adversarial Robustness Toolbox."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from art_snn.classifier import PyTorchSpikingClassifier as PyTorchSpikingClassifier
    from art_snn.encoders import Direct as Direct, Frames as Frames, Poisson as Poisson
    from art_snn.gradients import (
        ASSG as ASSG,
        BPTR as BPTR,
        CBA as CBA,
        EOT as EOT,
        GRADIENTS as GRADIENTS,
        HART as HART,
        PDSG as PDSG,
        RGA as RGA,
        STBP as STBP,
        Extended as Extended,
        Mean as Mean,
        Native as Native,
        RectifiedANN as RectifiedANN,
        StaticCurve as StaticCurve,
    )
    from art_snn.interop import adapt as adapt, register_neuron as register_neuron
    from art_snn.layers import TimeDistributed as TimeDistributed
    from art_snn.network import SpikingNetwork as SpikingNetwork
    from art_snn.neurons import IF as IF, LIF as LIF

__version__ = "0.1.0"

_NAMES = {
    "classifier": "PyTorchSpikingClassifier",
    "encoders": "Direct Frames Poisson",
    "gradients": "ASSG BPTR CBA EOT GRADIENTS HART PDSG RGA STBP "
    "Extended Mean Native RectifiedANN StaticCurve",
    "interop": "adapt register_neuron",
    "layers": "TimeDistributed",
    "network": "SpikingNetwork",
    "neurons": "IF LIF",
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    """A public name or a module, imported when first asked for: torch and ART take seconds."""
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
