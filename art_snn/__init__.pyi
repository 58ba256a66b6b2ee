"""The public names of the package, and where they are: read by type checkers and by __init__."""

__version__: str

from art_snn.classifier import PyTorchSpikingClassifier as PyTorchSpikingClassifier
from art_snn.encoders import (
    SQE as SQE,
    Ablation as Ablation,
    Direct as Direct,
    Frames as Frames,
    Frequency as Frequency,
    Poisson as Poisson,
)
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
from art_snn.interop import (
    adapt as adapt,
    from_nir as from_nir,
    register_neuron as register_neuron,
)
from art_snn.layers import TimeDistributed as TimeDistributed
from art_snn.network import SpikingNetwork as SpikingNetwork
from art_snn.neurons import IF as IF, LIF as LIF
