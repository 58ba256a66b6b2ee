"""The neurons of SpikingJelly, snnTorch, Norse and sinabs: where they keep what.

Versions 2.0.0 and 0.0.0.0.14 of SpikingJelly, 1.0.0 of snnTorch, 1.1.0 of Norse and 3.1.3 of
sinabs. `make test-frameworks` compares every one of them with the real package."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from art_snn.dynamics import Dynamics
from art_snn.interop.dynamics import ReadOff, Unreadable, setting_of
from art_snn.interop.kinds import Layout, NeuronKind, Returned, unsuited
from art_snn.values import clamp, least

TOLD = "register_neuron tells others"
SPIKINGJELLY = (
    "forward",
    "single_step_forward",
    "multi_step_forward",
    "neuronal_charge",
    "neuronal_fire",
    "neuronal_reset",
    "single_step_functional_forward",
    "multi_step_functional_forward",
    "functional_forward",
    "materialize_states",
)


def _spikingjelly_reset(module: Any) -> dict[str, Any]:
    """Threshold and reset of a SpikingJelly neuron, as arguments of ReadOff."""
    if getattr(module, "_neuron_precision", None) is not None:
        raise Unreadable("it computes in a precision of its own")
    if not getattr(module.surrogate_function, "spiking", True):
        raise Unreadable("its surrogate is not spiking: its outputs are not 0 or 1")
    threshold, rest = setting_of(module.v_threshold), module.v_reset
    if rest is None:
        return {"threshold": threshold, "reset": "soft"}
    return {"threshold": threshold, "rest": setting_of(rest)}


def _if_node(module: nn.Module) -> Dynamics:
    return ReadOff(decay=1.0, order="v + x", **_spikingjelly_reset(module))


def _lif_node(module: Any) -> Dynamics:
    tau = setting_of(module.tau)
    return _leaky(module, 1 / tau, tau, divided=True)


def _parametric_node(module: Any) -> Dynamics:
    share = setting_of(module.w.sigmoid())
    return _leaky(module, share, share, divided=False)


def _leaky(module: Any, share: float, factor: float, *, divided: bool) -> Dynamics:
    """A potential that loses a share of its distance to the reset value in every step."""
    told = _spikingjelly_reset(module)
    leak, how = told.get("rest", 0.0), "/ f" if divided else "f"
    own: dict[str, Any] = {"decay": 1 - share, "constant": share * leak}
    own |= {"factor": factor, "leak": leak}
    if getattr(module, "decay_input", True):  # The versions of 2020 know no other way.
        return ReadOff(**told, **own, gain=share, order=f"v + (x - (v - l)) {how}")
    if _scales(module, told):
        return ReadOff(**told, **{**own, "factor": 1 - share}, order="f v + x")
    return ReadOff(**told, **own, order=f"v - (v - l) {how} + x")


def _scales(module: Any, told: Mapping[str, Any]) -> bool:
    """Whether it computes f v + x, as versions before 2.0 do in some classes and modes."""
    homes = {cls.__module__ for cls in type(module).__mro__}
    if told.get("rest", 0.0) != 0:
        return False
    if "spikingjelly.clock_driven.neuron" in homes:
        return True
    fused = not module.training and not hasattr(module, "w") and told.get("reset") != "soft"
    return "spikingjelly.activation_based.neuron" in homes and not fused


def _step_mode(module: Any) -> Layout:
    return "steps" if getattr(module, "step_mode", "m") == "m" else "step"


def _memories_anew(module: Any, steps: int | None) -> None:
    """What `reset` of SpikingJelly does, without writing into tensors that others may hold."""
    for name, value in getattr(module, "_memories_rv", {}).items():
        module._memories[name] = copy.deepcopy(value)
    module.reset()


def _spikingjelly() -> dict[str, NeuronKind]:
    kinds: dict[str, NeuronKind] = {}
    reads = {"IFNode": _if_node, "LIFNode": _lif_node, "ParametricLIFNode": _parametric_node}
    reads["PLIFNode"] = _parametric_node
    files = {
        "IFNode": "integrate_and_fire",
        "LIFNode": "lif",
        "ParametricLIFNode": "plif",
        "PLIFNode": "plif",
        "BaseNode": "base_node",
        "SimpleBaseNode": "base_node",
    }
    other = unsuited(f"its equations are not those of IFNode, LIFNode or ParametricLIFNode; {TOLD}")
    memory = NeuronKind(other, _step_mode, (), _memories_anew, spikes=lambda module: False)
    for package in ("activation_based", "clock_driven"):
        kinds[f"spikingjelly.{package}.base.MemoryModule"] = memory
    for name, file in files.items():
        equations = SPIKINGJELLY if name in reads else ()
        kind = NeuronKind(reads.get(name, other), _step_mode, equations, _memories_anew)
        kinds[f"spikingjelly.activation_based.neuron.{file}.{name}"] = kind
        kinds[f"spikingjelly.activation_based.neuron.{name}"] = replace(kind, gated=True)
        single = replace(kind, layout=lambda module: "step", gated=True)
        kinds[f"spikingjelly.clock_driven.neuron.{name}"] = single
        kinds[f"spikingjelly.clock_driven.neuron.MultiStep{name}"] = replace(kind, gated=True)
    # Nodes of 2.0 that read their mode.
    gates = {"lif_variants": ["ComplementaryLIFNode"]}
    gates["online_learning"] = ["_OnlineLIFNode", "OTTTLIFNode", "SLTTLIFNode"]
    for file, names in gates.items():
        for name in names:
            kind = NeuronKind(other, _step_mode, (), _memories_anew, gated=True)
            kinds[f"spikingjelly.activation_based.neuron.{file}.{name}"] = kind
    return kinds


def _leaky_of_snntorch(module: Any) -> Dynamics:
    if module.inhibition:
        raise Unreadable("its neurons inhibit one another")
    if module.state_quant:
        raise Unreadable("its state is quantised")
    if setting_of(module.graded_spikes_factor) != 1:
        raise Unreadable("its spikes are graded: its outputs are not 0 or 1")
    threshold = setting_of(module.threshold)
    decay = clamp(setting_of(module.beta), 0.0, 1.0)
    told: dict[str, Any] = {"threshold": threshold, "strict": True, "factor": decay}
    # What runs; the setting reset_mechanism may be changed later without effect.
    how = module.state_function.__name__
    if how == "_base_zero":
        return ReadOff(decay, order="f v + x", **told)
    if how == "_base_int":
        return ReadOff(decay, reset="none", order="f v + x", **told)
    if not module.reset_delay:
        raise Unreadable(
            "with reset_delay=False and reset_mechanism='subtract' a neuron above twice its "
            "threshold is reset twice"
        )
    if least(decay) == 0:
        raise Unreadable("its beta is 0: nothing is left to subtract the reset from")
    drop = threshold / decay
    return ReadOff(decay, reset="soft", drop=drop, late=True, order="f v + x", **told)


def _returned(module: Any) -> Returned:
    # "none" is the same before and after.
    return "before reset" if module.reset_delay else "after reset"


def _snntorch_anew(module: Any, steps: int | None) -> None:
    for name in ("mem", "syn", "spk", "a", "b"):
        state = module._buffers.get(name)
        if isinstance(state, torch.Tensor):
            module._buffers[name] = torch.zeros(0, dtype=state.dtype, device=state.device)


def _snntorch() -> dict[str, NeuronKind]:
    def step(module: nn.Module) -> Layout:
        return "step"

    equations = (
        "forward",
        "fire",
        "mem_reset",
        "_base_state_function",
        "_base_sub",
        "_base_zero",
        "_base_int",
    )
    leaky = NeuronKind(_leaky_of_snntorch, step, equations, _snntorch_anew, returns=_returned)
    kinds = {"snntorch._neurons.leaky.Leaky": leaky}
    recurrent = "it feeds its spikes back into its own current"
    synaptic = "it has a synaptic current besides its potential"
    parallel = "it computes all time steps at once, without a reset"
    for path, reason in {
        "neurons.SpikingNeuron": f"its equations are not those of Leaky; {TOLD}",
        "synaptic.Synaptic": synaptic,
        "rsynaptic.RSynaptic": recurrent,
        "rleaky.RLeaky": recurrent,
        "alpha.Alpha": synaptic,
        "leakyparallel.LeakyParallel": parallel,
        "leakykernel.LeakyKernel": parallel,
        "stateleaky.StateLeaky": parallel,
        "associative.AssociativeLeaky": parallel,
        "deltaleaky.DeltaLeaky": "it fires on changes of its potential",
    }.items():
        kind = NeuronKind(unsuited(reason), step, (), _snntorch_anew)
        kinds[f"snntorch._neurons.{path}"] = kind
    return kinds


def _lif_box(module: Any) -> Dynamics:
    p, share = module.p, setting_of(module.dt * module.p.tau_mem_inv)
    method = getattr(p.reset_method, "__name__", "")
    told: dict[str, Any] = {"reset": "hard", "rest": setting_of(p.v_reset)}
    if method == "reset_subtract":
        told = {"reset": "soft"}
    elif method != "reset_value":
        raise Unreadable(f"its reset_method is {method or p.reset_method!r}")
    leak = setting_of(p.v_leak)
    return ReadOff(
        1 - share,
        setting_of(p.v_th),
        **told,
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


def _norse() -> dict[str, NeuronKind]:
    def step(module: nn.Module) -> Layout:
        return "step"

    def steps(module: nn.Module) -> Layout:
        return "steps"

    equations = ("forward",)
    returned = {"equations": equations, "returns": lambda module: "after reset", "handed": True}
    kinds = {
        "norse.torch.module.lif_box.LIFBoxCell": NeuronKind(_lif_box, step, **returned),  # type: ignore[arg-type]
        "norse.torch.module.iaf.IAFCell": NeuronKind(_iaf_cell, step, **returned),  # type: ignore[arg-type]
    }
    told = f"its equations are not those of LIFBoxCell or IAFCell; {TOLD}"
    other = unsuited(told)
    recurrent = unsuited("it feeds its spikes back into its own current")
    synaptic = unsuited("it has a synaptic current besides its potential; LIFBoxCell has none")
    base = "norse.torch.module.snn"
    kinds[f"{base}.SNNCell"] = NeuronKind(other, step, ())
    kinds[f"{base}.SNN"] = NeuronKind(other, steps, ())
    kinds[f"{base}.SNNRecurrentCell"] = NeuronKind(recurrent, step, ())
    kinds[f"{base}.SNNRecurrent"] = NeuronKind(recurrent, steps, ())
    kinds["norse.torch.module.lif.LIFCell"] = NeuronKind(synaptic, step, ())
    kinds["norse.torch.module.lif.LIF"] = NeuronKind(synaptic, steps, ())
    # Leaky integrators do not fire, and are differentiated as any layer.
    silent = NeuronKind(other, step, (), spikes=lambda module: False)
    for path in (
        "leaky_integrator.LICell",
        "leaky_integrator.LI",
        "leaky_integrator_box.LIBoxCell",
    ):
        kinds[f"norse.torch.module.{path}"] = silent
    return kinds


def _sinabs_neuron(module: Any) -> Dynamics:
    fires = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    if fires != "SingleSpike":
        raise Unreadable(f"{fires} emits more than one spike in a step; SingleSpike does not")
    if module.alpha_syn_calculated is not None:
        raise Unreadable("it has a synaptic current besides its potential (tau_syn)")
    if module.min_v_mem is not None:
        raise Unreadable("its potential has a floor: build it with min_v_mem=None")
    decay = setting_of(module.alpha_mem_calculated)
    threshold, reset = setting_of(module.spike_threshold), module.reset_fn
    told: dict[str, Any] = {"threshold": threshold, "factor": decay, "order": "f v + x"}
    if module.norm_input:
        gain = setting_of(1 - module.alpha_mem_calculated)
        told |= {"gain": gain, "order": "f v + g x"}
    if type(reset).__name__ == "MembraneSubtract":
        drop = reset.subtract_value
        drop = None if drop is None else setting_of(drop)
        return ReadOff(decay, reset="soft", drop=drop, **told)
    if type(reset).__name__ == "MembraneReset" and setting_of(reset.reset_value) == 0:
        return ReadOff(decay, **told)
    raise Unreadable(f"its reset_fn is {reset!r}")


def _sinabs_anew(module: Any, steps: int | None) -> None:
    if getattr(module, "num_timesteps", steps) == -1 and steps is not None:
        # It was told the size of the batch, and would mix samples and steps of another one.
        module.batch_size, module.num_timesteps = -1, steps
    for name, state in module._buffers.items():
        if isinstance(state, torch.Tensor):
            module._buffers[name] = torch.zeros(0, device=state.device)


def _sinabs() -> dict[str, NeuronKind]:
    def layout(module: nn.Module) -> Layout:
        return "samples merged" if hasattr(module, "num_timesteps") else "samples first"

    def spikes(module: Any) -> bool:
        return getattr(module, "spike_fn", None) is not None

    equations = ("forward", "alpha_mem_calculated")
    known = NeuronKind(_sinabs_neuron, layout, equations, _sinabs_anew, spikes=spikes)
    other = unsuited(f"its equations are not those of LIF or IAF; {TOLD}")
    recurrent = unsuited("it feeds its spikes back into its own current")
    kinds = {f"sinabs.layers.lif.{name}": known for name in ("LIF", "LIFSqueeze")}
    kinds |= {f"sinabs.layers.iaf.{name}": known for name in ("IAF", "IAFSqueeze")}
    kinds["sinabs.layers.stateful_layer.StatefulLayer"] = replace(known, read=other, equations=())
    for path in ("lif.LIFRecurrent", "iaf.IAFRecurrent"):
        kinds[f"sinabs.layers.{path}"] = replace(known, read=recurrent, equations=())
    return kinds


KNOWN: Mapping[str, NeuronKind] = MappingProxyType(
    {**_spikingjelly(), **_snntorch(), **_norse(), **_sinabs()}
)
"""Every class that is recognised, by its qualified name."""
