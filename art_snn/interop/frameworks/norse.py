"""The neurons of Norse 1.1.0."""

from typing import Any

from art_snn.dynamics import Dynamics
from art_snn.interop.dynamics import ReadOff, Unreadable, setting_of
from art_snn.interop.kinds import NeuronKind, always, other_than, unreadable

SEQUENTIAL = "norse.torch.module.sequential.SequentialState"
"""A container whose states are handed on from call to call."""


def _lif_box(module: Any) -> Dynamics:
    p, share = module.p, setting_of(module.dt * module.p.tau_mem_inv)
    method = getattr(p.reset_method, "__name__", "")
    reset: dict[str, Any] = {"reset": "hard", "rest": setting_of(p.v_reset)}
    if method == "reset_subtract":
        reset = {"reset": "soft"}
    elif method != "reset_value":
        raise Unreadable(f"its reset_method is {method or p.reset_method!r}")
    leak = setting_of(p.v_leak)
    return ReadOff(
        1 - share,
        setting_of(p.v_th),
        **reset,
        gain=share,
        constant=share * leak,
        strict=True,
        start=leak,
        factor=share,
        leak=leak,
        order="v + f ((x + l) - v)",
    )


def _iaf_cell(module: Any) -> Dynamics:
    rest = setting_of(module.p.v_reset)
    return ReadOff(1.0, setting_of(module.p.v_th), rest=rest, strict=True, order="v + x")


def _kinds() -> dict[str, NeuronKind]:
    step, steps = always("step"), always("steps")
    other = other_than("LIFBoxCell or IAFCell")
    recurrent = unreadable("it feeds its spikes back into its own current")
    synaptic = unreadable("it has a synaptic current next to its potential; LIFBoxCell has none")
    # Leaky integrators do not fire, and are differentiated as any layer.
    silent = NeuronKind(other, step, (), spikes=always(False))
    after = always("after reset")
    kinds = {
        "lif_box.LIFBoxCell": NeuronKind(_lif_box, step, returns=after, handed=True),
        "iaf.IAFCell": NeuronKind(_iaf_cell, step, returns=after, handed=True),
        "snn.SNNCell": NeuronKind(other, step, ()),
        "snn.SNN": NeuronKind(other, steps, ()),
        "snn.SNNRecurrentCell": NeuronKind(recurrent, step, ()),
        "snn.SNNRecurrent": NeuronKind(recurrent, steps, ()),
        "lif.LIFCell": NeuronKind(synaptic, step, ()),
        "lif.LIF": NeuronKind(synaptic, steps, ()),
        "leaky_integrator.LICell": silent,
        "leaky_integrator.LI": silent,
        "leaky_integrator_box.LIBoxCell": silent,
    }
    return {f"norse.torch.module.{path}": kind for path, kind in kinds.items()}


KINDS = _kinds()
