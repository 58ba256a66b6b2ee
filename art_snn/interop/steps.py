"""A model that calls its neurons step by step, under any rule of ours, in one pass.

A rule wants all time steps of a layer at once, and the model's loop gives them one after the other.
So the graph is cut at every neuron:

* *forward*: the model runs as it is. Every call of a neuron leaves its current; the answer is the
  neuron's own spikes, as a leaf of the next piece of the graph. At the end every neuron's
  currents are stacked [T, N, ...] and fire once more, by the rule's firing, with a graph;
* *backward*: from the logits to the leaves, then neuron by neuron in reverse order of their first
  call. The gradients at the T leaves are stacked and pass through the rule's firing at once. Then
  they go on from the T currents to the leaves of the neurons before.

No neuron may read spikes of one that is called after it: recurrent connections are refused.
Potentials that a neuron returns with its spikes are differentiated with the resets held fixed. So
dv[t]/dx[t'] = gain decay^(t - t') up to the next hard reset or floor, under any rule."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from art_snn.gradients.base import Firing, NeuronRef
from art_snn.gradients.shared import apply, attach_anchor, differentiable_once, needs_gradient
from art_snn.interop.members import Member, running
from art_snn.interop.passes import FiringPass, other_equations, refusal, require_spikes, wrong_steps
from art_snn.interop.reading import Potentials, versions


class _Calls:
    """The calls of one neuron: currents with a graph, and leaves for its answers."""

    stacked: Tensor
    """All currents [T, N, ...], after :meth:`fire`."""
    fired: Tensor
    """Their spikes."""

    def __init__(self, member: Member, site: NeuronRef) -> None:
        self.member, self.site = member, site
        self.read = Potentials(member, site)
        self.currents: list[Tensor] = []
        self.spikes: list[Tensor] = []
        self.potentials: list[Tensor] = []
        self.spikes_matter = False
        """True if anything reads the spikes, as the last backward pass has shown."""

    def begin_after(self, calls: int) -> None:
        """Leave out calls before the first time step: neurons start from where they end."""
        if not calls:
            return
        with torch.no_grad():
            currents = torch.stack(self.currents[:calls])
            v = torch.empty_like(currents)
            spikes = self.site.dynamics.simulate(currents, v)
            at = v[-1].flatten()
            if spikes.any() or (at != at[0]).any():
                got = f"{self.member.name}, which is called before it with other currents"
                remedy = "Charge it with one number, or start it from there: Dynamics(v_start=...)."
                raise refusal("neurons that start alike at the first time step", got, remedy)
        start = float(at[0])
        self.site = replace(self.site, dynamics=replace(self.site.dynamics, v_start=start))
        for kept in (self.currents, self.spikes, self.potentials):
            del kept[:calls]

    def fire(self, firing: Firing) -> None:
        """Let all steps fire by the rule."""
        with torch.enable_grad():
            self.stacked = torch.stack([x.detach() for x in self.currents]).requires_grad_()
            self.fired = self.site.fire(firing, self.stacked)

    def current_gradients(self, spikes: Sequence[Any], potentials: Sequence[Any]) -> Tensor | None:
        """Gradients at all currents [T, N, ...] from those at the answers; None without any."""
        through = None
        self.spikes_matter = any(g is not None for g in spikes)
        if self.spikes_matter and self.fired.requires_grad:
            pairs = zip(spikes, self.stacked, strict=True)
            g = torch.stack([torch.zeros_like(x) if g is None else g for g, x in pairs])
            g = g.to(self.fired.dtype)  # Spikes of snnTorch and sinabs are single precision.
            (through,) = torch.autograd.grad(self.fired, self.stacked, g, retain_graph=True)
        if any(g is not None for g in potentials):
            with torch.enable_grad():
                returned = self._returned(self.stacked)
            pairs = zip(returned, potentials, strict=True)
            read = [(v, g.to(v)) for v, g in pairs if g is not None]
            values, grads = zip(*read, strict=True)
            (others,) = torch.autograd.grad(values, self.stacked, grads)
            through = others if through is None else through + others
        return through

    def compare_potentials(self) -> None:
        """Refuse potentials that the neuron returns and its dynamics do not."""
        if not self.potentials:
            return
        given = torch.stack(self.potentials).detach()
        potentials = torch.stack(self._returned(self.stacked.detach()))
        if not torch.allclose(given.to(potentials.dtype), potentials, rtol=1e-4, atol=1e-4):
            got = f"{self.member.name}, whose potentials are not those {self.member.returned}"
            remedy = "register_neuron(..., returns=...) says which they are."
            raise refusal("neurons that return the potential that they are said to", got, remedy)

    def _returned(self, currents: Tensor) -> list[Tensor]:
        """The potential that the neuron returns at every step."""
        steps = Potentials(self.member, self.site)
        for x, spikes in zip(currents, self.spikes, strict=True):
            steps.step(x, spikes)
        return steps.after if self.member.returned == "after reset" else steps.before


class StepPass(FiringPass):
    """A pass of a model that calls its neurons once per time step."""

    def __init__(self, body: Any, encoded: Tensor, firing: Firing) -> None:
        super().__init__(body, encoded, firing)
        self.made: dict[str, _Calls] = {}

    def fire(self, member: Member, current: Tensor, *args: Any, **kwargs: Any) -> Any:
        if member.layout != "step":
            got = f"{member.name}, which takes all steps in one call, and others take one"
            remedy = (
                "Set one step mode for all of them. Where one feeds its spikes back to itself, "
                "adapt(..., elsewhere='native') differentiates it by its own gradient."
            )
            raise refusal("neurons of one layout", got, remedy)
        if member.name not in self.made:
            self.made[member.name] = _Calls(member, self.sites[member.name])
        calls = self.made[member.name]
        calls.currents.append(current)
        earlier = versions(member.module) if self.reading else {}
        with torch.no_grad():
            answer = self.answer_alone(member, current, *args, **kwargs)
        both = isinstance(answer, tuple)
        state: Any
        spikes, state = answer if both and len(answer) == 2 else (answer, None)
        potential = getattr(state, "v", state)
        returned = member.returned if both else None
        require_spikes(member.name, spikes, current)
        if both != isinstance(potential, Tensor) or both != (returned is not None):
            got = f"{member.name}, which returns something else"
            remedy = "register_neuron(..., returns='before reset' or 'after reset') says which."
            raise refusal("neurons that return spikes, or (spikes, potential)", got, remedy)
        calls.spikes.append(spikes.detach().requires_grad_())
        if self.reading:
            calls.read.step(current, calls.spikes[-1].clone())
            calls.read.show(earlier)
        # Copies, since the model may write into what it is given.
        if not both:
            return calls.spikes[-1].clone()
        calls.potentials.append(potential.detach().requires_grad_())
        potential = calls.potentials[-1].clone()
        state = potential if isinstance(state, Tensor) else state._replace(v=potential)
        return calls.spikes[-1].clone(), state

    def run(
        self, model: Callable[[Tensor], Tensor], weights: Sequence[Tensor], x: Tensor
    ) -> Tensor:
        """Output of the model for x, differentiable by the pass's firing at x and the weights."""
        # Views, whose nodes show in the backward pass whether their gradients are asked for.
        links = [tensor.view_as(tensor) for tensor in (x, *weights)]
        pieces = _Pieces(self, model, weights)
        return apply(_BySteps, pieces, [link.grad_fn for link in links], *links)

    def ended(self) -> None:
        super().ended()
        for calls in self.made.values():
            calls.begin_after(self.preludes)
        counts = {name: len(calls.currents) for name, calls in self.made.items()}
        expected = min(counts.values(), default=0) if self.steps is None else self.steps
        for name, count in counts.items():
            if count != expected:
                raise wrong_steps(name, count, expected)
        for calls in self.made.values():
            calls.fire(self.firing)
        self.compare()

    def compare(self) -> None:
        """Refuse dynamics whose spikes are not those that the neurons themselves have given."""
        # In half precision, as training may run, two ways of computing differ.
        for calls in self.made.values():
            spikes = torch.stack(calls.spikes).detach()
            lowered = torch.is_autocast_enabled(spikes.device.type)
            if not lowered and not torch.equal(spikes.to(calls.fired.dtype), calls.fired):
                raise other_equations(calls.site, spikes, calls.fired)


