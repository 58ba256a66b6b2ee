"""Passes that find out the traits of a model, and the call of adapt that it needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from art_snn.checks import invalid, require
from art_snn.gradients.base import simulation
from art_snn.interop.members import Member, Members, running
from art_snn.interop.passes import ModelPass
from art_snn.interop.runner import ModelNetwork, fitting_readout
from art_snn.interop.steps import StepPass, graph_nodes
from art_snn.network import VERIFIED

_MOST = 1024
# Time steps up to which those of a loop with a fixed number are looked for.


class _Counting(ModelPass):
    """Runs the model as it is, and counts calls and time steps."""

    output: Any = None
    error: Exception | None = None

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
        """Time steps of the neurons that take one in a call."""
        stepwise = (m for m in self.members.values() if m.fires and m.layout == "step")
        calls = max((self.calls[m.name] for m in stepwise), default=0)
        return max(0, calls - self.preludes)

    def length(self) -> int | None:
        """Time steps T, where the calls show them."""
        return self.most() or (min(self.lengths) if len(self.lengths) == 1 else None)


@torch.inference_mode(False)
@torch.no_grad()
def find_traits(network: ModelNetwork, x: Tensor) -> None:
    """Find out the traits of the model from a few samples [N, ...]."""
    x = x.clone()  # Tensors of inference mode count no writes, and take no gradient.
    encoded, traits = network.encode(x[:2]), network.traits
    given = encoded.clone(memory_format=torch.contiguous_format)
    if network.makes_own_time:
        seen = _try(network, given[0])
        _require_own_time(network, seen, x)
        traits.steps = network.own_steps or seen.length()
    else:
        seen = _try(network, given)
        traits.writes = given._version > 0 or given.shape != encoded.shape
        one = _one_step(network, seen, encoded, x)
        seen, traits.single = one or seen, one is not None
        traits.steps = len(encoded)
    traits.preludes = seen.preludes
    # What fails here will fail again in the pass.
    with suppress(Exception), network.restoring():
        start = _generators(x)
        encoded, before = network.encode(x[:VERIFIED]), _generators(x)
        first = network.run_by_itself(encoded)
        traits.draws = _generators(x) != before
        second = network.run_by_itself(network.encode(x[:VERIFIED]))
        differ = not torch.equal(first.nan_to_num(), second.nan_to_num())
        # Logits of a few samples may be the same by chance.
        traits.random = before != start or traits.draws or differ


def _generators(x: Tensor) -> list[bytes]:
    """The states of torch's generators on the CPU and on the device of x."""
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(x.device)] if x.is_cuda else [])]
    return [state.numpy().tobytes() for state in states]


def _require_own_time(network: ModelNetwork, seen: _Counting, x: Tensor) -> None:
    """Refuse a model that computes one time step of x [N, ...], or needs a time axis."""
    other = _try(network, x[:1].expand(3 if len(x) == 1 else 1, *x.shape[1:]).clone())
    odd = seen.error or isinstance(other.error, IndexError)
    if odd or (not other.error and seen.length() != other.length()):
        _refuse_form(network, "one that makes its time steps of [N, ...] itself", x)
    elif seen.most() == 1 and network.own_steps is None:
        first = _try(network, x[None, :2].clone(), network.loop).output[0]
        read = ", readout='spikes'" if isinstance(first, tuple | list) else ""
        expected = "the number of time steps, since the model computes one of them in a call"
        remedy = (
            f"adapt(model, steps=25{read}), or --steps 25, calls it once for each of 25 time "
            f"steps; {_call(network, 'steps=1, encoder=None', x)} says that one step is meant."
        )
        raise invalid("steps", expected, "None", remedy)
    elif network.own_steps and seen.most() % network.own_steps:
        _refuse_form(network, f"one that makes {network.own_steps} time steps", x)


def _one_step(
    network: ModelNetwork, seen: _Counting, encoded: Tensor, x: Tensor
) -> _Counting | None:
    """How a call of one time step went, if a call of the model computes one; otherwise None.

    :param seen: how a call on all steps of the encoded input [T, N, ...] went."""
    steps, made = len(encoded), seen.length()
    forms = f"one of {steps} time steps, or of one"
    if not seen.error:
        if made is None or (made == steps and not seen.most()):
            return None
        longer = _try(network, torch.cat([encoded, encoded]))
        if longer.error or longer.length() != made:
            return None
        if seen.most() != 1:
            if 1 != _fewest_steps(network, encoded[0]) == steps:
                return None
            _refuse_form(network, forms, x)
    one = _try(network, encoded[0].clone())
    if not one.error and one.most() == 1:
        loop = _try(network, encoded.clone(), network.loop)
        if loop.forgotten and not loop.error:
            got = f"{loop.forgotten[0]}, which was called without the state of the step before"
            remedy = "Hand its states on in a loop of the model's own."
            raise invalid("model", "neurons that keep their state from step to step", got, remedy)
        return one
    if one.error:
        name = type(one.error).__name__
        network.traits.failed = f" A call of one time step fails by {name}: {one.error}"
    if seen.error:
        _refuse_form(network, forms, x)
    return None


