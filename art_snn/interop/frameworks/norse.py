"""The neurons of Norse 1.1.0."""

from dataclasses import replace
from typing import Any

from art_snn.dynamics import Dynamics, setting
from art_snn.interop.kinds import RECURRENT, NeuronKind, ReadOff

SEQUENTIAL = "norse.torch.module.sequential.SequentialState"
"""A container whose states are handed on from call to call."""


def _lif_box(module: Any) -> Dynamics:
    p = module.p
    method = getattr(p.reset_method, "__name__", "")
    if method == "reset_subtract":
        return _leaky(module, reset="soft")
    if method == "reset_value":
        return _leaky(module, v_reset=setting(p.v_reset))
    raise ValueError(f"its reset_method is {method or p.reset_method!r}")


def _lif(module: Any) -> Dynamics:
    loss = setting(module.dt * module.p.tau_syn_inv)
    return replace(
        _leaky(module, v_reset=setting(module.p.v_reset)),
        order="v + f ((l - v) + x)",
        synapse=1 - loss,
        synapse_order="i - f i + x",
        synapse_factor=loss,
    )


def _leaky(module: Any, **reset: Any) -> ReadOff:
    p = module.p
    share = setting(module.dt * p.tau_mem_inv)
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


_OTHER = "its equations are not those of LIF, LIFBoxCell or IAFCell; register_neuron describes others"
# Leaky integrators do not fire, and are differentiated as any layer.
_SILENT = NeuronKind(_OTHER, "step", (), spikes=lambda module: False)
_PATHS = {
    "lif_box.LIFBoxCell": NeuronKind(
        _lif_box, "step", returns="after reset", handed=True
    ),
    "iaf.IAFCell": NeuronKind(_iaf_cell, "step", returns="after reset", handed=True),
    "snn.SNNCell": NeuronKind(_OTHER, "step", ()),
    "snn.SNN": NeuronKind(_OTHER, "steps", ()),
    "snn.SNNRecurrentCell": NeuronKind(RECURRENT, "step", ()),
    "snn.SNNRecurrent": NeuronKind(RECURRENT, "steps", ()),
    "lif.LIFCell": NeuronKind(_lif, "step", returns="after reset", handed=True),
    "lif.LIF": NeuronKind(_lif, "steps", returns="after reset"),
    "leaky_integrator.LICell": _SILENT,
    "leaky_integrator.LI": _SILENT,
    "leaky_integrator_box.LIBoxCell": _SILENT,
}
KINDS = {f"norse.torch.module.{path}": kind for path, kind in _PATHS.items()}
