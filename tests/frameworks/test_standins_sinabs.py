"""The stand-ins for sinabs 3.1.3 equal it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.frameworks.comparing import SHAPE, assert_same, grids, modes, precisions
from tests.frameworks.loading import load
from tests.standins import sinabs as standin

layers, activation = load("sinabs", "3.", "sinabs.layers", "sinabs.activation")

# Spike and reset functions by their names, which both libraries share.
COMMON: list[dict[str, Any]] = [
    {},
    {"spike_fn": "SingleSpike"},
    {"spike_fn": "SingleSpike", "spike_threshold": 0.3},
    {"spike_fn": "SingleSpike", "reset_fn": ("MembraneReset", 0.0)},
    {"spike_fn": "SingleSpike", "reset_fn": ("MembraneReset", -0.25)},
    {"spike_fn": "SingleSpike", "reset_fn": ("MembraneSubtract", 0.75)},
    {"spike_fn": "MultiSpike", "min_v_mem": -0.3, "record_states": True},
]
LEAKY: list[dict[str, Any]] = [
    {"tau_mem": 5.0, "norm_input": False},
    {"tau_mem": 1.5},
    {"tau_mem": 3.0, "norm_input": False, "train_alphas": True},
    {"tau_mem": torch.tensor([1.5, 2.0, 3.0, 9.0]), "norm_input": False},
    {"tau_mem": 3.0, "tau_syn": 2.0, "norm_input": False},
]
NEURONS = [
    *(("LIF", {**leaky, **common}) for leaky in LEAKY for common in COMMON),
    *((name, common) for name in ("IAF", "IAFSqueeze") for common in COMMON),
    ("LIFSqueeze", {"tau_mem": 3.0, "norm_input": False}),
]


def build(library: Any, name: str, kwargs: dict) -> Any:
    home = standin if library is standin else activation
    kwargs = dict(kwargs)
    if "spike_fn" in kwargs:
        kwargs["spike_fn"] = getattr(home, kwargs["spike_fn"])
    if "reset_fn" in kwargs:
        reset, value = kwargs["reset_fn"]
        kwargs["reset_fn"] = getattr(home, reset)(value)
    if "spike_threshold" in kwargs:
        kwargs["spike_threshold"] = torch.tensor(kwargs["spike_threshold"])
    if name.endswith("Squeeze"):
        kwargs["batch_size"] = SHAPE[1]
    return getattr(library, name)(**kwargs)


def run(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """In two calls, between which the state is kept; time is the first axis of x."""
    module.reset_states()
    taken = []
    for part in (x[:3], x[3:]):
        samples = part.transpose(0, 1)
        if hasattr(module, "num_timesteps"):
            out = module(samples.flatten(0, 1)).unflatten(0, samples.shape[:2])
        else:
            out = module(samples)
        taken.append(out.transpose(0, 1))
    return torch.cat(taken), module.v_mem


@modes
@grids
@precisions
@pytest.mark.parametrize(("name", "kwargs"), NEURONS, ids=str)
def test_neurons_are_the_same(
    name: str, kwargs: dict, dtype: torch.dtype, exact: bool, training: bool
) -> None:
    ours, theirs = (build(lib, name, kwargs).to(dtype).train(training) for lib in (standin, layers))
    result = assert_same(ours, theirs, run, dtype, exact=exact)
    assert result.gradient is not None
    if kwargs.get("record_states"):
        assert torch.equal(ours.recordings["v_mem"], theirs.recordings["v_mem"])
    for lists in ("named_parameters", "named_buffers"):
        ours_has = {name for name, _ in getattr(ours, lists)()}
        assert ours_has == {name for name, _ in getattr(theirs, lists)()}
    assert type(ours.spike_fn) is type(theirs.spike_fn)
    for part in ("spike_fn", "reset_fn", "surrogate_grad_fn"):
        ours_is, theirs_is = getattr(ours, part), getattr(theirs, part)
        pair = (ours_is, theirs_is) if part == "spike_fn" else (type(ours_is), type(theirs_is))
        assert len({f"{cls.__module__}.{cls.__qualname__}" for cls in pair}) == 1


@pytest.mark.parametrize("library", [standin, layers], ids=["standin", "real"])
def test_another_batch_size_draws_states_from_the_last(library: Any) -> None:
    module = library.IAF()
    module(torch.full((2, 1, 3), 0.5))
    module(torch.zeros(5, 1, 3))
    assert torch.equal(module.v_mem, torch.full((5, 3), 0.5))


@pytest.mark.parametrize("library", [standin, layers], ids=["standin", "real"])
def test_copies_lose_hooks_and_mode(library: Any) -> None:
    module = library.IAFSqueeze(batch_size=2).eval()
    module(torch.rand(4, 3))
    module.register_forward_hook(lambda *_: None)
    twin = copy.deepcopy(module)
    assert twin.training
    assert not twin._forward_hooks
    assert twin.batch_size == 2
    assert torch.equal(twin.v_mem, module.v_mem)
    assert twin.spike_threshold is not module.spike_threshold
