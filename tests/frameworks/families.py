"""The frameworks' neurons in their settings: how each is built, and its equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from art_snn.dynamics import Dynamics
from tests.interop.promises import OWN_TIME, Case
from tests.interop.stacks import (
    STEPS,
    Loop,
    Returning,
    SamplesFirst,
    SamplesMerged,
    Stack,
    StateLoop,
)


def spikingjelly(library: Any, version: str) -> list[Case]:
    """IFNode, LIFNode and ParametricLIFNode, in both step modes."""
    return [
        _case(f"{version} {name} {mode}", partial(getattr(library, kind), **how), equations, mode)
        for name, kind, options, equations in NODES
        for mode, how in (("m", options | {"step_mode": "m"}), ("s", options | {"step_mode": "s"}))
    ]


def cuba(library: Any) -> list[Case]:
    """CUBALIFNode, in both step modes, which its constructor does not take."""

    def make(mode: str, **options: Any) -> Any:
        node = library.CUBALIFNode(v_threshold=2.0, **options)
        node.step_mode = mode
        return node

    rest = Dynamics(0.75, 2.0, v_reset=-0.25, synapse=0.8)
    settings = [
        ("CUBA", {}, Dynamics(0.75, 2.0, synapse=0.5)),
        ("CUBA soft", {"v_reset": None}, Dynamics(0.75, 2.0, "soft", synapse=0.5)),
        ("CUBA rest", {"c_decay": 0.8, "v_reset": -0.25}, rest),
    ]
    return [
        _case(f"{name} {mode}", partial(make, mode, **options), equations, mode)
        for name, options, equations in settings
        for mode in ("m", "s")
    ]


def clock_driven(library: Any) -> list[Case]:
    """The same nodes in version 0.0.0.0.14's older half."""
    return [
        _case(f"clock {name} {mode}", partial(getattr(library, cls), **options), equations, mode)
        for name, kind, options, equations in NODES
        for mode, cls in (("m", f"MultiStep{kind}"), ("s", kind))
    ]


def _case(name: str, neuron: Callable[[], Any], equations: Dynamics, mode: str) -> Case:
    if mode == "m":
        return Case(name, partial(Stack, neuron, 2.0), equations)
    return Case(name, partial(Loop, neuron, 2.0), equations, OWN_TIME)


SOFT = {"reset": "soft", "reset_by": 1.0}
SHARE = float(torch.tensor(-math.log(3.0 - 1)).sigmoid())
RAW = {"tau": 3.0, "decay_input": False}
LEARNED = {"init_tau": 3.0, "v_reset": None, "decay_input": False}
RESTING = Dynamics(2 / 3, gain=1 / 3, constant=0.25 / 3, v_reset=0.25, v_start=0.25)
UNDECAYED = Dynamics(2 / 3, constant=-0.25 / 3, v_reset=-0.25, v_start=-0.25)
NODES: list[tuple[str, str, dict[str, Any], Dynamics]] = [
    ("IF", "IFNode", {}, Dynamics(1.0)),
    ("IF soft", "IFNode", {"v_reset": None}, Dynamics(1.0, **SOFT)),
    ("IF rest", "IFNode", {"v_reset": 0.25}, Dynamics(1.0, v_reset=0.25, v_start=0.25)),
    ("LIF", "LIFNode", {}, Dynamics(0.5, gain=0.5)),
    ("LIF 3", "LIFNode", RAW | {"v_threshold": 0.75}, Dynamics(2 / 3, 0.75)),
    ("LIF rest", "LIFNode", {"tau": 3.0, "v_reset": 0.25}, RESTING),
    ("LIF undecayed rest", "LIFNode", RAW | {"v_reset": -0.25}, UNDECAYED),
    ("LIF soft", "LIFNode", {"v_reset": None}, Dynamics(0.5, gain=0.5, **SOFT)),
    ("LIF soft undecayed", "LIFNode", RAW | {"v_reset": None}, Dynamics(2 / 3, **SOFT)),
    ("PLIF", "ParametricLIFNode", {"init_tau": 3.0}, Dynamics(1 - SHARE, gain=SHARE)),
    ("PLIF soft undecayed", "ParametricLIFNode", LEARNED, Dynamics(1 - SHARE, **SOFT)),
]


AT_ONCE = {"reset_mechanism": "zero", "reset_delay": False}


