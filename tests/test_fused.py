"""Loops over time in one kernel: what the eager loops give, or the eager loops themselves.

Here on the CPU, by inductor's C++ backend; tests/test_gpu.py has the same on a GPU."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, STBP, Direct, SpikingNetwork, TimeDistributed, fused
from art_snn.dynamics import Dynamics
from art_snn.gradients import Site, TemporalGradient, Triangle
from tests.command import python
from tests.oracles import stbp_neuron

# With decays that are powers of two products are exact, so that it does not matter whether a
# processor rounds them before it adds.
HARD = Dynamics(0.5, 1.0, "hard", gain=2.0, constant=-0.25, strict=True, rest=0.25, start=0.5)
SOFT = Dynamics(0.5, 1.0, "soft", drop=0.75)


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Skips where torch cannot compile a comparison for the CPU, as for some instruction sets."""
    with pytest.MonkeyPatch.context() as patch:
        # What was compiled for other instruction sets lies in the usual one, under the same keys.
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.compile(lambda x: x * (x >= 1).to(x.dtype))(torch.ones(8, 32))
        except Exception as error:
            pytest.skip(f"torch compiles no comparison here: {type(error).__name__}")
        yield


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Loops are fused on the CPU, in kernels of at most two steps, and none is known yet."""
    monkeypatch.setenv(fused.SWITCH, "cpu")
    monkeypatch.setattr(fused, "UNROLLED", 2)
    fused.clear()
    yield monkeypatch
    fused.clear()


def eagerly(monkeypatch: pytest.MonkeyPatch, work):
    with monkeypatch.context() as patch:
        patch.setenv(fused.SWITCH, "none")
        return work()


@pytest.fixture
def uncompiled(on_cpu: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The same, where nothing may be compiled."""
    on_cpu.setattr(fused._Entry, "settle", lambda _: pytest.fail("compiled"))
    return on_cpu


def assert_fused(loops: int, words: str = "fused") -> None:
    assert len(fused.report()) == loops
    assert all(words in line for line in fused.report())


AS_EAGER = "fused, bit for bit as eager"


def through(rule, dynamics, current, at_spikes):
    """Spikes and the gradient at the current."""
    current = current.clone().requires_grad_()
    spikes = rule.firing()(Site("", dynamics), current)
    return spikes.detach(), torch.autograd.grad(spikes, current, at_spikes)[0]


def assert_as_eager(patch: pytest.MonkeyPatch, dynamics: Dynamics, current: Tensor) -> Tensor:
    """Spikes, and potentials, to the bit."""
    u, expected_u = torch.empty(2, *current.shape, dtype=current.dtype)
    expected = eagerly(patch, lambda: dynamics.simulate(current, expected_u))
    assert torch.equal(dynamics.simulate(current, u), expected)
    assert torch.equal(u, expected_u)
    assert 0 < expected.mean() < 1
    return expected


@pytest.mark.parametrize(
    ("dynamics", "dtype", "steps"), [(HARD, torch.float32, 4), (SOFT, torch.float64, 2)], ids=str
)
def test_fused_spikes_and_potentials_are_those_of_the_eager_loop_bit_for_bit(
    compiler, on_cpu, dynamics, dtype, steps
):
    for samples in (3, 5):
        current = torch.randn(steps, samples, 32, dtype=dtype) + 0.3
        expected = assert_as_eager(on_cpu, dynamics, current)
        assert torch.equal(dynamics.simulate(current.requires_grad_()), expected)
        with torch.inference_mode():
            assert torch.equal(dynamics.simulate(current), expected)
    # One that keeps the potential and one that does not, for batches of any size.
    assert_fused(2, AS_EAGER)


def test_a_view_that_repeats_a_step_is_simulated_like_its_copy(compiler, on_cpu):
    assert_as_eager(on_cpu, Dynamics(), (torch.rand(3, 32) + 0.3).expand(2, 3, 32))
    assert_fused(1, AS_EAGER)


@pytest.mark.parametrize(
    ("dynamics", "steps"), [(Dynamics(0.5), 4), (Dynamics(0.5, 1.0, "soft"), 2)], ids=str
)
def test_fused_gradients_are_those_of_the_eager_recursion_and_of_plain_autograd(
    compiler, on_cpu, dynamics, steps
):
    for samples in (3, 5):
        current, at_spikes = torch.randn(2, steps, samples, 32, dtype=torch.float64) + 0.4
        spikes, gradient = through(STBP(), dynamics, current, at_spikes)
        expected = eagerly(on_cpu, lambda c=current, g=at_spikes: through(STBP(), dynamics, c, g))
        assert torch.equal(spikes, expected[0])
        torch.testing.assert_close(gradient, expected[1], rtol=1e-12, atol=1e-12)
        leaf = current.clone().requires_grad_()
        plain = torch.stack(stbp_neuron(dynamics, list(leaf)))
        (naive,) = torch.autograd.grad(plain, leaf, at_spikes)
        torch.testing.assert_close(gradient, naive, rtol=1e-12, atol=1e-12)
        assert gradient.any()
    assert_fused(2)


