"""A stand-in against the class that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

SHAPE = (8, 5, 3, 4)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


class Outcome(NamedTuple):
    """Of all steps, T N *shape; the gradient is that of a random sum of the spikes."""

    spikes: Tensor
    potential: Tensor
    gradient: Tensor | None


def currents(dtype: torch.dtype, *, exact: bool) -> Tensor:
    """Random currents; exact ones are multiples of 1/8, so that potentials meet thresholds."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x = 0.9 * x + 0.3
    return ((8 * x).round() / 8 if exact else x).to(dtype)


def outcome(run: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor) -> Outcome:
    x = x.clone().requires_grad_()
    spikes, potential = run(x)
    weight = torch.rand(spikes.shape, generator=torch.Generator().manual_seed(6)).to(spikes)
    total = (weight * spikes).sum()
    grad = torch.autograd.grad(total, x, allow_unused=True)[0] if total.requires_grad else None
    return Outcome(spikes.detach(), torch.as_tensor(potential).detach(), grad)


def names(module: Any) -> list[str]:
    mro = type(module).__mro__
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in mro]


def assert_same_names(standin: Any, real: Any) -> None:
    """The same class and, but for our own helpers, bases of the same names in the same order."""
    assert names(standin)[0] == names(real)[0]
    kept = [name for name in names(standin) if not name.startswith("tests.")]
    assert kept == [name for name in names(real) if name in kept]


def assert_same(
    standin: nn.Module,
    real: nn.Module,
    run: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]],
    dtype: torch.dtype,
    *,
    exact: bool = False,
) -> Outcome:
    """Spikes and potentials bit for bit, the gradient to rounding; what both yield."""
    assert_same_names(standin, real)
    x = currents(dtype, exact=exact)
    ours, theirs = (outcome(lambda x, m=m: run(m, x), x) for m in (standin, real))
    assert theirs.spikes.dtype == ours.spikes.dtype
    assert torch.equal(ours.spikes, theirs.spikes)
    assert 0.02 < theirs.spikes.count_nonzero() / theirs.spikes.numel() < 0.98
    torch.testing.assert_close(ours.potential, theirs.potential, rtol=0, atol=0)
    assert (ours.gradient is None) == (theirs.gradient is None)
    if theirs.gradient is not None:
        tolerance = TOLERANCE[dtype]
        torch.testing.assert_close(ours.gradient, theirs.gradient, rtol=tolerance, atol=tolerance)
        assert ours.gradient.count_nonzero() > 0
    return ours


precisions = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
