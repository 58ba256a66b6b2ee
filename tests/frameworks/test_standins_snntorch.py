"""The stand-ins for snnTorch 1.0.0 equal it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.frameworks.comparing import assert_same, grids, modes, precisions
from tests.frameworks.loading import load
from tests.standins import snntorch as standin

(real,) = load("snntorch", "1.", "snntorch")

VECTOR = torch.tensor([0.2, 0.5, 0.8, 0.99])
COMMON: list[dict[str, Any]] = [
    {},
    {"threshold": 0.3},
    {"threshold": 0.75, "learn_threshold": True, "learn_beta": True},
    {"beta": VECTOR},
    {"beta": VECTOR, "learn_beta": True},
    {"beta": 1.3},
    {"graded_spikes_factor": 2.0},
]
LEAKY = [
    {"beta": 0.9, "reset_mechanism": reset, "reset_delay": delay, **common}
    for reset in ("subtract", "zero", "none")
    for delay in (True, False)
    for common in COMMON
]
NEURONS = [
    *(("Leaky", kwargs) for kwargs in LEAKY),
    ("Synaptic", {"alpha": 0.5, "beta": 0.8}),
    ("RLeaky", {"beta": 0.8, "V": -0.3, "all_to_all": False}),
]


def given(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The states go from call to call, as snnTorch's tutorials write it."""
    states = module.reset_mem()
    states = states if isinstance(states, tuple) else (states,)
    spikes, potentials = [], []
    for now in x:
        spk, *states = module(now, *states)
        spikes.append(spk)
        potentials.append(states[-1])
    return torch.stack(spikes), torch.stack(potentials)


def kept(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The module keeps its states and returns spikes alone."""
    module.init_hidden = True
    module.reset_mem()
    steps = [(module(now), module.mem) for now in x]
    return torch.stack([s for s, _ in steps]), torch.stack([v for _, v in steps])


@pytest.mark.parametrize("run", [given, kept])
@modes
@grids
@precisions
@pytest.mark.parametrize(("name", "kwargs"), NEURONS, ids=str)
def test_neurons_are_the_same(
    name: str, kwargs: dict, dtype: torch.dtype, exact: bool, training: bool, run: Any
) -> None:
    ours, theirs = (
        getattr(lib, name)(**kwargs).to(dtype).train(training) for lib in (standin, real)
    )
    result = assert_same(ours, theirs, run, dtype, exact=exact)
    assert result.gradient is not None
    assert result.spikes.dtype == torch.float32
    for lists in ("named_parameters", "named_buffers"):
        ours_has = {name for name, _ in getattr(ours, lists)()}
        assert ours_has == {name for name, _ in getattr(theirs, lists)()}


@pytest.mark.parametrize("library", [standin, real], ids=["standin", "real"])
def test_states_outlive_a_call(library: Any) -> None:
    module, x = library.Leaky(beta=0.9), torch.full((2, 3), 0.6)
    first, _ = module(x)
    second, _ = module(x)
    assert (first.sum(), second.sum()) == (0, 6)
    assert module(torch.full((5, 3), 0.6))[0].sum() == 0


@pytest.mark.parametrize("library", [standin, real], ids=["standin", "real"])
def test_a_reset_mechanism_set_later_changes_no_equation(library: Any) -> None:
    module = library.Leaky(beta=0.9)
    module.reset_mechanism = "zero"
    assert module.state_function.__name__ == "_base_sub"


@pytest.mark.parametrize("library", [standin, real], ids=["standin", "real"])
def test_the_reset_of_all_reaches_other_networks(library: Any) -> None:
    module, other = library.Leaky(beta=0.9), library.Leaky(beta=0.9)
    other(torch.rand(2, 3))
    type(module).reset_hidden()
    assert other.mem.sum() == 0


def test_inhibition_is_the_same() -> None:
    x = 2 * torch.rand(6, 5, 4)
    with pytest.warns(UserWarning, match="unstable"):
        theirs = real.Leaky(beta=0.9, inhibition=True)
    ours = standin.Leaky(beta=0.9, inhibition=True)
    assert torch.equal(given(ours, x)[0], given(theirs, x)[0])
