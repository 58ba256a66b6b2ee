"""The stand-ins for SpikingJelly 0.0.0.0.14 equal it, with and without its surrogate gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.frameworks.comparing import assert_same, assert_same_names, grids, modes, precisions
from tests.frameworks.loading import load
from tests.standins import clock_driven as clock_standin, spikingjelly_old as standin

neuron, layer, clock = load(
    "spikingjelly",
    "0.0.0.0.14",
    "spikingjelly.activation_based.neuron",
    "spikingjelly.activation_based.layer",
    "spikingjelly.clock_driven.neuron",
)

COMMON: list[dict[str, Any]] = [
    {},
    {"v_reset": None},
    {"v_reset": -0.25},
    {"v_threshold": 0.3},
    {"v_threshold": 0.75, "detach_reset": True},
]
LEAKY = [{"decay_input": decay, **common} for decay in (True, False) for common in COMMON]
NEURONS = [
    *(("IFNode", common) for common in COMMON),
    *(("LIFNode", {"tau": tau, **kw}) for tau in (2.0, 1.7) for kw in LEAKY),
    *(("ParametricLIFNode", {"init_tau": tau, **kw}) for tau in (2.0, 1.7) for kw in LEAKY),
]


def step_by_step(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    module.reset()
    if hasattr(module, "step_mode"):
        module.step_mode = "s"
    steps = [(module(now), module.v) for now in x]
    return torch.stack([s for s, _ in steps]), torch.stack([v for _, v in steps])


def at_once(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """In two calls, between which the state is kept."""
    module.reset()
    if hasattr(module, "step_mode"):
        module.step_mode = "m"
    return torch.cat([module(x[:3]), module(x[3:])]), module.v


@pytest.mark.parametrize("run", [step_by_step, at_once])
@modes
@grids
@precisions
@pytest.mark.parametrize(("name", "kwargs"), NEURONS, ids=str)
def test_neurons_are_the_same(
    name: str, kwargs: dict, dtype: torch.dtype, exact: bool, training: bool, run: Any
) -> None:
    ours, theirs = (
        getattr(lib, name)(**kwargs).to(dtype).train(training) for lib in (standin, neuron)
    )
    result = assert_same(ours, theirs, run, dtype, exact=exact)
    assert (result.gradient is None) == (not training and name != "ParametricLIFNode")
    assert list(ours._memories) == list(theirs._memories)


@pytest.mark.parametrize("multi", [False, True])
@modes
@grids
@precisions
@pytest.mark.parametrize(("name", "kwargs"), NEURONS, ids=str)
def test_clock_driven_neurons_are_the_same(
    name: str, kwargs: dict, dtype: torch.dtype, exact: bool, training: bool, multi: bool
) -> None:
    name, run = (f"MultiStep{name}", at_once) if multi else (name, step_by_step)
    ours, theirs = (
        getattr(lib, name)(**kwargs).to(dtype).train(training) for lib in (clock_standin, clock)
    )
    result = assert_same(ours, theirs, run, dtype, exact=exact)
    assert result.gradient is not None
    assert list(ours._memories) == list(theirs._memories)
    if multi:
        assert torch.equal(ours.v_seq, theirs.v_seq)


@pytest.mark.parametrize("library", [standin, neuron], ids=["standin", "real"])
def test_train_and_eval_mode_round_differently(library: Any) -> None:
    x = torch.randn(16, 4096, generator=torch.Generator().manual_seed(5)) + 0.3
    potentials = [
        step_by_step(library.LIFNode(tau=1.7, decay_input=False).train(mode), x)[1]
        for mode in (True, False)
    ]
    assert not torch.equal(*potentials)


@pytest.mark.parametrize(
    ("name", "args"),
    [("Conv2d", (3, 2, 3)), ("BatchNorm2d", (3,)), ("MaxPool2d", (2,)), ("Linear", (4, 5))],
)
def test_layers_are_the_same(name: str, args: tuple) -> None:
    ours, theirs = (getattr(lib, name)(*args, step_mode="m") for lib in (standin, layer))
    theirs.load_state_dict(ours.state_dict())
    assert_same_names(ours, theirs)
    x = torch.rand(6, 2, 3, 4, 4)
    assert torch.equal(ours(x), theirs(x))
