"""art_snn: attack, train and evaluate spiking networks with the Adversarial Robustness Toolbox."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from art_snn.classifier import PyTorchSpikingClassifier
    from art_snn.encoders import Direct, Frames, Poisson
    from art_snn.gradients import (
        ASSG,
        BPTR,
        CBA,
        EOT,
        GRADIENTS,
        HART,
        PDSG,
        RGA,
        STBP,
        Extended,
        Mean,
        StaticCurve,
    )
    from art_snn.layers import TimeDistributed
    from art_snn.network import SpikingNetwork
    from art_snn.neurons import IF, LIF

__version__ = "0.1.0"

__all__ = [
    "ASSG",
    "BPTR",
    "CBA",
    "EOT",
    "GRADIENTS",
    "HART",
    "IF",
    "LIF",
    "PDSG",
    "RGA",
    "STBP",
    "Direct",
    "Extended",
    "Frames",
    "Mean",
    "Poisson",
    "PyTorchSpikingClassifier",
    "SpikingNetwork",
    "StaticCurve",
    "TimeDistributed",
]

_PLACES = {
    "PyTorchSpikingClassifier": "classifier",
    "SpikingNetwork": "network",
    "TimeDistributed": "layers",
    **dict.fromkeys(("Direct", "Frames", "Poisson"), "encoders"),
    **dict.fromkeys(("IF", "LIF"), "neurons"),
}
"""Modules of the public names; of the others it is gradients."""


def __getattr__(name: str) -> Any:
    """A public name or a module, imported when first asked for: torch and ART take seconds."""
    if name in __all__:
        module = import_module(f"{__name__}.{_PLACES.get(name, 'gradients')}")
        return getattr(module, name)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