def _refuse_form(network: ModelNetwork, expected: str, x: Tensor) -> None:
    """Refuse a model of another form than was told, if there is a call of adapt for x [N, ...]."""
    steps = _fewest_steps(network, x[:2])
    steps = 8 if steps in (None, 1) else steps
    alone = network.members.steps_alone
    merged = any("merged" in member.layout for member in network.members.neurons)
    given = f"steps={len(network.encode(x))}, encoder=None" if merged else "encoder=None"
    for how, got, shape in (
        (given, "one that makes its time steps of [N, ...] itself", lambda x: x),
        (f"steps={steps}", f"one of {steps} time steps", lambda x: x.expand(steps, *x.shape)),
        ("encoder=Frames()", "one of event frames", lambda x: x.transpose(0, 1)),
    ):
        call = _call(network, how, x, shape)
        unless = ", without --steps" if how == given and alone else ""
        remedy = f"The call for it is {call}{unless}."
        require(call is None, "model", expected, got, remedy)


def _call(
    network: ModelNetwork, how: str, x: Tensor, shape: Callable[[Tensor], Tensor] = lambda x: x
) -> str | None:
    """The call of adapt for inputs [N, ...] of this shape; None where the model does not run."""
    batches = (x[:1].expand(samples, *x.shape[1:]) for samples in (1, 3))
    one, three = (_try(network, shape(batch).clone()) for batch in batches)
    uneven = "encoder=None" not in how and one.most() % len(shape(x))
    if one.error or three.error or one.length() != three.length() or uneven:
        return None
    # By the one in which the number of samples is not that of time steps.
    output, samples = (one.output, 1) if three.length() == 3 else (three.output, 3)
    readout = fitting_readout(output, samples) or "function"
    usual = "None" if how.endswith("None") else "'mean'"
    return f"adapt(model, {how}{'' if readout == usual else f', readout={readout}'})"


def _fewest_steps(network: ModelNetwork, x: Tensor) -> int | None:
    """The fewest rows of an input [T, N, ...] that the model reads, if it runs on such ones."""

    def fails(rows: int) -> Exception | None:
        return _try(network, x.expand(rows, *x.shape).clone()).error

    most = next(n for n in (8, 32, 128, 512) if not isinstance(fails(n), IndexError) or n == 512)
    fits = bisect_left(range(1, most + 1), True, key=lambda rows: not fails(rows)) + 1
    return fits if fits <= most else None


def _try(
    network: ModelNetwork, x: Tensor, run: Callable[[Tensor], object] | None = None
) -> _Counting:
    """How the neurons were called, or the error with which the model failed."""
    this, again, run = _Counting(network.members), x.clone(), run or network.model
    try:
        with network.restoring(), running(this), torch.random.fork_rng([]):
            this.output = run(x)
        if this.most() > 1:
            this.preludes = _preludes(network, run, again)
    except Exception as error:
        this.error = error
    return this


def _preludes(network: ModelNetwork, run: Callable[[Tensor], object], x: Tensor) -> int:
    """1 where every neuron is called once before the first step, and its spikes are not read."""
    # Networks converted from an ANN charge their neurons so, with a constant.
    try:
        with network.restoring(), torch.enable_grad(), torch.random.fork_rng([]):
            this = network.firing_pass(StepPass, x[None], simulation)
            with running(this):  # The graph as it is, before anything fires.
                output = run(x.requires_grad_().clone())
    except Exception:
        return 0
    calls = list(this.made.values())
    if not calls or any(len(c.currents) < 2 or c.currents[0].requires_grad for c in calls):
        return 0
    ends = [*tree_leaves(output), *(x for c in calls for x in c.currents)]
    nodes = graph_nodes([end.grad_fn for end in ends if isinstance(end, Tensor)])
    seen = {id(getattr(node, "variable", None)) for node in nodes}
    unread = all(id(c.spikes[0]) not in seen for c in calls)
    return int(unread and any(id(c.spikes[1]) in seen for c in calls))
