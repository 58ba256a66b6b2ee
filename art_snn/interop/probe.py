"""Passes that find out the traits of a model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import ArgumentError, invalid
from art_snn.gradients.base import simulation
from art_snn.interop.members import Member, Members, running
from art_snn.interop.passes import ModelPass
from art_snn.interop.runner import ModelNetwork
from art_snn.interop.steps import StepPass, graph_nodes
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
            self.lengths.add(len(member.to_steps(args[0], None)))
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
def find_traits(network: ModelNetwork, x: Tensor) -> None:
    """Find out the traits of the model from a few samples [N, ...]."""
    x = x.clone()  # Tensors of inference mode count no writes, and take no gradient.
    encoded, traits = network.encode(x[:2]), network.traits
    if network.makes_own_time:
        this = _try(network, lambda: network.model(encoded[0].clone()))
        traits.steps = network.own_steps or (this.length() if this else None)
        if this is not None and this.most() == 1 and network.own_steps is None:
            expected = "the number of time steps, since the model computes one of them in a call"
            remedy = (
                "adapt(model, steps=25), or --steps 25, calls it once for each of 25 time steps; "
                "steps=1 says that one step is meant."
            )
            raise invalid("steps", expected, "None", remedy)
        if network.members.steps_alone:
            traits.preludes = _preludes(network, encoded)
    else:
        given = encoded.clone(memory_format=torch.contiguous_format)
        whole = _try(network, lambda: network.model(given))
        traits.writes = given._version > 0 or given.shape != encoded.shape
        traits.single = _single(network, whole, encoded)
        traits.steps = len(encoded)
    # What fails here will fail again in the pass.
    with suppress(Exception), network.restoring():
        encoded, before = network.encode(x[:VERIFIED]), _generators(x)
        first = network.run_by_itself(encoded)
        traits.draws = _generators(x) != before
        second = network.run_by_itself(network.encode(x[:VERIFIED]))
        differ = not torch.equal(first.nan_to_num(), second.nan_to_num())
        traits.random = traits.draws or differ


def _generators(x: Tensor) -> list[bytes]:
    """The states of torch's generators on the CPU and on the device of x."""
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(x.device)] if x.is_cuda else [])]
    return [state.numpy().tobytes() for state in states]


def _single(network: ModelNetwork, whole: _Counting | None, encoded: Tensor) -> bool:
    """True if the model computes one time step in a call; `whole` is its run on all of them."""
    steps = len(encoded)
    if whole is not None and whole.most() % steps == 0:
        longer = torch.cat([encoded, encoded])
        twice = _try(network, lambda: network.model(longer)) if whole.most() else None
        if twice is None or twice.most() != whole.most():
            return False
        if whole.most() > 1:
            raise _of_own_time(whole.most(), steps)
    step = encoded[0].clone()
    one = _try(network, lambda: network.model(step))
    if one is None or one.most() == 0:
        return False
    if one.most() > 1:
        raise _of_own_time(one.most(), steps)
    loop = _try(network, lambda: network.loop(encoded))
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


def _try(network: ModelNetwork, run: Callable[[], object]) -> _Counting | None:
    """How the neurons were called; None where the model failed, as it will again in the pass."""
    this = _Counting(network.members)
    try:
        with network.restoring(), running(this), torch.random.fork_rng([]):
            run()
    except Exception:
        return None
    return this


def _preludes(network: ModelNetwork, encoded: Tensor) -> int:
    """1 where every neuron is called once before the first step, and its spikes are not read."""
    # Networks converted from an ANN charge their neurons so, with a constant.
    try:
        with network.restoring(), torch.enable_grad(), torch.random.fork_rng([]):
            this = network.firing_pass(StepPass, encoded, simulation)
            with running(this):  # The graph as it is, before anything fires.
                output = network.logits(encoded.clone().requires_grad_())
    except Exception:
        return 0
    calls = list(this.made.values())
    if not calls or any(len(c.currents) < 2 or c.currents[0].requires_grad for c in calls):
        return 0
    nodes = graph_nodes([output.grad_fn, *(x.grad_fn for c in calls for x in c.currents)])
    seen = {id(getattr(node, "variable", None)) for node in nodes}
    unread = all(id(c.spikes[0]) not in seen for c in calls)
    return int(unread and any(id(c.spikes[1]) in seen for c in calls))