def test_a_network_has_the_same_logits_under_every_rule_and_none(compiler, on_cpu):
    first, readout = TimeDistributed(nn.Flatten(), nn.Linear(36, 32)), nn.Linear(32, 3)
    network = SpikingNetwork([first, LIF(), TimeDistributed(readout)], Direct(2))
    x = torch.rand(4, 1, 6, 6)
    with torch.no_grad():
        logits = network(x)
        assert torch.equal(eagerly(on_cpu, lambda: network(x)), logits)
    for rule in ("stbp", "rga", "hart"):
        with network.using(rule):
            assert torch.equal(network(x.clone().requires_grad_()), logits)
    assert len(fused.report()) == 2


def test_where_rounding_differs_the_eager_loop_runs(compiler, on_cpu):
    # Whether 0.9 v is rounded before x is added depends on the processor.
    dynamics, current = Dynamics(0.9), torch.randn(2, 3, 32) + 0.3
    expected = eagerly(on_cpu, lambda: dynamics.simulate(current))
    assert torch.equal(dynamics.simulate(current), expected)
    ways = {line.partition("on cpu: ")[2].partition(" (")[0] for line in fused.report()}
    assert ways in ({AS_EAGER}, {"eager, since compiled it differs from the eager loop"})


@dataclass(frozen=True)
class Sum(fused.Loop):
    """A running sum, whose eager loop may add something else."""

    off: float = 0.0
    limit: float = 0.0

    exact: ClassVar[bool] = False

    def step(self, given, before, state):
        return (given[0] + before[0] if before else given[0] * 1,), None

    def eager(self, given, results):
        results[0].copy_(given[0].cumsum(0)).add_(self.off)

    def trial(self, like, generator):
        return (torch.randint(-8, 8, like.shape, generator=generator).to(like),)

    def tolerance(self, given, expected):
        return self.limit


def test_a_loop_that_differs_is_tried_once_refused_and_told(compiler, on_cpu):
    trials, trial = [], Sum.trial
    on_cpu.setattr(Sum, "trial", lambda *of: trials.append(1) or trial(*of))
    x, out = torch.ones(3, 2, 32), torch.zeros(3, 2, 32)
    for _ in range(3):
        assert not fused.run_fused(Sum(off=1e-3), (x,), (out,))
    assert len(trials) == 1
    assert not out.any()
    (line,) = fused.report()
    assert "eager, since compiled it differs from the eager loop (1.0e+00 of the trial)" in line
    assert fused.run_fused(Sum(off=1e-3, limit=2e-3), (x,), (out,))
    assert torch.equal(out, x.cumsum(0))
    assert "fused, to rounding as eager" in fused.report()[1]


def test_a_process_keeps_the_loops_that_were_used_last(compiler, on_cpu):
    on_cpu.setattr(fused, "KEPT", 2)
    x = torch.ones(1, 2, 32)
    for off in (0.0, 1.0, 0.0, 2.0):
        fused.run_fused(Sum(off), (x,), (torch.empty_like(x),))
    assert [line.partition(",")[0] for line in fused.report()] == ["Sum(off=0.0", "Sum(off=2.0"]


def test_threads_wait_for_the_one_that_compiles(compiler, on_cpu):
    current = torch.randn(2, 3, 32) + 0.5
    expected = eagerly(on_cpu, lambda: Dynamics().simulate(current))
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: Dynamics().simulate(current), range(8)))
    assert all(torch.equal(spikes, expected) for spikes in runs)
    assert_fused(2)


def test_where_nothing_can_be_compiled_the_eager_loop_runs_and_it_is_not_tried_again(on_cpu):
    calls = []

    def broken(*given):
        calls.append(given)
        raise OSError("no compiler")

    on_cpu.setattr(torch._inductor, "compile", broken)
    current, at_spikes = torch.randn(2, 4, 3, 32, dtype=torch.float64) + 0.5
    expected = eagerly(on_cpu, lambda: through(STBP(), Dynamics(), current, at_spikes))
    for _ in range(2):
        assert all(map(torch.equal, through(STBP(), Dynamics(), current, at_spikes), expected))
    assert torch.equal(Dynamics().simulate(current), expected[0])
    assert len(calls) == 2
    assert_fused(3, "eager, since it could not be compiled: OSError: no compiler")