class _Pieces:
    """The graph of one pass in pieces."""

    def __init__(
        self, this: StepPass, model: Callable[[Tensor], Tensor], weights: Sequence[Tensor]
    ) -> None:
        self.this, self.model, self.weights = this, model, weights

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad(), running(self.this):
            self.x = x.detach().requires_grad_(x.requires_grad)
            self.output = self.model(self.x)
            self.this.ended()
        return self.output.detach()

    def leaves(self) -> list[Tensor]:
        """Spikes and potentials that the neurons returned."""
        return [leaf for c in self.this.made.values() for leaf in (*c.spikes, *c.potentials)]

    def roots(self) -> list[Any]:
        """Where the pieces of the graph end: at the output, and at the currents of all neurons."""
        ends = [x for calls in self.this.made.values() for x in calls.currents]
        return [end.grad_fn for end in (self.output, *ends)]

    def backward(self, grad: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
        neurons = list(self.this.made.values())
        pairs = zip((self.x, *self.weights), wanted, strict=True)
        roots = [root if asked else None for root, asked in pairs]
        targets = [*self.leaves(), *(root for root in roots if root is not None)]
        sums: dict[int, Tensor] = {}

        def pull(outputs: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
            pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if o.requires_grad]
            if not pairs or not targets:
                return
            ends, at = zip(*pairs, strict=True)
            further = torch.autograd.grad(ends, targets, at, retain_graph=True, allow_unused=True)
            for target, new in zip(targets, further, strict=True):
                if new is not None:
                    earlier = sums.get(id(target))
                    sums[id(target)] = new if earlier is None else earlier + new

        pull([self.output], [grad])
        for place, calls in reversed(list(enumerate(neurons))):
            spikes = [sums.pop(id(leaf), None) for leaf in calls.spikes]
            potentials = [sums.pop(id(leaf), None) for leaf in calls.potentials]
            d = calls.current_gradients(spikes, potentials)
            if d is not None:
                pull(calls.currents, list(d))
            for later in neurons[place:]:
                if any(id(leaf) in sums for leaf in (*later.spikes, *later.potentials)):
                    reads, read = calls.member.name, later.member.name
                    got = f"{reads}, which reads what {read} gave at an earlier step"
                    remedy = "Rules that need all steps of a layer at once cannot go through that."
                    raise refusal("layers without recurrent connections", got, remedy)
        return [None if root is None else sums.get(id(root)) for root in roots]


class _BySteps(torch.autograd.Function):
    """The model's output forward, piece by piece backward."""

    @staticmethod
    def forward(
        ctx: Any, pieces: _Pieces, nodes: list[Any], x: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.pieces, ctx.nodes = pieces, nodes
        return attach_anchor(ctx, "the rule of neurons called step by step", pieces.forward(x))

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(ctx.needs_input_grad[2:], ctx.nodes, strict=True)
        wanted = [needs and needs_gradient(node) for needs, node in pairs]
        return (None, None, *ctx.pieces.backward(grad, wanted))


def graph_nodes(roots: Iterable[Any], ends: Iterable[Any] = ()) -> set[Any]:
    """The nodes of a graph, from some on, pieces of cut ones among them; not beyond the ends."""
    seen = set()
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
    parameters = {id(tensor) for tensor in (pieces.x, *pieces.weights, *pieces.leaves())}
    for node in graph_nodes(pieces.roots()):
        leaf = getattr(node, "variable", None)
        # Numbers may: states of Norse start from such ones.
        if leaf is not None and leaf.ndim and id(leaf) not in parameters:
            got = f"a tensor {list(leaf.shape)} that is none of its parameters"
            remedy = "Make it one: gradients are passed on where a loop over time is cut."
            raise refusal("a model in which parameters alone require gradients", got, remedy)
