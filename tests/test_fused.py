"""Compiled loops over time give what the eager loops give, or the eager loops run.

Here on the CPU; tests/test_gpu.py has the same on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import Tensor

from art_snn import STBP, fused
from art_snn.dynamics import Dynamics
from art_snn.gradients import Site

FOREIGN = Dynamics(0.5, 1.0, "hard", gain=2.0, constant=-0.25, strict=True, rest=0.25, start=0.5)


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Loops are traced on the CPU, and not translated, which takes a compiler and seconds."""
    monkeypatch.setenv(fused._SWITCH, "cpu")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(fused, "_compiled", {})
    yield monkeypatch
    torch.compiler.reset()


def through(dynamics: Dynamics, current: Tensor, at_spikes: Tensor) -> tuple[Tensor, ...]:
    """Spikes with and without a graph, potentials, and the gradient at the current."""
    leaf, potential = current.clone().requires_grad_(), torch.empty_like(current)
    spikes = STBP().firing()(Site("", dynamics), leaf)
    (gradient,) = torch.autograd.grad(spikes, leaf, at_spikes)
    return spikes.detach(), dynamics.simulate(current, potential), potential, gradient


def eagerly(patch: pytest.MonkeyPatch, work):
    with patch.context() as context:
        context.setenv(fused._SWITCH, "none")
        return work()


@pytest.mark.parametrize(
    "dynamics", [Dynamics(), Dynamics(0.5, 1.0, "soft", drop=0.75), FOREIGN], ids=str
)
def test_compiled_loops_give_what_the_eager_ones_give(on_cpu, dynamics):
    for samples in (3, 5):
        given = torch.randn(2, 4, samples, 32) + 0.3
        expected = eagerly(on_cpu, lambda given=given: through(dynamics, *given))
        for _ in range(2):  # The first call compares, the second one is compiled.
            assert all(map(torch.equal, through(dynamics, *given), expected))
        assert 0 < expected[0].mean() < 1
    assert len(fused._compiled) == 2
    assert all(fused._compiled.values())


@pytest.mark.slow
def test_translated_loops_give_the_spikes_bit_for_bit_and_gradients_to_rounding(monkeypatch):
    monkeypatch.setenv(fused._SWITCH, "cpu")
    monkeypatch.setattr(fused, "_compiled", {})
    given = torch.randn(2, 4, 3, 32) + 0.3
    expected = eagerly(monkeypatch, lambda: through(Dynamics(), *given))
    for _ in range(2):
        got = through(Dynamics(), *given)
        assert all(map(torch.equal, got[:3], expected[:3]))
        torch.testing.assert_close(got[3], expected[3], rtol=1e-5, atol=1e-5)


def add_up(x: Tensor, out: Tensor, *, off: float = 0.0) -> None:
    torch.cumsum(x, 0, out=out)
    if torch.compiler.is_compiling():
        out.add_(off)


@pytest.mark.parametrize(("off", "rounds"), [(0.0, False), (1e-6, True), (1e-6, False), (1, True)])
def test_a_loop_that_differs_by_more_than_it_may_runs_eagerly_and_warns(on_cpu, off, rounds):
    x, out = torch.ones(3, 2, 32), torch.empty(3, 2, 32)
    agrees = off == 0 or (off < 1e-3 and rounds)
    differs = pytest.warns(UserWarning, match="eagerly, since compiled it differs from the eager")
    for expected in (nullcontext() if agrees else differs, nullcontext()):
        with expected:
            fused.run(partial(add_up, off=off), "sum", (x,), out.zero_(), rounds=rounds)
        torch.testing.assert_close(out, x.cumsum(0), rtol=0, atol=1e-5)
    assert bool(fused._compiled.popitem()[1]) is agrees


def test_where_compiling_fails_the_eager_loop_runs_and_it_is_not_tried_again(on_cpu):
    tried = []

    def compile_badly(loop, **options):
        tried.append(loop)
        raise OSError("no compiler")

    on_cpu.setattr(torch, "compile", compile_badly)
    x, out = torch.ones(3, 2, 32), torch.empty(3, 2, 32)
    failing = pytest.warns(UserWarning, match="could not be compiled: OSError: no compiler")
    for expected in (failing, nullcontext(), nullcontext()):
        with expected:
            fused.run(add_up, "sum", (x,), out.zero_())
        assert torch.equal(out, x.cumsum(0))
    assert len(tried) == 1


def test_by_default_and_for_odd_tensors_nothing_is_compiled(on_cpu):
    on_cpu.setattr(fused, "_compile", lambda *_: pytest.fail("compiled"))
    current = torch.rand(4, 2, 32) + 0.3
    expected = eagerly(on_cpu, lambda: Dynamics().simulate(current))
    twice = torch.func.vmap(lambda _: Dynamics().simulate(current))(torch.ones(2))
    assert torch.equal(twice, torch.stack([expected, expected]))
    for odd in (current[:, :0], torch.rand(fused._LONGEST + 1, 1, 2)):
        assert Dynamics().simulate(odd).shape == odd.shape
    on_cpu.delenv(fused._SWITCH)
    assert torch.equal(Dynamics().simulate(current), expected)
    assert not fused._compiled


def test_the_switch_names_types_of_device_and_another_is_refused(monkeypatch):
    for words, devices in (("none", []), ("cpu", ["cpu"]), (" CUDA,cpu ", ["cpu", "cuda"])):
        monkeypatch.setenv(fused._SWITCH, words)
        assert sorted(fused._devices()) == devices
    for words in ("0", "", "cuda:0"):
        monkeypatch.setenv(fused._SWITCH, words)
        with pytest.raises(ValueError, match=r"ART_SNN_FUSED: expected 'none', 'cuda', 'cpu' or"):
            fused._devices()
