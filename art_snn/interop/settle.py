"""What the first pass of every form finds out about a model: who loops over time, and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import ArgumentError, invalid
from art_snn.gradients.base import simulation
from art_snn.interop.compared import as_it_was
from art_snn.interop.cuts import graph_nodes
from art_snn.interop.members import Member, Members, to_steps
from art_snn.interop.passes import ModelPass, running
from art_snn.interop.runner import Runner, looped
from art_snn.interop.steps import StepPass
from art_snn.network import VERIFIED


class _Counting(ModelPass):
    """Runs the model as it is, and counts calls and time steps."""

    def __init__(self, members: Members) -> None:
        super().__init__(members, None)
        self.lengths: set[int] = set()
        self.forgotten: list[str] = []

    def call(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        again = self.calls[member.name] > 0
        if member.layout in ("steps", "samples first", "time last") and member.fires and args:
            self.lengths.add(len(to_steps(args[0], member.layout, member.module, None)))
        states = [value for value in (*args[1:], *kwargs.values()) if value is not None]
        if again and member.kind.handed and not states:
            self.forgotten.append(member.name)
        return super().call(member, *args, **kwargs)

    def most(self) -> int:
        """How often the neurons were called that take one time step in a call."""
        stepwise = (m for m in self.members.values() if m.fires and m.layout == "step")
        return max((self.calls[m.name] for m in stepwise), default=0)

    def length(self) -> int | None:
        """Time steps T, where the calls show them."""
        return self.most() or (min(self.lengths) if len(self.lengths) == 1 else None)


@torch.inference_mode(False)
@torch.no_grad()
def find_traits(runner: Runner, x: Tensor) -> None:
    """Find out the traits of the model from a few samples [N, ...]."""
    x = x.clone()  # Tensors of inference mode count no writes, and take no gradient.
    encoded, traits = runner.encode(x[:2]), runner.traits
    if runner.makes_own_time:
        this = _tried(runner, lambda: runner.model(encoded[0].clone()))
        traits.steps = runner.form.steps or (this.length() if this else None)
        if this is not None and this.most() == 1 and runner.form.steps is None:
            expected = "the number of time steps, since the model computes one of them in a call"
            remedy = (
                "adapt(model, steps=25), or --steps 25, calls it once for each of 25 time steps; "
                "steps=1 says that one step is meant."
            )
            raise invalid("steps", expected, "None", remedy)
        if runner.steps_alone:
            traits.preludes = _preludes(runner, encoded)
    else:
        given = encoded.clone(memory_format=torch.contiguous_format)
        whole = _tried(runner, lambda: runner.model(given))
        traits.writes = given._version > 0 or given.shape != encoded.shape
        traits.single = _single(runner, whole, encoded)
        traits.steps = len(encoded)
    traits.random = _draws(runner, x[:VERIFIED])


def _single(runner: Runner, whole: _Counting | None, encoded: Tensor) -> bool:
    """Whether the model computes one time step in a call; `whole` is its run on all of them."""
    steps = len(encoded)
    if whole is not None and whole.most() % steps == 0:
        longer = torch.cat([encoded, encoded])
        twice = _tried(runner, lambda: runner.model(longer)) if whole.most() else None
        if twice is None or twice.most() != whole.most():
            return False
        if whole.most() > 1:
            raise _of_own_time(whole.most(), steps)
    step = encoded[0].clone()
    one = _tried(runner, lambda: runner.model(step))
    if one is None or one.most() == 0:
        return False
    if one.most() > 1:
        raise _of_own_time(one.most(), steps)
    loop = _tried(runner, lambda: looped(runner.model, encoded))
    if loop is not None and loop.forgotten:
        got = f"{loop.forgotten[0]}, which was called without the state of the step before"
        remedy = "Hand its states on in a loop of the model's own: adapt(model, encoder=None)."
        raise invalid("model", "neurons that keep their state from step to step", got, remedy)
    return True


def _of_own_time(calls: int, steps: int) -> ArgumentError:
    expected = f"one that computes one time step, or {steps} of them"
    got = f"one whose neurons are called {calls} times whatever the length of its input"
    remedy = "It makes its time steps itself: adapt(model, encoder=None), or leave out --steps."
    return invalid("model", expected, got, remedy)


def _tried(runner: Runner, run: Callable[[], object]) -> _Counting | None:
    """How the neurons were called; None where the model failed, as it will again in the pass."""
    this = _Counting(runner.members)
    try:
        with as_it_was(runner), running(this), torch.random.fork_rng([]):
            run()
    except Exception:
        return None
    return this


def _draws(runner: Runner, x: Tensor) -> bool:
    """Whether two passes, one after the other, give different logits."""
    try:
        with as_it_was(runner):
            first, second = (runner.run_by_itself(runner.encode(x)) for _ in range(2))
    except Exception:
        return False
    return not torch.equal(first.nan_to_num(), second.nan_to_num())


class _Traced(StepPass):
    """Leaves the graph of a pass as it is, before anything fires."""

    def ended(self) -> None:
        pass


def _preludes(runner: Runner, encoded: Tensor) -> int:
    """1 where every neuron is called once before the first step, and nobody reads its spikes."""
    # Networks converted from an ANN charge their neurons so, with a constant.
    try:
        with as_it_was(runner), torch.enable_grad(), torch.random.fork_rng([]):
            this = runner.firing_pass(_Traced, encoded, simulation)
            output = runner.run_in(this, encoded.clone().requires_grad_())
    except Exception:
        return 0
    calls = list(this.made.values())
    if not calls or any(len(c.currents) < 2 or c.currents[0].requires_grad for c in calls):
        return 0
    nodes = graph_nodes([output.grad_fn, *(x.grad_fn for c in calls for x in c.currents)])
    seen = {id(getattr(node, "variable", None)) for node in nodes}
    unread = all(id(c.spikes[0]) not in seen for c in calls)
    return int(unread and any(id(c.spikes[1]) in seen for c in calls))
