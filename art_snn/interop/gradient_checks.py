"""Where a model makes spikes whose slope is exchanged, and whether a gradient passes through it."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointFunction

from art_snn.checks import ArgumentError, invalid
from art_snn.gradients import STBP, ATan, Gradient, Native
from art_snn.gradients.fixed import weights_fixed
from art_snn.gradients.temporal import TemporalGradient
from art_snn.interop.body import ModelBody
from art_snn.interop.refusals import NATIVE, refusal
from art_snn.interop.slopes import (
    Form,
    SlopePass,
    Slopes,
    SpikeFunction,
    SpikeSearch,
    explain,
    name_of,
)
from art_snn.interop.steps import StepPass, graph_nodes
from art_snn.running.context import RUN, set_in_block

_WIDER = "A wider surrogate reaches further: stbp(surrogate.width=4)."
_COMPARES = re.compile(r"aten::(gt|ge|lt|le|heaviside|sign)\b")


def find_slopes(body: ModelBody, x: Tensor) -> None:
    """Find out where the model makes spikes whose slope is exchanged, and explain them."""
    rule = STBP(surrogate=ATan())
    functions: set[SpikeFunction] = set()
    constant = replace(RUN.get(), constant_weights=True)

    def run(search: SlopePass, x: Tensor) -> tuple[Tensor, Tensor]:
        twin = body.share()
        twin.search = search
        inputs = x.detach().clone().requires_grad_()
        with torch.enable_grad(), set_in_block(RUN, constant), weights_fixed():
            logits = rule.logits(twin, inputs)
        if logits.requires_grad:
            functions.update(_own_functions(body, logits.grad_fn))
        return inputs, logits

    search = SpikeSearch(rule.firing(), ())
    exchanges = True
    with suppress(Exception):  # A model may be made for one number of samples.
        run(search, _first(body, x))
        exchanges = bool(search.calls or functions)
    # Where nothing is found, neurons of known equations make all spikes.
    slopes = Slopes({}, {}, {}, {})
    if exchanges:
        while functions != search.functions:
            search = SpikeSearch(rule.firing(), set(functions))
            run(search, x)
        slopes = _explain_slopes(search, partial(run, x=x), rule)
    body.traits.slopes = slopes
    _require_spikes(body, slopes)


def _first(body: ModelBody, x: Tensor) -> Tensor:
    """The fewest samples of x that show what does not depend on their number."""
    return x[: 2 if body.layers.training else 1]


def _explain_slopes(
    search: SpikeSearch, run: Callable[[SlopePass], tuple[Tensor, Tensor]], rule: STBP
) -> Slopes:
    """The slopes of what a search has seen, as a pass with its backward shows them."""
    explained = {
        function: explain(function, calls) for function, calls in search.seen.items()
    }
    forms = {f: form for f, form in explained.items() if isinstance(form, Form)}
    unexplained = {f: why for f, why in explained.items() if isinstance(why, str)}
    try:
        this = _run_backward(run, rule, forms)
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        forms = {f: replace(form, changed=True) for f, form in forms.items()}
        this = _run_backward(run, rule, forms)
    assert this.shares is not None
    shares = {place: sum(some) / len(some) for place, some in this.shares.items()}
    return Slopes(forms, unexplained, this.reached, shares)


def _run_backward(
    run: Callable[[SlopePass], tuple[Tensor, Tensor]],
    rule: STBP,
    forms: Mapping[Any, Form],
) -> SlopePass:
    """A pass with its backward, which shows where gradients come to spikes."""
    this = SlopePass(rule.firing(), forms, comparing=True)
    this.shares = {}
    inputs, logits = run(this)
    if logits.requires_grad:
        torch.autograd.grad(_mixed(logits), inputs, allow_unused=True)
    return this


def _require_spikes(body: ModelBody, slopes: Slopes) -> None:
    """Refuse a model in which nothing fires, and compiled parts that may hide spikes."""
    hidden = _hidden_comparisons(body)
    if not (slopes.calls or slopes.unexplained or body.members.ruled):
        classes = {type(module) for module in body.layers.modules()}
        others = {c for c in classes if not c.__module__.startswith("torch.nn.modules.")}
        names = ", ".join(sorted(c.__qualname__ for c in others or classes))
        compiled = f", and {', '.join(hidden)} hides what it does" if hidden else ""
        raise refusal(
            "a model that makes spikes",
            f"none by an autograd function or a comparison in {names}{compiled}",
            "Where it fires in a compiled part, give it as it was before. Where its neurons are "
            "modules, art_snn.interop.register_neuron(cls, dynamics=function) makes them known.",
            NATIVE,
        )
    if slopes.calls and hidden:
        warnings.warn(
            f"{', '.join(hidden)}, which torch.jit compiled, compares inside: spikes that it makes "
            "keep the slope that they have. Give it as it was before.",
            stacklevel=2,
        )


def _hidden_comparisons(body: ModelBody) -> list[str]:
    """Parts that torch.jit compiled, and that compare inside."""
    hidden = []
    for name, module in body.layers.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            with suppress(RuntimeError):
                if _COMPARES.search(str(module.inlined_graph)):
                    hidden.append(name)
    return hidden


def _own_functions(body: ModelBody, root: Any) -> Iterator[SpikeFunction]:
    """Autograd functions of the model's own in a graph, other than harmless ones.

    And those of compiled code, where that hides neurons."""
    hides = body.traits.silent or not body.members.ruled
    for node in graph_nodes([root]):
        function = getattr(type(node), "_forward_cls", None)
        if function is CheckpointFunction:
            raise invalid(
                "model",
                "a model that runs once in a pass",
                "one with activation checkpointing",
                "Its neurons would run again after the pass, from another state: remove it.",
            )
        if function is None or function in body.harmless:
            continue
        compiled = hides and "functorch" in function.__module__
        if compiled or not function.__module__.startswith(("torch.", "art_snn.")):
            yield function


def require_gradient(body: ModelBody, rule: Gradient, x: Tensor) -> None:
    """Refuse what cuts gradients at x, or at the weights, and graphs of unknown functions."""
    native = isinstance(rule, Native)
    if not native:
        _refuse_unread(body, rule, x.detach())
    with suppress(Exception):  # All samples show what is wrong, if something is.
        if _gradient(body, rule, _first(body, x), native):
            return
    through = _gradient(body, rule, x, native)
    if through:
        return
    # By a slope that is nowhere zero: only the model itself can cut it.
    sites = body.members.ruled.values()
    applies = all(site.dynamics.unknown is None for site in sites)
    exchanges = not native and body.traits.slopes and body.traits.slopes.calls
    if through is not None and applies and (sites or exchanges):
        try:
            through = _gradient(body, STBP(surrogate=ATan()), x, native)
        except ArgumentError:
            # Of dynamics that are not the neurons', which native does not use.
            if not native:
                raise
            applies = False
    if not through and (through is None or applies):
        how = "none" if through is None else "zero"
        place = "input" if x.requires_grad else "weights"
        near = "" if through is None else f" Or no neuron comes near firing. {_WIDER}"
        raise invalid(
            "model",
            "one that the gradient passes through",
            f"one whose gradient at the {place} is {how} for all of {len(x)} samples under {rule}",
            "Something cuts it: no_grad, detach(), data, numpy, rounding, or a surrogate that has "
            f"a gradient in training mode alone (register_neuron(..., gated=True)).{near}",
        )
    warnings.warn(
        f"the gradient under {rule} is zero for the first {len(x)} samples: no neuron comes near "
        "enough to firing for its slope, or something cuts it. Attacks by it do nothing there. "
        f"{_WIDER}",
        stacklevel=2,
    )


def _gradient(body: ModelBody, rule: Gradient, x: Tensor, native: bool) -> bool | None:
    """True if the gradient of the logits is not all zero; None where the graph ends before.

    :param native: whether the model may have autograd functions anywhere in its graph."""
    with torch.enable_grad():
        inputs = x.detach().clone().requires_grad_(x.requires_grad)
        total = _mixed(rule.logits(body.share(), inputs))
        if not total.requires_grad:
            return None
        # This refuses activation checkpointing under every rule.
        functions = list(_own_functions(body, total.grad_fn))
        if not native:
            _refuse_functions(body, rule, functions)
        wanted = [inputs] if x.requires_grad else body.weights()
        grads = torch.autograd.grad(total, wanted, allow_unused=True)
    reached = [bool(grad.any()) for grad in grads if grad is not None]
    return any(reached) if reached else None


def _mixed(logits: Tensor) -> Tensor:
    """A sum of the logits [N, K] in which none cancels another."""
    weights = torch.linspace(
        -1, 1.1, logits.shape[1], dtype=logits.dtype, device=logits.device
    )
    return (logits * weights).sum()


def _refuse_unread(body: ModelBody, rule: Gradient, x: Tensor) -> None:
    """Refuse neurons without a reset that do not suit the rule, where their spikes matter."""
    reasons = {
        name: rule.objection(site.dynamics) for name, site in body.members.ruled.items()
    }
    if not any(reasons.values()):
        return
    with torch.enable_grad():
        encoded = body.encode(x.clone().requires_grad_())
        this = StepPass(body, encoded, STBP().firing())
        total = _mixed(this.run(body.logits, body.weights(), encoded))
        torch.autograd.grad(total, encoded, allow_unused=True)
    for name, calls in this.made.items():
        if calls.spikes_matter and reasons[name]:
            raise refusal(
                "neurons that the rule applies to",
                f"{name}, whose spikes others read: {reasons[name]}",
                "Take STBP or HART.",
                NATIVE,
            )


def _refuse_functions(
    body: ModelBody, rule: Gradient, functions: Iterable[SpikeFunction]
) -> None:
    """Refuse autograd functions of the model's own that the rule does not exchange."""
    silent = body.traits.silent
    slopes: Slopes = body.traits.slopes
    exchanged = slopes.forms if isinstance(rule, TemporalGradient) else {}
    for function in functions:
        if function in exchanged:
            continue
        remedy = (
            "A neuron as a whole? register_neuron makes it known. "
            f"If it is harmless: adapt(..., harmless=[{function.__name__}])."
        )
        why = slopes.unexplained.get(function)
        if why is not None:
            remedy = f"It makes no spikes whose slope could be exchanged: {why}. {remedy}"
        if silent:
            remedy = (
                f"{', '.join(silent)} was not called: by functions, or in a compiled copy, neurons "
                f"pass by __call__ and forward. Otherwise: {remedy}"
            )
        got = f"{name_of(function)} in its graph"
        expected = "a model without autograd functions of its own"
        raise refusal(expected, got, remedy, NATIVE)
