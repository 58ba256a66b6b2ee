"""The neurons of sinabs 3.1.3."""

from dataclasses import replace
from typing import Any

import torch

from art_snn.dynamics import Dynamics, setting
from art_snn.interop.kinds import NeuronKind, ReadOff


def _neuron(module: Any) -> Dynamics:
    fires = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    if fires not in ("SingleSpike", "MultiSpike", "MaxSpike"):
        raise ValueError(f"its spike_fn is {fires}")
    if module.alpha_syn_calculated is not None:
        raise ValueError("it has a synaptic current next to its potential (tau_syn)")
    decay = setting(module.alpha_mem_calculated)
    reset = module.reset_fn
    threshold = setting(module.spike_threshold)
    settings = {"threshold": threshold, "factor": decay, "order": "f v + x"}
    if fires != "SingleSpike":
        settings["max_spikes"] = getattr(module.spike_fn, "max_num_spikes_per_bin", None)
    if module.min_v_mem is not None:
        settings["floor"] = setting(module.min_v_mem)
    if module.norm_input:
        gain = setting(1 - module.alpha_mem_calculated)
        settings |= {"gain": gain, "order": "f v + g x"}
    if type(reset).__name__ == "MembraneSubtract":
        drop = reset.subtract_value
        drop = None if drop is None else setting(drop)
        return ReadOff(decay, reset="soft", reset_by=drop, **settings)
    if type(reset).__name__ == "MembraneReset" and setting(reset.reset_value) == 0:
        return ReadOff(decay, **settings)
    raise ValueError(f"its reset_fn is {reset!r}")


def _clear_states(module: Any, steps: int | None) -> None:
    if getattr(module, "num_timesteps", steps) == -1 and steps is not None:
        # It has the size of its batch, and would mix samples and steps of another one.
        module.batch_size = -1
        module.num_timesteps = steps
    for name, state in module._buffers.items():
        if isinstance(state, torch.Tensor):
            module._buffers[name] = torch.zeros(0, device=state.device)


_NEURON = NeuronKind(
    _neuron,
    lambda module: (
        "samples merged" if hasattr(module, "num_timesteps") else "samples first"
    ),
    ("forward", "alpha_mem_calculated"),
    _clear_states,
    spikes=lambda module: getattr(module, "spike_fn", None) is not None,
)
_OTHER = replace(
    _NEURON,
    read="its equations are not those of LIF or IAF; register_neuron describes others",
    equations=(),
)
_RECURRENT = replace(_OTHER, read="it feeds its spikes back into its own current")
_PATHS = {
    "lif.LIF": _NEURON,
    "lif.LIFSqueeze": _NEURON,
    "lif.LIFRecurrent": _RECURRENT,
    "iaf.IAF": _NEURON,
    "iaf.IAFSqueeze": _NEURON,
    "iaf.IAFRecurrent": _RECURRENT,
    "stateful_layer.StatefulLayer": _OTHER,
}
KINDS = {f"sinabs.layers.{path}": kind for path, kind in _PATHS.items()}
