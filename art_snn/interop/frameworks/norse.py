"""The neurons of Norse 1.1.0."""

from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_map

from art_snn.dynamics import Dynamics, setting
from art_snn.interop.kinds import RECURRENT, NeuronKind, ReadOff

SEQUENTIAL = "norse.torch.module.sequential.SequentialState"
"""A container whose states are handed on from call to call."""


def _lif_box(module: Any) -> ReadOff:
    p = module.p
    share = setting(module.dt * p.tau_mem_inv)
    # LIF has none, and resets to a value.
    way = getattr(p, "reset_method", None)
    method = getattr(way, "__name__", "")
    reset = {"reset": "hard", "v_reset": setting(p.v_reset)}
    if method == "reset_subtract":
        reset = {"reset": "soft"}
    elif way and method != "reset_value":
        raise ValueError(f"its reset_method is {method or way!r}")
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


def _lif(module: Any) -> Dynamics:
    return replace(
        _lif_box(module),
        order="v + f ((l - v) + x)",
        synapse=1 - setting(module.dt * module.p.tau_syn_inv),
        synapse_order="v - (1 - f) v + x",
    )


def _iaf_cell(module: Any) -> Dynamics:
    p = module.p
    return ReadOff(
        1.0, setting(p.v_th), v_reset=setting(p.v_reset), strict=True, order="v + x"
    )


def _detach_start(module: Any, steps: int | None) -> None:
    """Let a state that a module starts from take no gradient: it is no parameter."""
    start = module.state_fallback
    module.state_fallback = lambda x: tree_map(torch.detach, start(x))


_OTHER = (
    "its equations are not those of LIF, LIFBoxCell or IAFCell; "
    "register_neuron describes others"
)
_CELL = NeuronKind(_OTHER, "step", (), refresh=_detach_start)
# Leaky integrators do not fire, and are differentiated as any layer.
_SILENT = NeuronKind(_OTHER, "step", (), spikes=lambda module: False)
_BOX = NeuronKind(_lif_box, "step", returns="after reset", handed=True)
_PATHS = {
    "lif_box.LIFBoxCell": _BOX,
    "iaf.IAFCell": replace(_BOX, read=_iaf_cell),
    "snn.SNNCell": _CELL,
    "snn.SNN": replace(_CELL, layout="steps"),
    "snn.SNNRecurrentCell": replace(_CELL, read=RECURRENT),
    "snn.SNNRecurrent": replace(_CELL, read=RECURRENT, layout="steps"),
    "lif.LIFCell": replace(_BOX, read=_lif),
    "lif.LIF": NeuronKind(_lif, "steps", returns="after reset"),
    "leaky_integrator.LICell": _SILENT,
    "leaky_integrator.LI": _SILENT,
    "leaky_integrator_box.LIBoxCell": _SILENT,
}
KINDS = {f"norse.torch.module.{path}": kind for path, kind in _PATHS.items()}
