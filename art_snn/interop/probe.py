"""Passes that find out what a model is, and compare ours with the model by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import ArgumentError, invalid
from art_snn.gradients.base import simulation
from art_snn.interop.members import Member, Members, running
from art_snn.interop.passes import Exchange, FiringPass, ModelPass, other_equations, refusal
from art_snn.interop.runner import Runner
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
def find_traits(runner: Runner, x: Tensor) -> None:
    """Find out the traits of the model from a few samples [N, ...]."""
    x = x.clone()  # Tensors of inference mode count no writes, and take no gradient.
    encoded, traits = runner.encode(x[:2]), runner.traits
    if runner.makes_own_time:
        this = _try(runner, lambda: runner.model(encoded[0].clone()))
        traits.steps = runner.options.steps or (this.length() if this else None)
        if this is not None and this.most() == 1 and runner.options.steps is None:
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
        whole = _try(runner, lambda: runner.model(given))
        traits.writes = given._version > 0 or given.shape != encoded.shape
        traits.single = _single(runner, whole, encoded)
        traits.steps = len(encoded)
    try:
        with runner.restoring():
            first, second = (runner.run_by_itself(runner.encode(x[:VERIFIED])) for _ in range(2))
        traits.random = not torch.equal(first.nan_to_num(), second.nan_to_num())
    except Exception:  # As it will fail again in the pass.
        traits.random = False


def _single(runner: Runner, whole: _Counting | None, encoded: Tensor) -> bool:
    """True if the model computes one time step in a call; `whole` is its run on all of them."""
    steps = len(encoded)
    if whole is not None and whole.most() % steps == 0:
        longer = torch.cat([encoded, encoded])
        twice = _try(runner, lambda: runner.model(longer)) if whole.most() else None
        if twice is None or twice.most() != whole.most():
            return False
        if whole.most() > 1:
            raise _of_own_time(whole.most(), steps)
    step = encoded[0].clone()
    one = _try(runner, lambda: runner.model(step))
    if one is None or one.most() == 0:
        return False
    if one.most() > 1:
        raise _of_own_time(one.most(), steps)
    loop = _try(runner, lambda: runner.loop(encoded))
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


def _try(runner: Runner, run: Callable[[], object]) -> _Counting | None:
    """How the neurons were called; None where the model failed, as it will again in the pass."""
    this = _Counting(runner.members)
    try:
        with runner.restoring(), running(this), torch.random.fork_rng([]):
            run()
    except Exception:
        return None
    return this


class _Traced(StepPass):
    """Leaves the graph of a pass as it is, before anything fires."""

    def ended(self) -> None:
        pass


def _preludes(runner: Runner, encoded: Tensor) -> int:
    """1 where every neuron is called once before the first step, and its spikes are not read."""
    # Networks converted from an ANN charge their neurons so, with a constant.
    try:
        with runner.restoring(), torch.enable_grad(), torch.random.fork_rng([]):
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


def graph_nodes(roots: Iterable[Any], ends: Iterable[Any] = ()) -> set[Any]:
    """The nodes of a graph, from some on, pieces of cut ones among them; not beyond the ends."""
    seen: set[Any] = set()
    waiting, ends = list(roots), {None, *ends}
    while waiting:
        node = waiting.pop()
        if node in seen or node in ends:
            continue
        seen.add(node)
        pieces = getattr(node, "pieces", None)
        if pieces is not None:
            _refuse_outsiders(pieces)
            waiting += pieces.roots()
        waiting += [following for following, _ in node.next_functions]
    return seen


def _refuse_outsiders(pieces: Any) -> None:
    """Refuse tensors that require a gradient and are no parameters, in a graph that is cut."""
    parameters = pieces.targets()
    for node in graph_nodes(pieces.roots()):
        leaf = getattr(node, "variable", None)
        # Numbers may: states of Norse start from such ones.
        if leaf is not None and leaf.ndim and id(leaf) not in parameters:
            got = f"a tensor {list(leaf.shape)} that is none of its parameters"
            remedy = "Make it one: gradients are passed on where a loop over time is cut."
            raise refusal("a model in which parameters alone require gradients", got, remedy)


@torch.no_grad()
def compare_logits(runner: Runner, x: Tensor, *, native: bool) -> None:
    """Compare a pass of ours with the model as it is."""
    encoded = runner.encode(x)
    with runner.restoring():
        runner.refresh(encoded)
        try:
            with torch.random.fork_rng([x.device] if x.is_cuda else []):
                alone = runner.logits(encoded)
        except RuntimeError as error:
            note: Any = getattr(error, "add_note", None)
            if callable(note):  # From Python 3.11 on.
                note(
                    f"The model was given a batch in time of shape {list(encoded.shape)}, or "
                    "without its first axis where it makes its time steps itself. "
                    "adapt(model, steps=T) gives a model [T, N, ...], and "
                    "adapt(model, encoder=None) [N, ...]; are its layers in the step mode for that?"
                )
            raise
        # States that are known begin again; others have been changed by the first run.
        runner.refresh(encoded)
        ours = runner.run_by_itself(encoded, native=native)
    # In training mode some versions of frameworks add in another order.
    _require_same(alone, ours, rounded=native)


def agree(alone: Tensor, ours: Tensor, *, rounded: bool) -> bool:
    """True if logits are the same; to rounding on a GPU, where sums change from call to call."""
    if rounded or alone.is_cuda:
        return torch.allclose(alone, ours, rtol=1e-3, atol=1e-5, equal_nan=True)
    return torch.equal(alone.nan_to_num(), ours.nan_to_num())


def _require_same(alone: Tensor, ours: Tensor, *, rounded: bool) -> None:
    """Refuse logits in a pass of ours that are not those of the model by itself."""
    if agree(alone, ours, rounded=rounded):
        return
    got = f"one whose logits then differ by {(alone - ours).abs().max().item():.3g}"
    remedy = (
        "It keeps a state from call to call, reads that of a neuron from outside, or draws by "
        "another generator than torch's. Recognised neurons start from rest at every pass; let "
        "others do so as well. An encoder draws spikes: adapt(model, encoder=Poisson(steps))."
    )
    raise invalid("model", "one that computes the same in a pass of ours", got, remedy)


@torch.no_grad()
def compare_rows(runner: Runner, x: Tensor) -> None:
    """Refuse a model whose logits of a sample depend on the other samples of its batch."""
    others = x.clone()  # Of the same shape, which rounding depends on.
    others[1::2] = x.amax() + x.amin() - x[1::2]
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices):
        logits = runner.run_by_itself(runner.encode(x))[::2]
    with torch.random.fork_rng(devices):
        alone = runner.run_by_itself(runner.encode(others))[::2]
    if agree(logits, alone, rounded=True):
        return
    got = f"one whose logits then differ by {(logits - alone).abs().max().item():.3g}"
    remedy = (
        "Which of its axes is the batch? A layer, a neuron (in another step mode?) or the readout "
        "takes samples for time steps or features: a model [N, T, K] is read by "
        "readout=lambda out: out.mean(1)."
    )
    expected = "one whose logits of a sample are the same whatever else is in its batch"
    raise invalid("model", expected, got, remedy)


@torch.no_grad()
def compare_spikes(runner: Runner, x: Tensor) -> bool:
    """Compare spikes with those of the dynamics, and logits; whether every neuron was lively."""
    encoded = runner.encode(x)
    with torch.random.fork_rng([x.device] if x.is_cuda else []):
        alone = runner.run_by_itself(encoded)
    kind = _ComparingSteps if runner.steps_alone else _ComparingExchange
    this: FiringPass = runner.firing_pass(kind, encoded, simulation)
    gated = any(m.kind.gated for m in runner.members.values() if m.name in runner.natives)
    _require_same(alone, runner.run_in(this, encoded), rounded=gated)
    runner.traits.silent = [name for name in this.sites if not this.calls[name]]
    return this.sites.keys() - runner.traits.silent <= this.lively


def _compare(this: FiringPass, name: str, spikes: Tensor, ours: Tensor) -> None:
    """Refuse spikes [T, N, ...] of a neuron that are not those of its dynamics."""
    odd = spikes[(spikes != 0) & (spikes != 1)]
    if len(odd):
        got = f"{name}, which gave {odd[0].item():g}"
        remedy = "Rules of ours know one spike per step: in sinabs that is spike_fn=SingleSpike."
        raise refusal("neurons whose outputs are 0 or 1", got, remedy)
    if (spikes != ours).any():
        raise other_equations(name, spikes, ours)
    if spikes.any() and not spikes.all():
        this.lively.add(name)


class _ComparingExchange(Exchange):
    """Fires by the dynamics, and compares with the neuron itself."""

    def answer(self, member: Member, x: Tensor, current: Tensor) -> Tensor:
        ours = super().answer(member, x, current)
        spikes = self.answer_alone(member, current)
        several = self.calls[member.name] > 1 and isinstance(spikes, Tensor)
        if several and not torch.equal(spikes, self.answer_alone(member, current)):
            got = f"{member.name}, which has several places and keeps a state"
            remedy = "One neuron cannot be at two places: give every place one of its own."
            raise refusal("neurons that start from rest at every place", got, remedy)
        if not isinstance(spikes, Tensor) or spikes.shape != current.shape:
            got = f"{member.name}, which returns something else"
            remedy = "Its class is known by a name that belongs to others."
            raise refusal("neurons that return spikes as they take currents", got, remedy)
        spikes = member.to_steps(spikes, self.steps)
        _compare(self, member.name, spikes, ours)
        return ours


class _ComparingSteps(StepPass):
    """Runs the neurons themselves, and compares with the dynamics at the end."""

    def compare(self) -> None:
        for name, calls in self.made.items():
            spikes = torch.stack([leaf.detach() for leaf in calls.spikes])
            _compare(self, name, spikes, calls.fired)
            calls.compare_potentials()
