"""The neurons of Norse 1.1.0."""

from typing import Any

from art_snn.dynamics import Dynamics, setting
from art_snn.interop.kinds import NeuronKind, ReadOff

SEQUENTIAL = "norse.torch.module.sequential.SequentialState"
"""A container whose states are handed on from call to call."""


def _lif_box(module: Any) -> Dynamics:
    p = module.p
    share = setting(module.dt * p.tau_mem_inv)
    method = getattr(p.reset_method, "__name__", "")
    reset = {"reset": "hard", "v_reset": setting(p.v_reset)}
    if method == "reset_subtract":
        reset = {"reset": "soft"}
    elif method != "reset_value":
        raise ValueError(f"its reset_method is {method or p.reset_method!r}")
    leak = setting(p.v_leak)
    return ReadOff(
        1 - share,
        setting(p.v_th),
        **reset,
        gain=share,
        constant=share * leak,
        strict=True,
        v_start=leak,
        factor=share,
        v_leak=leak,
        order="v + f ((x + l) - v)",
    )


def _iaf_cell(module: Any) -> Dynamics:
    p = module.p
    return ReadOff(
        1.0, setting(p.v_th), v_reset=setting(p.v_reset), strict=True, order="v + x"
    )


_OTHER = "its equations are not those of LIFBoxCell or IAFCell; register_neuron describes others"
_RECURRENT = "it feeds its spikes back into its own current"
_SYNAPTIC = "it has a synaptic current next to its potential; LIFBoxCell has none"
# Leaky integrators do not fire, and are differentiated as any layer.
_SILENT = NeuronKind(_OTHER, "step", (), spikes=lambda module: False)
_PATHS = {
    "lif_box.LIFBoxCell": NeuronKind(
        _lif_box, "step", returns="after reset", handed=True
    ),
    "iaf.IAFCell": NeuronKind(_iaf_cell, "step", returns="after reset", handed=True),
    "snn.SNNCell": NeuronKind(_OTHER, "step", ()),
    "snn.SNN": NeuronKind(_OTHER, "steps", ()),
    "snn.SNNRecurrentCell": NeuronKind(_RECURRENT, "step", ()),
    "snn.SNNRecurrent": NeuronKind(_RECURRENT, "steps", ()),
    "lif.LIFCell": NeuronKind(_SYNAPTIC, "step", ()),
    "lif.LIF": NeuronKind(_SYNAPTIC, "steps", ()),
    "leaky_integrator.LICell": _SILENT,
    "leaky_integrator.LI": _SILENT,
    "leaky_integrator_box.LIBoxCell": _SILENT,
}
KINDS = {f"norse.torch.module.{path}": kind for path, kind in _PATHS.items()}
