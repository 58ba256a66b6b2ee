"""The stand-ins for SpikingJelly 2.0.0 equal it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.frameworks.comparing import (
    assert_same,
    assert_same_names,
    grids,
    modes,
    names,
    precisions,
)
from tests.frameworks.loading import load
from tests.standins import spikingjelly as standin

ROOT = "spikingjelly.activation_based"
neuron, layer, functional, base, surrogate = load(
    "spikingjelly",
    "2.",
    *(f"{ROOT}.{name}" for name in ("neuron", "layer", "functional", "base", "surrogate")),
)
REAL = SimpleNamespace(**{**vars(layer), **vars(neuron)})

COMMON: list[dict[str, Any]] = [
    {},
    {"v_reset": None},
    {"v_reset": -0.25},
    {"v_threshold": 0.3},
    {"v_threshold": 0.75, "detach_reset": True},
    {"v_reset": None, "detach_reset": True, "store_v_seq": True},
]
LEAKY = [{"decay_input": decay, **common} for decay in (True, False) for common in COMMON]
NEURONS = [
    *(("IFNode", common) for common in COMMON),
    *(("LIFNode", {"tau": tau, **kw}) for tau in (2.0, 1.7) for kw in LEAKY),
    *(("ParametricLIFNode", {"init_tau": tau, **kw}) for tau in (2.0, 1.7) for kw in LEAKY),
    ("QIFNode", {}),
]


def build(library: Any, name: str, kwargs: dict, dtype: torch.dtype, training: bool) -> nn.Module:
    return getattr(library, name)(**kwargs).to(dtype).train(training)


def step_by_step(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    module.reset()
    module.step_mode = "s"
    steps = [(module(now), module.v) for now in x]
    return torch.stack([s for s, _ in steps]), torch.stack([v for _, v in steps])


def at_once(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """In two calls, between which the state is kept."""
    module.reset()
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
    ours, theirs = (build(lib, name, kwargs, dtype, training) for lib in (standin, REAL))
    result = assert_same(ours, theirs, run, dtype, exact=exact)
    assert result.gradient is not None
    assert list(ours._memories) == list(theirs._memories)
    ours.reset()
    theirs.reset()
    assert ours._memories == theirs._memories


@modes
@precisions
@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_the_triangle_is_the_same(alpha: float, dtype: torch.dtype, training: bool) -> None:
    ours, theirs = (
        build(lib, "LIFNode", {"surrogate_function": kind(alpha=alpha)}, dtype, training)
        for lib, kind in (
            (standin, standin.PiecewiseQuadratic),
            (REAL, surrogate.PiecewiseQuadratic),
        )
    )
    assert assert_same(ours, theirs, at_once, dtype).gradient is not None


def test_potentials_of_all_steps_are_the_same() -> None:
    x = torch.rand(4, 2, 3)
    ours, theirs = (lib.LIFNode(step_mode="m", store_v_seq=True) for lib in (standin, REAL))
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.v_seq, theirs.v_seq)


@pytest.mark.parametrize("library", [standin, REAL], ids=["standin", "real"])
def test_an_overridden_single_step_does_not_change_the_multi_step(library: Any) -> None:
    class Silent(library.LIFNode):
        def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
            return (torch.zeros_like(inputs[0]),), states

    x = 3 * torch.rand(4, 2, 3)
    assert Silent(step_mode="s")(x[0]).sum() == 0
    assert Silent(step_mode="m")(x).sum() > 0


@pytest.mark.parametrize("library", [standin, REAL], ids=["standin", "real"])
def test_another_batch_size_starts_afresh(library: Any) -> None:
    module = library.LIFNode(step_mode="m")
    module(torch.rand(4, 2, 3))
    x = torch.rand(4, 5, 3)
    assert torch.equal(module(x), library.LIFNode(step_mode="m")(x))


LAYERS: list[tuple[str, tuple, dict]] = [
    ("Conv2d", (3, 2, 3), {"padding": 1, "bias": False}),
    ("BatchNorm2d", (3,), {}),
    ("MaxPool2d", (2,), {}),
    ("AvgPool2d", (2,), {}),
    ("Flatten", (), {}),
    ("Linear", (4, 5), {}),
    ("Dropout", (0.5,), {}),
]


@modes
@pytest.mark.parametrize("step_mode", ["s", "m"])
@pytest.mark.parametrize(("name", "args", "kwargs"), LAYERS, ids=lambda value: str(value))
def test_layers_are_the_same(
    name: str, args: tuple, kwargs: dict, step_mode: str, training: bool
) -> None:
    torch.manual_seed(1)
    ours, theirs = (
        getattr(lib, name)(*args, **kwargs, step_mode=step_mode).train(training)
        for lib in (standin, REAL)
    )
    theirs.load_state_dict(ours.state_dict())
    assert_same_names(ours, theirs)
    x = torch.rand(6, 2, 3, 4, 4) if step_mode == "m" else torch.rand(2, 3, 4, 4)
    torch.manual_seed(2)
    expected = theirs(x)
    torch.manual_seed(2)
    assert torch.equal(ours(x), expected)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (standin.MemoryModule(), base.MemoryModule()),
        (standin.Sigmoid(), surrogate.Sigmoid()),
        (standin.PiecewiseQuadratic(), surrogate.PiecewiseQuadratic()),
        (standin.SeqToANNContainer(nn.Linear(3, 2)), layer.SeqToANNContainer(nn.Linear(3, 2))),
    ],
)
def test_other_names_are_the_same(ours: Any, theirs: Any) -> None:
    assert names(ours)[0] == names(theirs)[0]


def test_step_modes_are_set_as_there() -> None:
    for library, tools in ((standin, standin), (REAL, functional)):
        inner = library.Conv2d(1, 1, 1)
        net = nn.Sequential(library.SeqToANNContainer(inner, nn.ReLU()), library.IFNode())
        tools.set_step_mode(net, "m")
        assert (inner.step_mode, net[1].step_mode) == ("s", "m")
        net(torch.rand(3, 2, 1, 4, 4))
        tools.reset_net(net)
        assert net[1].v == 0.0
