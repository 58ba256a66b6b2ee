"""Passes that find out the traits of a model, and refuse one of another form than was told."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from art_snn.checks import invalid
from art_snn.gradients.base import simulation
from art_snn.interop.body import ModelBody
from art_snn.interop.forward_pass import ModelPass
from art_snn.interop.neuron_state import copy_state
from art_snn.interop.stateful_modules import Member, running
from art_snn.interop.steps import StepPass, graph_nodes
from art_snn.randomness import mirror_samples

FORMS = (
    "A model that makes its time steps of [N, ...] itself takes encoder=None and no steps. A model "
    "of [T, N, ...], one with a loop over a fixed T, and one that computes a single step take "
    "steps=T. A model of event frames takes encoder=Frames(). Are its layers in the step mode for "
    "that?"
)


class _Counting(ModelPass):
    """Runs the model as it is, and counts calls and time steps."""

    error: Exception | None = None
    writes = False
    """True if the model has written into its input."""

    def __init__(self, body: ModelBody, encoded: Tensor) -> None:
        super().__init__(body, encoded)
        self.steps = None
        self.lengths: set[int] = set()
        self.batch = encoded.shape[:1]
        self.rows: set[bool] = set()
        """Whether modules with a state were given one row for every sample."""
        self.forgotten: list[str] = []

    def call(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        self.rows |= {
            x.shape[:1] == self.batch for x in args[:1] if isinstance(x, Tensor)
        }
        all_steps = member.layout in ("steps", "samples first", "time last")
        if all_steps and member.fires and args:
            self.lengths.add(len(member.to_steps(args[0], None)))
        started = any(value is not None for value in (*args[1:], *kwargs.values()))
        if member.kind.handed and self.calls[member.name] and not started:
            self.forgotten.append(member.name)
        return super().call(member, *args, **kwargs)

    def most(self) -> int:
        """Time steps of the neurons that take one in a call."""
        calls = max((self.calls[name] for name in self.members.stepwise), default=0)
        return max(0, calls - self.preludes)

    def least(self) -> int | None:
        """The smallest number of time steps of any neuron."""
        return self.most() or min(self.lengths, default=None)

    def length(self) -> int | None:
        """Time steps T, where the calls show them."""
        return self.least() if len(self.lengths) < 2 else self.most() or None


@torch.inference_mode(False)
@torch.no_grad()
def find_traits(body: ModelBody, x: Tensor) -> None:
    """Find out the traits of the model from a few samples [N, ...]."""
    x = x.clone()  # Tensors of inference mode count no writes, and take no gradient.
    encoded = body.encode(x[:2])
    traits = body.traits
    traits.reads = True  # Until something else is known.
    if body.loops_itself:
        seen = _try(body, encoded[0])
        other_batch = 3 if len(x) == 1 else 1
        other = _try(body, x[:1].expand(other_batch, *x.shape[1:]))
        _require_own_time(body, seen, other, x)
        one = seen if len(x) == 1 or other.error else other
        traits.steps = body.own_steps or one.length()
    else:
        seen = _try(body, encoded)
        traits.writes = seen.writes
        traits.single = _computes_a_step(body, encoded)
        single = None if traits.single else _one_step(body, seen, encoded)
        seen = single or seen
        traits.single |= single is not None
        traits.steps = len(encoded)
    traits.preludes = seen.preludes


def _require_own_time(
    body: ModelBody, seen: _Counting, other: _Counting, x: Tensor
) -> None:
    """Refuse a model that computes one time step of x [N, ...], or needs a time axis.

    :param seen: how a call on x went.
    :param other: how one on another number of samples went."""
    longer = seen.error and not _try(body, x.expand(2, *x.shape)).error
    # Some layers may be given T * N rows, and none may be given fewer than T.
    uneven = not seen.error and not other.error and seen.least() != other.least()
    if longer or uneven or isinstance(seen.error or other.error, IndexError):
        raise invalid(
            "model",
            "one that makes its time steps of [N, ...] itself",
            "one that takes its first axis for time steps",
            FORMS,
        )

    steps = 0 if seen.error else seen.most()
    stated = body.own_steps
    # Neurons that nobody knows show one step by their state, and by the rows that they take.
    rowwise = seen.rows | other.rows == {True}
    several = x[:2].expand(3, *x[:2].shape)
    if stated is None and (steps == 1 or (rowwise and _computes_a_step(body, several))):
        raise invalid(
            "steps",
            "the number of time steps, since the model computes one of them in a call",
            "None",
            "With steps=25 it is called once for each of 25 time steps, with readout='spikes' if "
            "it returns (spikes, potential). With encoder=None, steps=1 says that one step is "
            "meant, and steps=25 that a call makes 25.",
        )
    if steps % (stated or 1):
        raise invalid(
            "model",
            f"one that makes {stated} time steps",
            f"one whose neurons fire {steps} times",
            "Leave steps out.",
        )


def _one_step(body: ModelBody, seen: _Counting, encoded: Tensor) -> _Counting | None:
    """How a call of one time step went, if a call of the model computes one; otherwise None.

    :param seen: how a call on all steps of the encoded input [T, N, ...] went."""
    steps = len(encoded)
    made = seen.length()
    expected = f"one of {steps} time steps, or of one"
    if not seen.error:
        if made is None or (made == steps and not seen.most()):
            return None
        longer = _try(body, torch.cat([encoded, encoded]))
        if longer.error or longer.length() != made:
            return None
        if seen.most() != 1:
            # A loop over a fixed number of steps runs on so many rows, and on no fewer.
            if made == steps > 1 and _try(body, encoded[1:]).error:
                return None
            raise invalid(
                "model",
                expected,
                f"one whose neurons fire {made} times, whatever it is given",
                FORMS,
            )

    one = _try(body, encoded[0])
    if not one.error and one.most() == 1:
        loop = _try(body, encoded, body.loop)
        if loop.forgotten and not loop.error:
            raise invalid(
                "model",
                "neurons that keep their state from step to step",
                f"{loop.forgotten[0]}, which was called without the state of the step before",
                "Hand its states on in a loop of the model's own.",
            )
        return one
    if one.error:
        name = type(one.error).__name__
        body.traits.failed = f" A call of one time step fails by {name}: {one.error}"
    if seen.error and (not one.error or isinstance(seen.error, IndexError)):
        raise invalid(
            "model",
            expected,
            f"one that fails on {list(encoded.shape)}: {seen.error}",
            FORMS,
        ) from seen.error
    return None


def _computes_a_step(body: ModelBody, encoded: Tensor) -> bool:
    """True if a call of a model without known neurons computes one time step.

    It then keeps a state from call to call, and takes the steps of [T, N, ...] for samples."""
    if body.members.neurons:
        return False
    seen = _try(body, encoded[0])
    if seen.error or max(seen.calls.values(), default=1) > 1:
        return False

    def begin() -> None:
        for member in body.members.values():
            member.kind.refresh(member.module, None)

    def run(x: Tensor) -> list[Tensor]:
        with torch.random.fork_rng([]):
            outputs: list[Tensor] = tree_leaves(body.layers(x.clone()))
        # Silent neurons show by their state alone that they have one.
        return [outputs[0], *copy_state(body.layers)]

    rows = encoded.shape[1:2]
    with body.restoring():
        begin()
        pairs = zip(run(encoded[0]), run(encoded[0]), strict=False)
    if all(a.shape[:1] != rows or torch.equal(a, b) for a, b in pairs):
        return False
    others = encoded.clone()
    others[0] = mirror_samples(others[0])
    try:
        with body.restoring():
            begin()
            steps = run(encoded)
            begin()
            pairs = zip(steps, run(others), strict=False)
    except Exception:
        return True
    # What does not depend on the steps before has a row for each of them.
    rows = encoded.shape[:1]
    return steps[0].shape[:1] == rows and all(
        torch.equal(a, b) or (a.shape[:1] == rows and torch.equal(a[1:], b[1:]))
        for a, b in pairs
    )


def _try(
    body: ModelBody, x: Tensor, run: Callable[[Tensor], Any] | None = None
) -> _Counting:
    """How the neurons were called, or the error with which the model failed."""
    this = _Counting(body, x)
    given = x.clone(memory_format=torch.contiguous_format)
    run = run or body.layers
    try:
        with body.restoring(), running(this), torch.random.fork_rng([]):
            run(given)
        if this.most() > 1:
            this.preludes = _preludes(body, run, x)
    except Exception as error:
        this.error = error
    this.writes = given._version > 0 or given.shape != x.shape
    return this


def _preludes(body: ModelBody, run: Callable[[Tensor], Any], x: Tensor) -> int:
    """1 where every neuron is called once before the first step, and its spikes are not read."""
    # Networks converted from an ANN charge their neurons so, with a constant.
    try:
        with body.restoring(), torch.enable_grad(), torch.random.fork_rng([]):
            this = StepPass(body, x[None], simulation)
            with running(this):  # The graph as it is, before anything fires.
                this.output = run(x.clone().requires_grad_().clone())
    except Exception:
        return 0
    made = this.made.values()
    if any(len(one.currents) < 2 or one.currents[0].requires_grad for one in made):
        return 0

    read = {getattr(node, "variable", None) for node in graph_nodes(this.roots())}
    first_unread = all(one.spikes[0] not in read for one in made)
    return int(first_unread and any(one.spikes[1] in read for one in made))