def test_a_loop_that_fails_at_a_call_is_not_called_again(on_cpu):
    def failing(self, size):
        def fail(*_):
            raise RuntimeError("lost")

        on_cpu.setattr(fused._Entry, "part", lambda *_: fail)
        return "as eager"

    on_cpu.setattr(fused._Entry, "tried", failing)
    current = torch.randn(4, 3, 32) + 0.5
    expected = eagerly(on_cpu, lambda: Dynamics().simulate(current))
    assert torch.equal(Dynamics().simulate(current), expected)
    assert "eager, since it failed at a call: RuntimeError: lost" in fused.report()[-1]


class Mutable(TemporalGradient):
    """A rule whose slope can change."""

    elementwise: ClassVar[bool] = True
    width = 1.0

    def slope(self, distance: Tensor, site: Site) -> Tensor:
        return Triangle(self.width)(distance)


def test_what_might_change_is_not_compiled(uncompiled):
    x, out = torch.ones(3, 2, 32), torch.zeros(3, 2, 32)

    @dataclass(frozen=True)
    class Of(Sum):
        inner: object = None

    for inner in (Mutable(), [1.0], float("nan"), (STBP(), Mutable()), object()):
        assert not fused.run_fused(Of(inner=inner), (x,), (out,))
    changed = Sum()
    vars(changed)["more"] = 1
    assert not fused.run_fused(changed, (x,), (out,))


def test_tensors_that_are_watched_or_do_not_fit_take_the_eager_loop(uncompiled):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            return function(*args, **kwargs or {})

    current = torch.rand(4, 2, 32) + 0.3
    expected = eagerly(uncompiled, lambda: Dynamics().simulate(current))
    with Watching():
        assert torch.equal(Dynamics().simulate(current), expected)
    with torch.autocast("cpu", torch.bfloat16):
        Dynamics().simulate(current.bfloat16())
    twice = torch.func.vmap(lambda _: Dynamics().simulate(current))(torch.ones(2))
    assert torch.equal(twice, torch.stack([expected, expected]))
    part = torch.empty(4, 6, 32)[:, 2:4]
    assert torch.equal(Dynamics().simulate(current, None, part), expected)
    other = torch.empty(4, 2, 32, dtype=torch.float64)
    assert not fused.run_fused(Sum(), (current,), (other,))
    assert not fused.run_fused(Sum(), (nn.Parameter(current),), (torch.empty_like(current),))
    for odd in (current[:, :, :7], current[:, :0], current[:, :1, :16]):
        assert Dynamics().simulate(odd).shape == odd.shape
    assert not fused.report()


def test_inside_of_another_compilation_and_by_default_nothing_is_fused(uncompiled):
    current = torch.rand(3, 2, 32) + 0.3
    whole = torch.compile(Dynamics().simulate, backend="eager")
    assert torch.equal(whole(current), eagerly(uncompiled, lambda: Dynamics().simulate(current)))
    assert not fused.report()
    uncompiled.delenv(fused.SWITCH)
    assert fused.devices() == {"cuda"}
    Dynamics().simulate(current)
    assert not fused.report()


def test_the_switch_names_types_of_device_and_another_is_refused(monkeypatch):
    for words, devices in (
        ("none", ""),
        ("cpu", "cpu"),
        ("cuda,cpu", "cpu cuda"),
        (" CUDA ", "cuda"),
    ):
        monkeypatch.setenv(fused.SWITCH, words)
        assert sorted(fused.devices()) == devices.split()
    for words in ("0", "off", "", "cuda:0"):
        monkeypatch.setenv(fused.SWITCH, words)
        with pytest.raises(ValueError, match=r"ART_SNN_FUSED: expected 'none', 'cuda', 'cpu' or"):
            fused.devices()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_another_thread_compiles_does_not_wait_for_it():
    script = """
import os, threading, torch
from art_snn import fused
from art_snn.dynamics import Dynamics
held, done = threading.Event(), threading.Event()
def hold():
    with fused._lock:
        held.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    fused._Entry.settle = lambda entry: setattr(entry, "reason", "in the child")
    Dynamics().simulate(torch.rand(2, 2, 32))
    os._exit(len(fused.report()))
done.set()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python("-W", "ignore", "-c", script, **{fused.SWITCH: "cpu"}).stdout.strip() == "2"
