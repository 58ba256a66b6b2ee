"""The neurons of snnTorch 1.0.0."""

from dataclasses import replace
from typing import Any

import torch

from art_snn.dynamics import Dynamics, least, setting
from art_snn.interop.kinds import RECURRENT, NeuronKind, ReadOff

_EQUATIONS = (
    "forward",
    "fire",
    "mem_reset",
    "_base_state_function",
    "_base_state_reset_zero",
    "_base_sub",
    "_base_zero",
    "_base_int",
)


def _leaky(module: Any) -> ReadOff:
    if module.inhibition:
        raise ValueError("its neurons inhibit one another")
    if module.state_quant:
        raise ValueError("its state is quantised")
    threshold = setting(module.threshold)
    decay = setting(module.beta.clamp(0, 1))
    settings = {
        "threshold": threshold,
        "strict": True,
        "factor": decay,
        "order": "f v + x",
        "amplitude": setting(module.graded_spikes_factor),
    }
    # What runs; the setting reset_mechanism may be changed later without effect.
    state_function = module.state_function.__name__
    if state_function == "_base_zero":
        return ReadOff(decay, **settings)
    if state_function == "_base_int":
        return ReadOff(decay, reset="none", **settings)
    if not module.reset_delay:
        raise ValueError(
            "with reset_delay=False and reset_mechanism='subtract' a neuron above twice its "
            "threshold is reset twice"
        )
    if least(decay) == 0:
        raise ValueError("its beta is 0: nothing is left to subtract the reset from")
    return ReadOff(decay, reset="soft", reset_by=threshold / decay, late=True, **settings)


def _synaptic(module: Any) -> Dynamics:
    if module.reset_delay and module.state_function.__name__ == "_base_zero":
        raise ValueError(
            "with reset_mechanism='zero' and reset_delay=True a reset also wipes the current of "
            "the next step, so temporal rules exchange its slope alone; reset_delay=False is known"
        )
    return replace(_leaky(module), synapse=setting(module.alpha.clamp(0, 1)))


def _clear_states(module: Any, steps: int | None) -> None:
    for name in ("mem", "syn", "spk", "a", "b"):
        state = module._buffers.get(name)
        if isinstance(state, torch.Tensor):
            module._buffers[name] = state.new_zeros(0)


_PARALLEL = "it computes all time steps at once, without a reset"
_REFUSED = {
    "neurons.SpikingNeuron": (
        "its equations are not those of Leaky or Synaptic; register_neuron describes others"
    ),
    "rsynaptic.RSynaptic": RECURRENT,
    "rleaky.RLeaky": RECURRENT,
    "alpha.Alpha": "it is the difference of two synaptic currents, which Dynamics does not have",
    "leakyparallel.LeakyParallel": _PARALLEL,
    "leakykernel.LeakyKernel": _PARALLEL,
}
_LEAKY = NeuronKind(
    _leaky,
    "step",
    _EQUATIONS,
    _clear_states,
    # "none" is the same before and after.
    returns=lambda module: "before reset" if module.reset_delay else "after reset",
)
KINDS = {
    "snntorch._neurons.leaky.Leaky": _LEAKY,
    "snntorch._neurons.synaptic.Synaptic": replace(_LEAKY, read=_synaptic),
} | {
    f"snntorch._neurons.{path}": NeuronKind(reason, "step", (), _clear_states)
    for path, reason in _REFUSED.items()
}
