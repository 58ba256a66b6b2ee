"""A model that calls its neurons step by step, under any rule of ours, in one pass.

A rule wants all time steps of a layer at once, and the model's loop gives them one after
the other. So the graph is cut at every neuron:

* *forward*: the model runs as it is. Every call of a neuron leaves its current; the answer is the
  neuron's own spikes, as a leaf of the next piece of the graph. At the end every neuron's
  currents are stacked [T, N, ...] and fire once more, by the rule's firing, with a graph;
* *backward*: from the logits to the leaves, then neuron by neuron in reverse order of their first
  call. The gradients at the T leaves are stacked and pass through the rule's firing at
  once. Then they go on from the T currents to the leaves of the neurons before.

No neuron may read spikes of one that is called after it: recurrent connections are
refused. Potentials that a neuron returns with its spikes are differentiated with the
resets held fixed. So dv[t]/dx[t'] = gain decay^(t - t') up to the next hard reset or
floor, under any rule."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from art_snn.gradients.base import Firing, NeuronRef
from art_snn.gradients.shared import (
    apply,
    attach_anchor,
    differentiable_once,
    needs_gradient,
)
from art_snn.interop.forward_pass import (
    FiringPass,
    other_equations,
    require_spikes,
    wrong_steps,
)
from art_snn.interop.neuron_state import Potentials, seal, versions
from art_snn.interop.refusals import EXCHANGE, NATIVE, refusal, unusable
from art_snn.interop.stateful_modules import Member, running


class _Calls:
    """The calls of one neuron: currents with a graph, and leaves for its answers."""

    stacked: Tensor
    """All currents [T, N, ...], after :meth:`fire`."""
    fired: Tensor
    """Their spikes."""

    def __init__(self, member: Member, site: NeuronRef) -> None:
        self.member = member
        self.site = site
        self.read = Potentials(member, site)
        self.currents: list[Tensor] = []
        self.spikes: list[Tensor] = []
        self.potentials: list[Tensor] = []
        self.spikes_matter = False
        """True if anything reads the spikes, as the last backward pass has shown."""

    @property
    def leaves(self) -> list[Tensor]:
        """Spikes and potentials that the neuron returned."""
        return self.spikes + self.potentials

    def begin_after(self, calls: int) -> None:
        """Leave out calls before the first time step: neurons start from where they end."""
        if not calls:
            return
        currents = torch.stack(self.currents[:calls]).detach()
        v = torch.empty_like(currents)
        spikes = self.site.dynamics.simulate(currents, v)
        start = float(v[-1].flatten()[0])
        charged = self.site.dynamics.has_synapse and currents.any()
        if charged or spikes.any() or (v[-1] != start).any():
            raise unusable(
                "neurons that start alike at the first time step",
                f"{self.member.name}, which is called before it with other currents",
                "Charge it with one number, or start it from there: Dynamics(v_start=...).",
            )

        self.site = replace(
            self.site, dynamics=replace(self.site.dynamics, v_start=start)
        )
        for kept in (self.currents, self.spikes, self.potentials):
            del kept[:calls]

    def fire(self, firing: Firing) -> None:
        """Let all steps fire by the rule."""
        with torch.enable_grad():
            self.stacked = torch.stack(
                [x.detach() for x in self.currents]
            ).requires_grad_()
            self.fired = self.site.fire(firing, self.stacked)

    def current_gradients(
        self, spikes: Sequence[Any], potentials: Sequence[Any]
    ) -> Tensor | None:
        """Gradients at all currents [T, N, ...] from those at the answers; None without any."""
        gradient = None
        self.spikes_matter = any(g is not None for g in spikes)
        if self.spikes_matter and self.fired.requires_grad:
            pairs = zip(spikes, self.stacked, strict=True)
            g = torch.stack([torch.zeros_like(x) if g is None else g for g, x in pairs])
            # Spikes of snnTorch and sinabs are single precision.
            g = g.to(self.fired.dtype)
            (gradient,) = torch.autograd.grad(
                self.fired, self.stacked, g, retain_graph=True
            )

        if any(g is not None for g in potentials):
            with torch.enable_grad():
                returned = self._returned(self.stacked)
            pairs = zip(returned, potentials, strict=True)
            read = [(v, g.to(v)) for v, g in pairs if g is not None]
            values, grads = zip(*read, strict=True)
            (others,) = torch.autograd.grad(values, self.stacked, grads)
            gradient = others if gradient is None else gradient + others
        return gradient

    def compare_potentials(self) -> None:
        """Refuse potentials that the neuron returns and its dynamics do not."""
        if not self.potentials:
            return
        given = torch.stack(self.potentials).detach()
        potentials = torch.stack(self._returned(self.stacked.detach()))
        if not torch.allclose(
            given.to(potentials.dtype), potentials, rtol=1e-4, atol=1e-4
        ):
            raise refusal(
                "neurons that return the potential that they are said to",
                f"{self.member.name}, whose potentials are not those {self.member.returned}",
                "register_neuron(..., returns=...) says which they are.",
                EXCHANGE,
                NATIVE,
            )

    def _returned(self, currents: Tensor) -> list[Tensor]:
        """The potential that the neuron returns at every step."""
        steps = Potentials(self.member, self.site)
        for x, spikes in zip(currents, self.spikes, strict=True):
            steps.step(x, spikes)
        return steps.after if self.member.returned == "after reset" else steps.before


class StepPass(FiringPass):
    """A pass of a model that calls its neurons once per time step, with its graph in pieces."""

    inputs: list[Tensor]
    """The input and the weights of :meth:`run`, where the first piece begins."""
    output: Tensor
    """Where the last piece ends."""

    def __init__(self, body: Any, encoded: Tensor, firing: Firing) -> None:
        super().__init__(body, encoded, firing)
        self.made: dict[str, _Calls] = {}

    def fire(self, member: Member, current: Tensor, *args: Any, **kwargs: Any) -> Any:
        if member.layout != "step":
            raise unusable(
                "neurons of one layout",
                f"{member.name}, which takes all steps in one call, and others take one",
                "Set one step mode for all of them.",
            )
        if member.name not in self.made:
            self.made[member.name] = _Calls(member, self.sites[member.name])
        calls = self.made[member.name]
        calls.currents.append(current)
        earlier = versions(member.module) if self.reading else {}
        with torch.no_grad():
            answer = self.answer_alone(member, current, *args, **kwargs)

        both = isinstance(answer, tuple) and len(answer) > 1
        state: Any
        spikes, state = (answer[0], answer[-1]) if both else (answer, None)
        require_spikes(member.name, spikes, current)
        potential = getattr(state, "v", state)
        if both and not (isinstance(potential, Tensor) and member.returned):
            raise unusable(
                "neurons that return spikes, or (spikes, potential)",
                f"{member.name}, which returns something else",
                "register_neuron(..., returns='before reset' or 'after reset') says which.",
            )

        leaf = spikes.detach().requires_grad_()
        calls.spikes.append(leaf)
        if self.reading:
            calls.read.step(current, leaf.clone())
            calls.read.show(earlier)
        # Copies, since the model may write into what it is given.
        if not both:
            return leaf.clone()
        calls.potentials.append(potential.detach().requires_grad_())

        def hand_on(value: Tensor) -> Any:
            if value is spikes:
                return leaf.clone()
            if value is potential:
                return calls.potentials[-1].clone()
            return seal(value, f"the synaptic current of {member.name}", current)

        return tree_map_only(Tensor, hand_on, answer)

    def run(
        self, model: Callable[[Tensor], Tensor], weights: Sequence[Tensor], x: Tensor
    ) -> Tensor:
        """Output of the model for x, differentiable by the pass's firing at x and the weights."""
        # Views, whose nodes show in the backward pass whether their gradients are asked for.
        links = [tensor.view_as(tensor) for tensor in (x, *weights)]
        nodes = [link.grad_fn for link in links]
        self.inputs = [x.detach().requires_grad_(x.requires_grad), *weights]
        return apply(_BySteps, self, model, nodes, *links)

    def ended(self) -> None:
        super().ended()
        for calls in self.made.values():
            calls.begin_after(self.preludes)
        counts = {name: len(calls.currents) for name, calls in self.made.items()}
        expected = self.steps or min(counts.values(), default=0)
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

    def leaves(self) -> list[Tensor]:
        """Spikes and potentials that the neurons returned, where later pieces begin."""
        return [leaf for calls in self.made.values() for leaf in calls.leaves]

    def roots(self) -> list[Any]:
        """The nodes where the pieces end: at the output, and at the currents of all neurons."""
        currents = [calls.currents for calls in self.made.values()]
        # The output may be a list or a mapping.
        ends = tree_leaves([self.output, currents])
        return [end.grad_fn for end in ends if isinstance(end, Tensor)]

    def backward(self, grad: Tensor, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Gradients at the inputs that are wanted, from the gradient at the output."""
        asked = [x for x, is_wanted in zip(self.inputs, wanted, strict=True) if is_wanted]
        targets = [*self.leaves(), *asked]
        sums: dict[Tensor, Tensor] = {}
        _add_gradients(sums, targets, [self.output], [grad])

        neurons = list(self.made.values())
        for place, calls in reversed(list(enumerate(neurons))):
            spikes = [sums.pop(leaf, None) for leaf in calls.spikes]
            potentials = [sums.pop(leaf, None) for leaf in calls.potentials]
            through = calls.current_gradients(spikes, potentials)
            if through is not None:
                _add_gradients(sums, targets, calls.currents, through)
            for later in neurons[place:]:
                if not sums.keys().isdisjoint(later.leaves):
                    reads, read = calls.member.name, later.member.name
                    raise unusable(
                        "layers without recurrent connections",
                        f"{reads}, which reads what {read} gave at an earlier step",
                        "Rules that need all steps of a layer at once cannot go through that.",
                    )
        return [sums.get(x) for x in self.inputs]


def _add_gradients(
    sums: dict[Tensor, Tensor],
    targets: Sequence[Tensor],
    outputs: Sequence[Tensor],
    grads: Iterable[Tensor],
) -> None:
    """Add to the sums at the targets what gradients at the outputs of a piece give there."""
    pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if o.requires_grad]
    if not pairs or not targets:
        return
    ends, at = zip(*pairs, strict=True)
    further = torch.autograd.grad(ends, targets, at, retain_graph=True, allow_unused=True)
    for target, new in zip(targets, further, strict=True):
        if new is not None:
            earlier = sums.get(target)
            sums[target] = new if earlier is None else earlier + new


class _BySteps(torch.autograd.Function):
    """The model's output forward, piece by piece backward."""

    @staticmethod
    def forward(
        ctx: Any,
        this: StepPass,
        model: Callable[[Tensor], Tensor],
        nodes: list[Any],
        *links: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.pieces = this
        ctx.nodes = nodes
        with torch.enable_grad(), running(this):
            this.output = model(this.inputs[0])
            this.ended()
        output = this.output.detach()
        return attach_anchor(ctx, "the rule of neurons called step by step", output)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(ctx.needs_input_grad[3:], ctx.nodes, strict=True)
        wanted = [needs and needs_gradient(node) for needs, node in pairs]
        return (None, None, None, *ctx.pieces.backward(grad, wanted))


def graph_nodes(roots: Iterable[Any]) -> set[Any]:
    """The nodes that some lead to, themselves included.

    Of a graph that is cut, the nodes of all pieces are among them."""
    seen = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        pieces: StepPass | None = getattr(node, "pieces", None)
        if pieces is not None:
            _refuse_outsiders(pieces)
            waiting += pieces.roots()
        waiting += [following for following, _ in node.next_functions]
    return seen


def _refuse_outsiders(pieces: StepPass) -> None:
    """Refuse tensors that require a gradient and are no parameters, in a graph that is cut."""
    # Weights that are constants in this pass are none within what torch.jit compiled.
    parameters = {*pieces.inputs, *pieces.leaves(), *pieces.body.weights()}
    for node in graph_nodes(pieces.roots()):
        leaf = getattr(node, "variable", None)
        # Numbers may: states of Norse start from such ones.
        if leaf is not None and leaf.ndim and leaf not in parameters:
            raise refusal(
                "a model in which parameters alone require gradients",
                f"a tensor {list(leaf.shape)} that is none of its parameters",
                "Make it one: gradients are passed on where a loop over time is cut.",
                EXCHANGE,
                NATIVE,
            )