def snntorch(library: Any) -> list[Case]:
    """Leaky and Synaptic, whose state the loop hands on or hides."""
    beta, alpha = float(torch.tensor(0.8)), float(torch.tensor(0.7))
    soft = Dynamics(beta, reset="soft", reset_by=1 / beta)
    settings = [
        ("subtract", {"reset_mechanism": "subtract"}, soft),
        ("zero", {"reset_mechanism": "zero"}, Dynamics(beta)),
        ("zero at once", AT_ONCE, Dynamics(beta)),
        ("none", {"reset_mechanism": "none"}, Dynamics(beta, reset="none")),
        ("graded", {"graded_spikes_factor": 1.5}, replace(soft, amplitude=1.5)),
        ("threshold", {"threshold": 0.5, **AT_ONCE}, Dynamics(beta, 0.5)),
    ]
    cases = []
    for name, options, equations in settings:
        for way, stack, hidden in (("", StateLoop, False), (" hidden", Loop, True)):
            make = partial(stack, partial(library.Leaky, beta=0.8, init_hidden=hidden, **options))
            # Spikes are single precision, and with them the gradients at them.
            no_rate = ("rga", "static") if equations.reset == "none" else ()
            cases.append(Case(f"Leaky {name}{way}", make, equations, OWN_TIME, 1e-6, no_rate))
            if options.keys() == {"graded_spikes_factor"} or name == "zero":
                continue
            make = partial(
                stack, partial(library.Synaptic, 0.7, 0.8, init_hidden=hidden, **options)
            )
            filtered = replace(equations, synapse=alpha)
            cases.append(Case(f"Synaptic {name}{way}", make, filtered, OWN_TIME, 1e-6, no_rate))
    return cases


def norse(library: Any) -> list[Case]:
    """LIFBoxCell, IAFCell, LIFCell and LIF."""
    share, leak = float(0.001 * torch.tensor(300.0)), float(torch.tensor(0.1))
    leaky = Dynamics(1 - share, gain=share)
    leaking = Dynamics(1 - share, gain=share, constant=share * leak, v_start=leak, v_reset=-0.25)
    soft = Dynamics(1 - share, gain=share, reset="soft", reset_by=1.0)
    inverse, at = torch.tensor(300.0), torch.as_tensor

    def box(**options: Any) -> Any:
        return library.LIFBoxCell(library.LIFBoxParameters(tau_mem_inv=inverse, **options))

    def lif(cell: Any, **options: Any) -> Any:
        return cell(library.LIFParameters(tau_mem_inv=inverse, **options))

    rest = {"v_leak": at(0.1), "v_reset": at(-0.25)}
    synapse = 1 - float(0.001 * torch.tensor(200.0))
    filtered, filtered_leaking = (replace(d, synapse=synapse) for d in (leaky, leaking))
    settings = [
        ("box", box, leaky, 3.0),
        ("box leak", partial(box, **rest), leaking, 3.0),
        ("box soft", partial(box, reset_method=library.reset_subtract), soft, 3.0),
        ("IAF", library.IAFCell, Dynamics(1.0), 1.0),
        ("LIFCell", partial(lif, library.LIFCell), filtered, 2.0),
        ("LIFCell leak", partial(lif, library.LIFCell, **rest), filtered_leaking, 2.0),
    ]
    loops = [
        Case(name, partial(StateLoop, cell, gain), equations, OWN_TIME)
        for name, cell, equations, gain in settings
    ]
    whole = partial(lif, library.LIF, **rest)
    return [*loops, Case("LIF", partial(Returning, whole, 2.0), filtered_leaking)]


def sinabs(library: Any) -> list[Case]:
    """LIF and IAF, and IAFSqueeze; their spikes and states are single precision."""
    decay = float(torch.exp(-1.0 / torch.tensor(3.0)))
    plain, less = {"tau_mem": 3.0, "norm_input": False}, Dynamics(1.0, reset="soft", reset_by=0.75)
    synapse = float(torch.exp(-1.0 / torch.tensor(2.0)))
    # The first decay of a current is a part of the gain.
    slow = Dynamics(decay, gain=synapse * (1 - decay), synapse=synapse, **SOFT)
    quick = Dynamics(decay, gain=synapse, synapse=synapse)
    settings = [
        ("LIF", "LIF", {"tau_mem": 3.0}, Dynamics(decay, gain=1 - decay, **SOFT), 2.0),
        ("LIF plain", "LIF", plain, Dynamics(decay, **SOFT), 1.0),
        ("LIF zero", "LIF", plain | {"reset_fn": library.MembraneReset()}, Dynamics(decay), 1.0),
        ("LIF tau_syn", "LIF", {"tau_mem": 3.0, "tau_syn": 2.0}, slow, 4.0),
        (
            "LIF tau_syn zero",
            "LIF",
            plain | {"tau_syn": 2.0, "reset_fn": library.MembraneReset()},
            quick,
            1.0,
        ),
        ("IAF", "IAF", {}, Dynamics(1.0, **SOFT), 1.0),
        ("IAF drop", "IAF", {"reset_fn": library.MembraneSubtract(0.75)}, less, 1.0),
    ]
    cases = []
    for name, kind, options, equations, gain in settings:
        neuron = partial(getattr(library, kind), spike_fn=library.SingleSpike, **options)
        make = partial(SamplesFirst, neuron, gain)
        cases.append(Case(name, make, equations, tolerance=1e-5))
    neuron = partial(library.IAFSqueeze, num_timesteps=STEPS, spike_fn=library.SingleSpike)
    make = partial(SamplesMerged, neuron)
    return [*cases, Case("IAFSqueeze", make, Dynamics(1.0, **SOFT), tolerance=1e-5)]
