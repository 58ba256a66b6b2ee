"""The neurons of snnTorch 1.0.0."""

from typing import Any

import torch

from art_snn.dynamics import Dynamics, clamp, least
from art_snn.interop.dynamics import ReadOff, Unreadable, setting_of
from art_snn.interop.kinds import NeuronKind, Returned, always, other_than, unreadable

EQUATIONS = (
    "forward",
    "fire",
    "mem_reset",
    "_base_state_function",
    "_base_sub",
    "_base_zero",
    "_base_int",
)


def _leaky(module: Any) -> Dynamics:
    if module.inhibition:
        raise Unreadable("its neurons inhibit one another")
    if module.state_quant:
        raise Unreadable("its state is quantised")
    if setting_of(module.graded_spikes_factor) != 1:
        raise Unreadable("its spikes are graded: its outputs are not 0 or 1")
    threshold = setting_of(module.threshold)
    decay = clamp(setting_of(module.beta), 0.0, 1.0)
    settings: dict[str, Any] = {"threshold": threshold, "strict": True, "factor": decay}
    settings["order"] = "f v + x"
    # What runs; the setting reset_mechanism may be changed later without effect.
    state_function = module.state_function.__name__
    if state_function == "_base_zero":
        return ReadOff(decay, **settings)
    if state_function == "_base_int":
        return ReadOff(decay, reset="none", **settings)
    if not module.reset_delay:
        raise Unreadable(
            "with reset_delay=False and reset_mechanism='subtract' a neuron above twice its "
            "threshold is reset twice"
        )
    if least(decay) == 0:
        raise Unreadable("its beta is 0: nothing is left to subtract the reset from")
    return ReadOff(decay, reset="soft", drop=threshold / decay, late=True, **settings)


def _returned(module: Any) -> Returned:
    # "none" is the same before and after.
    return "before reset" if module.reset_delay else "after reset"


def _states_anew(module: Any, steps: int | None) -> None:
    for name in ("mem", "syn", "spk", "a", "b"):
        state = module._buffers.get(name)
        if isinstance(state, torch.Tensor):
            module._buffers[name] = torch.zeros(0, dtype=state.dtype, device=state.device)


def _kinds() -> dict[str, NeuronKind]:
    step = always("step")
    kinds = {"leaky.Leaky": NeuronKind(_leaky, step, EQUATIONS, _states_anew, returns=_returned)}
    recurrent = unreadable("it feeds its spikes back into its own current")
    synaptic = unreadable("it has a synaptic current next to its potential")
    parallel = unreadable("it computes all time steps at once, without a reset")
    for path, read in {
        "neurons.SpikingNeuron": other_than("Leaky"),
        "synaptic.Synaptic": synaptic,
        "rsynaptic.RSynaptic": recurrent,
        "rleaky.RLeaky": recurrent,
        "alpha.Alpha": synaptic,
        "leakyparallel.LeakyParallel": parallel,
        "leakykernel.LeakyKernel": parallel,
        "stateleaky.StateLeaky": parallel,
        "associative.AssociativeLeaky": parallel,
        "deltaleaky.DeltaLeaky": unreadable("it fires on changes of its potential"),
    }.items():
        kinds[path] = NeuronKind(read, step, (), _states_anew)
    return {f"snntorch._neurons.{path}": kind for path, kind in kinds.items()}


KINDS = _kinds()
