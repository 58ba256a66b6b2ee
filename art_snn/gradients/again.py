"""A pass with constant weights, run again in its backward pass where more is asked for.

Attacks differentiate by their input alone, and pay for nothing else. Yet an algorithm may ask for
the gradient at weights (``torch.autograd.grad(loss, weights)``) or for a graph of the gradient
(``create_graph=True``), and only the backward pass knows. It then computes the pass once more with
weights that take a gradient, as activation checkpointing does.

A backward pass that names no tensors, ``loss.backward()``, leaves weights alone, as attacks mean
it. Once a graph of the gradient was asked for it reaches them too, since that graph does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from art_snn.checks import invalid
from art_snn.gradients.base import Gradient
from art_snn.gradients.shared import apply, runs, task
from art_snn.state import counted


def weights_of(module: nn.Module) -> list[Tensor]:
    """Every parameter that takes a gradient; of replicas that run in parallel their copies."""
    weights = list[Any]()
    for inner in module.modules():
        weights += [*inner._parameters.values(), *getattr(inner, "_former_parameters", {}).values()]
    unique = {id(w): w for w in weights if isinstance(w, Tensor) and w.requires_grad}
    return list(unique.values())


@dataclass
class Again:
    """How to run a pass of a network again, with the draws that follow from the present state.

    :param rule: by which it was differentiated.
    :param run: the pass, from its input [N, ...] to logits [N, K], its weights not held constant.
    :param weights: all that take a gradient.
    :param x: the input of the pass."""

    rule: Gradient
    run: Callable[[Tensor], Tensor]
    weights: Sequence[Tensor]
    x: Tensor
    asks_all: bool = False
    """True once a graph of the gradient has been asked for, which reaches the weights."""
    gradients: dict[int, Sequence[Tensor | None]] = field(default_factory=dict)
    """Of the weights, on their way there, by backward pass."""

    def __post_init__(self) -> None:
        self.versions = counted(self.weights)
        self.cards = [self.x.get_device()] if self.x.is_cuda else []
        self.state = torch.get_rng_state()
        self.card_states = [torch.cuda.get_rng_state(card) for card in self.cards]

    def link(self, logits: Tensor) -> Tensor:
        """The logits of the pass with constant weights, that also lead to the weights."""
        # Its node runs only in backward passes that name no tensors.
        probe = logits.new_zeros(0).requires_grad_().view(0)
        gathered = apply(_Gathered, self, *self.weights)
        nodes = (gathered.grad_fn, probe.grad_fn)
        return apply(_Linked, self, nodes, logits, self.x, gathered, probe)

    def differentiate(self, x: Tensor, grad: Tensor, asked: bool) -> Tensor | None:
        """Gradient at x from that at the logits, and those at the weights if asked."""
        if asked and self.rule.remembers:
            expected = "a rule that remembers nothing, where gradients at the weights are asked for"
            remedy = "Run the forward pass in `with network.fixed(False): ...`, or take 'stbp'."
            raise invalid("gradient", expected, str(self.rule), remedy)
        if self.versions != counted(self.weights):
            raise RuntimeError("a weight has changed between the forward and the backward pass")
        graph, targets = torch.is_grad_enabled(), [x, *(self.weights if asked else [])]
        with torch.enable_grad(), torch.random.fork_rng(self.cards):
            torch.set_rng_state(self.state)
            for card, state in zip(self.cards, self.card_states, strict=True):
                torch.cuda.set_rng_state(state, card)
            logits = self.run(x)
        at_x, *gradients = torch.autograd.grad(
            logits, targets, grad.to(logits.dtype), create_graph=graph, allow_unused=True
        )
        if asked:
            self.gradients[task()] = gradients
        return at_x


class _Gathered(Function):
    """Stands for all weights in a graph; their gradients have been computed where it passes on."""

    @staticmethod
    def forward(ctx: Any, again: Again, *weights: Tensor) -> Tensor:
        ctx.again = again
        return weights[0].new_empty(0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        nothing = [None] * len(ctx.again.weights)
        return None, *ctx.again.gradients.pop(task(), nothing)


class _Linked(Function):
    """The logits forward; backward their gradient, or those of the pass that is run again."""

    @staticmethod
    def forward(
        ctx: Any, again: Again, nodes: Any, logits: Tensor, x: Tensor, *_: Tensor
    ) -> Tensor:
        ctx.again, ctx.nodes = again, nodes
        ctx.save_for_backward(x)
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        again, (at_weights, names_none) = ctx.again, map(runs, ctx.nodes)
        twice = again.rule.second_derivative and not again.rule.remembers
        graph = torch.is_grad_enabled() and twice
        again.asks_all = again.asks_all or graph
        asked = at_weights and (again.asks_all or not names_none)
        if not (asked or graph):
            return None, None, grad, None, None, None
        (x,) = ctx.saved_tensors
        # Nothing for the pass with constant weights, of which some may be none after all.
        return None, None, None, again.differentiate(x, grad, asked), grad.new_empty(0), None
