"""Every supported neuron in its settings: how it is built, and its equations as its papers say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from tests.interop.reference import Equations
from tests.interop.stacks import STEPS, Loop, SamplesFirst, SamplesMerged, Stack, StateLoop

OWN_TIME = {"encoder": None, "readout": "mean"}
ALL_STEPS = {"steps": STEPS}


@dataclass(frozen=True)
class Case:
    """A network of one kind of neurons.

    :param make: builds the model, in float64 and evaluation mode.
    :param options: of adapt.
    :param layout: as the interop tells it.
    :param tolerance: of the reference; single precision where a framework has nothing else.
    :param refused: rules that do not apply."""

    name: str
    make: Callable[[], Stack]
    equations: Equations
    options: dict[str, Any] = field(default_factory=lambda: dict(ALL_STEPS))
    layout: str = "steps"
    tolerance: float = 1e-9
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def spikingjelly(library: Any, version: str) -> list[Case]:
    """IFNode, LIFNode and ParametricLIFNode, in both step modes."""
    cases = []
    for name, neuron, options, equations in _nodes():
        kind = getattr(library, neuron)
        for mode, stack, how in (("m", Stack, ALL_STEPS), ("s", Loop, OWN_TIME)):
            make = partial(stack, partial(kind, **options, step_mode=mode), 2.0)
            layout = "steps" if mode == "m" else "step"
            cases.append(Case(f"{version} {name} {mode}", make, equations, how, layout))
    return cases


def clock_driven(library: Any) -> list[Case]:
    """The same nodes in version 0.0.0.0.14's older half."""
    cases = []
    for name, neuron, options, equations in _nodes():
        multi, single = getattr(library, f"MultiStep{neuron}"), getattr(library, neuron)
        make = partial(Stack, partial(multi, **options), 2.0)
        cases.append(Case(f"clock {name} multi", make, equations))
        make = partial(Loop, partial(single, **options), 2.0)
        cases.append(Case(f"clock {name}", make, equations, OWN_TIME, "step"))
    return cases


def _nodes() -> list[tuple[str, str, dict[str, Any], Equations]]:
    soft = {"reset": "soft", "drop": 1.0}
    share = float(torch.tensor(-math.log(3.0 - 1)).sigmoid())
    return [
        ("IF", "IFNode", {}, Equations(1.0)),
        ("IF soft", "IFNode", {"v_reset": None}, Equations(1.0, **soft)),
        ("IF rest", "IFNode", {"v_reset": 0.25}, Equations(1.0, rest=0.25, start=0.25)),
        ("LIF", "LIFNode", {}, Equations(0.5, gain=0.5)),
        (
            "LIF 3",
            "LIFNode",
            {"tau": 3.0, "decay_input": False, "v_threshold": 0.75},
            Equations(2 / 3, 0.75),
        ),
        (
            "LIF rest",
            "LIFNode",
            {"tau": 3.0, "v_reset": 0.25},
            Equations(2 / 3, gain=1 / 3, constant=0.25 / 3, rest=0.25, start=0.25),
        ),
        (
            "LIF undecayed rest",
            "LIFNode",
            {"tau": 3.0, "v_reset": -0.25, "decay_input": False},
            Equations(2 / 3, constant=-0.25 / 3, rest=-0.25, start=-0.25),
        ),
        ("LIF soft", "LIFNode", {"v_reset": None}, Equations(0.5, gain=0.5, **soft)),
        (
            "LIF soft undecayed",
            "LIFNode",
            {"tau": 3.0, "v_reset": None, "decay_input": False},
            Equations(2 / 3, **soft),
        ),
        ("PLIF", "ParametricLIFNode", {"init_tau": 3.0}, Equations(1 - share, gain=share)),
        (
            "PLIF soft undecayed",
            "ParametricLIFNode",
            {"init_tau": 3.0, "v_reset": None, "decay_input": False},
            Equations(1 - share, **soft),
        ),
    ]


