"""The neurons of SpikingJelly, versions 2.0.0 and 0.0.0.0.14, and of its clock_driven of 2020."""

import copy
from dataclasses import replace
from typing import Any

from art_snn.dynamics import Dynamics, setting
from art_snn.interop.kinds import Layout, NeuronKind, ReadOff

_EQUATIONS = (
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


def _reset(module: Any) -> dict[str, Any]:
    """Threshold and reset of a SpikingJelly neuron, as arguments of ReadOff."""
    if getattr(module, "_neuron_precision", None) is not None:
        raise ValueError("it computes in a precision of its own")
    if not getattr(module.surrogate_function, "spiking", True):
        raise ValueError("its surrogate is not spiking: its outputs are not 0 or 1")
    threshold = setting(module.v_threshold)
    rest = module.v_reset
    if rest is None:
        return {"threshold": threshold, "reset": "soft"}
    return {"threshold": threshold, "v_reset": setting(rest)}


def _lif_node(module: Any) -> Dynamics:
    """A potential that loses a share of its distance to the reset value in every step."""
    learns = hasattr(module, "w")
    reset = _reset(module)
    factor = setting(module.w.sigmoid() if learns else module.tau)
    share, times = (factor, "f") if learns else (1 / factor, "/ f")
    leak = reset.get("v_reset", 0.0)
    settings = {
        "decay": 1 - share,
        "constant": share * leak,
        "factor": factor,
        "v_leak": leak,
        **reset,
    }
    if getattr(module, "decay_input", True):  # The versions of 2020 know no other way.
        return ReadOff(**settings, gain=share, order=f"v + (x - (v - l)) {times}")
    # Versions before 2.0 compute f v + x in some classes and modes.
    homes = {cls.__module__ for cls in type(module).__mro__}
    fused = not module.training and not learns and reset.get("reset") != "soft"
    scales = "spikingjelly.activation_based.neuron" in homes and not fused
    if leak == 0 and (scales or "spikingjelly.clock_driven.neuron" in homes):
        return ReadOff(**settings | {"factor": 1 - share}, order="f v + x")
    return ReadOff(**settings, order=f"v - (v - l) {times} + x")


def _cuba_node(module: Any) -> Dynamics:
    decay = setting(module.v_decay)
    reset = _reset(module)
    synapse = setting(module.c_decay)
    return ReadOff(decay, factor=decay, order="f v + x", synapse=synapse, **reset)


def _step_mode(module: Any) -> Layout:
    return "steps" if getattr(module, "step_mode", "m") == "m" else "step"


def _clear_memories(module: Any, steps: int | None) -> None:
    """Reset as SpikingJelly does, without writing into tensors that others may hold."""
    for name, value in getattr(module, "_memories_rv", {}).items():
        module._memories[name] = copy.deepcopy(value)
    module.reset()


_OTHER = (
    "its equations are not those of IFNode, LIFNode, ParametricLIFNode or CUBALIFNode; "
    "register_neuron describes others"
)
# Nodes of 2.0 that read their mode.
_GATED = (
    "lif_variants.ComplementaryLIFNode",
    "online_learning._OnlineLIFNode",
    "online_learning.OTTTLIFNode",
    "online_learning.SLTTLIFNode",
)


def _kinds() -> dict[str, NeuronKind]:
    new, old = "spikingjelly.activation_based", "spikingjelly.clock_driven"
    other = NeuronKind(_OTHER, _step_mode, (), _clear_memories)
    memory = replace(other, spikes=lambda module: False)
    kinds = {f"{package}.base.MemoryModule": memory for package in (new, old)}
    kinds |= {f"{new}.neuron.{path}": replace(other, gated=True) for path in _GATED}
    standard = NeuronKind(_OTHER, _step_mode, _EQUATIONS, _clear_memories)
    kinds[f"{new}.neuron.lif_variants.CUBALIFNode"] = replace(standard, read=_cuba_node)
    fires = replace(
        standard, read=lambda module: ReadOff(1.0, order="v + x", **_reset(module))
    )
    leaks = replace(standard, read=_lif_node)
    for name, file, kind in (
        ("IFNode", "integrate_and_fire", fires),
        ("LIFNode", "lif", leaks),
        ("ParametricLIFNode", "plif", leaks),
        ("PLIFNode", "plif", leaks),
        ("BaseNode", "base_node", other),
        ("SimpleBaseNode", "base_node", other),
    ):
        gated = replace(kind, gated=True)
        kinds[f"{new}.neuron.{file}.{name}"] = kind
        kinds[f"{new}.neuron.{name}"] = gated
        kinds[f"{old}.neuron.{name}"] = replace(gated, layout="step")
        kinds[f"{old}.neuron.MultiStep{name}"] = gated
    return kinds


KINDS = _kinds()
