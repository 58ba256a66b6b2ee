"""Whether a gradient passes through a model, and whether all of it is the rule's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointFunction

from art_snn.checks import invalid
from art_snn.gradients import STBP, ATan, Gradient, Native
from art_snn.gradients.again import weights_of
from art_snn.interop.passes import refused, tracing
from art_snn.interop.runner import Runner
from art_snn.interop.steps import StepPass, by_steps


def some_gradient(runner: Runner, rule: Gradient, x: Tensor) -> None:
    """Refuse what cuts gradients at x, or at the weights, and graphs of unknown functions."""
    if not isinstance(rule, Native):
        _refuse_unread(runner, rule, x.detach())
    some = through = _gradient(runner, rule, x)
    if some:
        return
    # By a slope that is nowhere zero: only the model itself can cut it.
    sites, steep = runner.ruled.values(), STBP(surrogate=ATan())
    applies = bool(sites) and all(site.dynamics.unknown is None for site in sites)
    if some is not None and applies:
        through = _gradient(runner, steep, x, native=isinstance(rule, Native))
    if not through and (through is None or applies or not sites):
        how = "none" if through is None else "zero"
        place = "input" if x.requires_grad else "weights"
        got = f"one whose gradient at the {place} is {how} for all of {len(x)} samples under {rule}"
        remedy = (
            "Something cuts it: no_grad, detach(), data, numpy, rounding, or a surrogate that has "
            "a gradient in training mode alone (register_neuron(..., gated=True))."
        )
        raise invalid("model", "one that the gradient passes through", got, remedy)
    warnings.warn(
        f"the gradient under {rule} is zero for the first {len(x)} samples: no neuron comes near "
        "enough to firing for its slope. Attacks by it do nothing there.",
        stacklevel=2,
    )


def _gradient(runner: Runner, rule: Gradient, x: Tensor, *, native: bool = False) -> bool | None:
    """Whether the gradient of all logits is anywhere not zero; None where the graph ends before."""
    with torch.enable_grad():
        inputs = x.detach().clone().requires_grad_(x.requires_grad)
        with tracing() as natives:
            total = _mixed(rule.logits(runner.network.twin(), inputs))
        if not total.requires_grad:
            return None
        if native or isinstance(rule, Native):
            # Autograd functions of the model's own may stand anywhere in the graph.
            natives = [([total.grad_fn], [])]
        between = set().union(*(graph_nodes(*ends) for ends in natives))
        _refuse_functions(runner, total.grad_fn, between)
        wanted = [inputs] if x.requires_grad else weights_of(runner.network)
        grads = torch.autograd.grad(total, wanted, allow_unused=True)
    zero = [not grad.any() for grad in grads if grad is not None]
    return not all(zero) if zero else None


def _mixed(logits: Tensor) -> Tensor:
    """A sum of the logits [N, K] in which none cancels another."""
    weights = torch.linspace(-1, 1.1, logits.shape[1], dtype=logits.dtype, device=logits.device)
    return (logits * weights).sum()


def _refuse_unread(runner: Runner, rule: Gradient, x: Tensor) -> None:
    """Refuse neurons without a reset that do not suit the rule, where their spikes matter."""
    reasons = {name: rule.objection(site.dynamics) for name, site in runner.ruled.items()}
    if not any(reasons.values()):
        return
    with torch.enable_grad():
        encoded = runner.encode(x.clone().requires_grad_())
        this = runner.firing_pass(StepPass, encoded, STBP().firing())
        total = _mixed(by_steps(this, runner.logits, weights_of(runner.network), encoded))
        torch.autograd.grad(total, encoded, allow_unused=True)
    for name, calls in this.made.items():
        if calls.spikes_matter and reasons[name]:
            got = f"{name}, whose spikes others read: {reasons[name]}"
            raise refused("neurons that the rule applies to", got, "Take STBP or HART.")


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


def _refuse_functions(runner: Runner, root: Any, natives: set[Any]) -> None:
    """Refuse autograd functions of the model's own, other than harmless ones and these nodes.

    And compiled code, where neurons were not called."""
    silent = runner.traits.silent
    for node in graph_nodes([root]):
        function: Any = getattr(type(node), "_forward_cls", None)
        if function is None:
            continue
        if function is CheckpointFunction:
            remedy = "Its neurons would run again after the pass, from another state: remove it."
            got = "one with activation checkpointing"
            raise invalid("model", "a model that runs once in a pass", got, remedy)
        place = function.__module__
        compiled = silent and "functorch" in place
        usual = place.startswith(("torch.", "art_snn.")) and not compiled
        if usual or node in natives or function in runner.form.harmless:
            continue
        got = f"{place}.{function.__qualname__} in its graph"
        remedy = (
            "A spike of a neuron that is not recognised? register_neuron makes it known. "
            f"If it is none: adapt(..., harmless=[{function.__name__}])."
        )
        if silent:
            remedy = (
                f"{', '.join(silent)} was not called: by functions, or in a compiled copy, neurons "
                f"pass by __call__ and forward. Otherwise: {remedy}"
            )
        raise refused("a model without autograd functions of its own", got, remedy)


def _refuse_outsiders(pieces: Any) -> None:
    """Refuse tensors that require a gradient and are no parameters, in a graph that is cut."""
    parameters = pieces.targets()
    for node in graph_nodes(pieces.roots()):
        leaf = getattr(node, "variable", None)
        # Numbers may: states of Norse start from such ones.
        if leaf is not None and leaf.ndim and id(leaf) not in parameters:
            got = f"a tensor {list(leaf.shape)} that is none of its parameters"
            remedy = "Make it one: gradients are passed on where a loop over time is cut."
            raise refused("a model in which parameters alone require gradients", got, remedy)