def snntorch(leaky: Any) -> list[Case]:
    """Leaky, whose state the loop hands on or hides."""
    beta = float(torch.tensor(0.8))
    soft = Equations(beta, reset="soft", drop=1 / beta)
    settings = [
        ("subtract", {"reset_mechanism": "subtract"}, soft),
        ("zero", {"reset_mechanism": "zero"}, Equations(beta)),
        ("zero at once", {"reset_mechanism": "zero", "reset_delay": False}, Equations(beta)),
        ("none", {"reset_mechanism": "none"}, Equations(beta, reset="none")),
        ("threshold", {"threshold": 0.5, "reset_mechanism": "zero"}, Equations(beta, 0.5)),
    ]
    cases = []
    for name, options, equations in settings:
        for way, stack, hidden in (("", StateLoop, False), (" hidden", Loop, True)):
            neuron = partial(leaky, beta=0.8, init_hidden=hidden, **options)
            make = partial(stack, neuron)
            # Spikes are single precision, and with them the gradients at them.
            no_rate = ("rga", "static") if equations.reset == "none" else ()
            case = Case(f"Leaky {name}{way}", make, equations, OWN_TIME, "step", 1e-6, no_rate)
            cases.append(case)
    return cases


def norse(module: Any, box: Any, iaf: Any, reset_subtract: Any) -> list[Case]:
    """LIFBoxCell and IAFCell.

    :param module: has the cells.
    :param box: parameters of LIFBoxCell.
    :param iaf: parameters of IAFCell."""
    share, leak = float(0.001 * torch.tensor(300.0)), float(torch.tensor(0.1))
    leaky = Equations(1 - share, gain=share)
    leaking = Equations(1 - share, gain=share, constant=share * leak, start=leak, rest=-0.25)
    inverse, at = torch.tensor(300.0), torch.as_tensor
    settings = [
        ("box", "LIFBoxCell", lambda: box(tau_mem_inv=inverse), leaky, 3.0),
        (
            "box leak",
            "LIFBoxCell",
            lambda: box(tau_mem_inv=inverse, v_leak=at(0.1), v_reset=at(-0.25)),
            leaking,
            3.0,
        ),
        (
            "box soft",
            "LIFBoxCell",
            lambda: box(tau_mem_inv=inverse, reset_method=reset_subtract),
            Equations(1 - share, gain=share, reset="soft", drop=1.0),
            3.0,
        ),
        ("IAF", "IAFCell", iaf, Equations(1.0), 1.0),
    ]
    return [
        Case(name, partial(StateLoop, _cell(module, cell, p), gain), told, OWN_TIME, "step")
        for name, cell, p, told, gain in settings
    ]


def _cell(module: Any, name: str, parameters: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: getattr(module, name)(parameters())


def sinabs(layers: Any, single: Any, subtract: Any, to_zero: Any) -> list[Case]:
    """LIF and IAF, and IAFSqueeze; their spikes and states are single precision."""
    decay = float(torch.exp(-1.0 / torch.tensor(3.0)))
    soft = {"reset": "soft", "drop": 1.0}
    settings = [
        ("LIF", "LIF", {"tau_mem": 3.0}, Equations(decay, gain=1 - decay, **soft), 2.0),
        ("LIF plain", "LIF", {"tau_mem": 3.0, "norm_input": False}, Equations(decay, **soft), 1.0),
        (
            "LIF zero",
            "LIF",
            {"tau_mem": 3.0, "norm_input": False, "reset_fn": to_zero()},
            Equations(decay),
            1.0,
        ),
        ("IAF", "IAF", {}, Equations(1.0, **soft), 1.0),
        (
            "IAF drop",
            "IAF",
            {"reset_fn": subtract(0.75)},
            Equations(1.0, reset="soft", drop=0.75),
            1.0,
        ),
    ]
    cases = []
    for name, kind, options, equations, gain in settings:
        neuron = partial(getattr(layers, kind), spike_fn=single, **options)
        make = partial(SamplesFirst, neuron, gain)
        cases.append(Case(name, make, equations, layout="samples first", tolerance=1e-5))
    neuron = partial(layers.IAFSqueeze, num_timesteps=STEPS, spike_fn=single)
    equations = Equations(1.0, **soft)
    make = partial(SamplesMerged, neuron)
    merged = Case("IAFSqueeze", make, equations, layout="samples merged", tolerance=1e-5)
    return [*cases, merged]
