"""The stand-ins for Norse 1.1.0 equal it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.frameworks.comparing import assert_same, grids, modes, precisions
from tests.frameworks.loading import load
from tests.standins import norse as standin

(real, resets, iaf) = load(
    "norse", "1.", "norse.torch", "norse.torch.functional.reset", "norse.torch.functional.iaf"
)

PARAMETERS = {
    "LIFBoxCell": "LIFBoxParameters",
    "IAFCell": "IAFParameters",
    "LIFCell": "LIFParameters",
}
BOX: list[dict[str, Any]] = [
    {"tau_mem_inv": 500.0},
    {"tau_mem_inv": 500.0, "v_th": 0.3, "v_reset": -0.25},
    {"tau_mem_inv": 700.0, "v_leak": 0.1, "v_th": 0.75},
    {"tau_mem_inv": 700.0, "v_leak": 0.1, "reset_method": "reset_subtract"},
]
CELLS = [
    *(("LIFBoxCell", fields) for fields in BOX),
    *(("IAFCell", fields) for fields in ({}, {"v_th": 0.3, "v_reset": -0.25})),
    ("LIFCell", {"tau_mem_inv": 500.0}),
]


def build(library: Any, name: str, fields: dict) -> nn.Module:
    ours = library is standin
    home = standin if ours else iaf if name == "IAFCell" else real
    fields = {
        key: getattr(standin if ours else resets, value)
        if isinstance(value, str)
        else torch.as_tensor(value)
        for key, value in fields.items()
    }
    return getattr(library, name)(getattr(home, PARAMETERS[name])(**fields))


def steps(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    state, spikes, potentials = None, [], []
    for now in x:
        z, state = module(now, state)
        spikes.append(z)
        potentials.append(state.v)
    return torch.stack(spikes), torch.stack(potentials)


@modes
@grids
@precisions
@pytest.mark.parametrize(("name", "fields"), CELLS, ids=str)
def test_cells_are_the_same(
    name: str, fields: dict, dtype: torch.dtype, exact: bool, training: bool
) -> None:
    ours, theirs = (build(lib, name, fields).train(training) for lib in (standin, real))
    result = assert_same(ours, theirs, steps, dtype, exact=exact)
    assert result.gradient is not None
    for attribute in ("activation", "p", "dt", "state_fallback", "activation_sparse"):
        assert hasattr(theirs, attribute)
    assert ours.activation.__module__ == theirs.activation.__module__
    assert ours.activation.__qualname__ == theirs.activation.__qualname__
    assert type(ours.p).__qualname__ == type(theirs.p).__qualname__
    assert type(ours.p).__module__ == type(theirs.p).__module__


@pytest.mark.parametrize("library", [standin, real], ids=["standin", "real"])
def test_a_sequence_of_cells_makes_one_step(library: Any) -> None:
    net = library.SequentialState(
        nn.Flatten(), nn.Linear(12, 8), library.LIFBoxCell(), nn.Linear(8, 3), library.IAFCell()
    )
    assert list(net.stateful_layers) == [False, False, True, False, True]
    out, state = net(torch.rand(2, 3, 4))
    assert out.shape == (2, 3)
    assert [s is not None for s in state] == list(net.stateful_layers)
    kept = list(state)
    _, again = net(torch.rand(2, 3, 4), state)
    # The given list is changed in place.
    assert again is state
    assert state[2] is not kept[2]


@pytest.mark.parametrize("library", [standin, real], ids=["standin", "real"])
def test_the_reset_of_an_iaf_cell_comes_to_require_a_gradient(library: Any) -> None:
    module = build(library, "IAFCell", {"v_reset": 0.0})
    module(torch.rand(2, 3))
    assert module.p.v_reset.requires_grad
