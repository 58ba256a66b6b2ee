"""Verify a model before its results are trusted.

* For every shape of input, mode and setting of its modules: a pass of ours, from the start of its
  neurons, computes what the model computes by itself.
* With the first batch of several samples: no logits depend on the other samples of the batch.
* Before a rule of ours, and on one sample for other weights: spikes are 0 or 1 and those of the
  dynamics that were read off the neurons, bit for bit.
* Once for every rule: the gradient passes through the model, which adds no autograd function of its
  own to the graph. A gradient of zero by the rule's own slope results in a warning.
* In some gradient passes, as long as the network is used: the logits are those of the model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction

from art_snn.checks import invalid
from art_snn.gradients import STBP, ATan, Composite, Gradient, Native
from art_snn.gradients.again import weights_of
from art_snn.interop.passes import natives_traced, refusal
from art_snn.interop.probe import (
    agree,
    compare_logits,
    compare_rows,
    compare_spikes,
    find_traits,
    graph_nodes,
)
from art_snn.interop.runner import Runner, Traits
from art_snn.interop.steps import StepPass, by_steps
from art_snn.layers import varies
from art_snn.network import VERIFIED
from art_snn.passes import unwatched
from art_snn.state import settings

_REMEMBERED = 256
# States that a network remembers to be verified.
_TRIES = 8
# Batches on which neurons are compared until each has fired and been silent.
_FIRST, _EVERY = (4, 8, 16), 32
# Gradient passes after which the model is run once more.


def settle(runner: Runner, x: Tensor) -> Hashable:
    """Find out the traits of the model once for every setup of it; returns that setup."""
    setup = _setup(runner, x)
    if not len(x):
        return setup
    traits = runner.verified.get((setup, "traits"))
    runner.traits = traits or Traits()
    if traits is None:
        with _unnoticed(x):
            find_traits(runner, x.detach())
        # What passes change by themselves is known now, and no part of the setup.
        setup = _setup(runner, x)
        _remember(runner, (setup, "traits"), runner.traits)
    return setup


def verify(runner: Runner, rule: Gradient | None, x: Tensor, setup: Hashable) -> None:
    """Refuse, before a pass, a model that computes otherwise than is believed.

    :param rule: that is to differentiate the pass; None for a prediction."""
    if isinstance(rule, Composite):
        for part in rule.parts:
            verify(runner, part, x, setup)
        return
    if not len(x) or _changes(runner.model):
        return

    def once(depends: Hashable, check: Callable[[], object]) -> None:
        """Check what depends on the setup and this; an answer of False is not known yet."""
        if (setup, depends) not in runner.verified:
            with _unnoticed(x):
                if check() is not False:
                    _remember(runner, (setup, depends), True)

    inputs, native = x.detach(), isinstance(rule, Native)
    kind = "none" if rule is None else "native" if native else "ours"
    once(kind, lambda: compare_logits(runner, inputs, native=native))
    if rule is None:
        return
    if len(x) > 1:
        once("rows", lambda: compare_rows(runner, inputs))
    if not native:
        later = (setup, "spikes") in runner.verified
        once("spikes", lambda: _compare_spikes(runner, setup, inputs))
        if x.requires_grad and (later or (setup, "spikes") in runner.verified):
            weights = (tuple(runner.ruled.values()), runner.network.state_key())
            once(weights, lambda: not later or _compare_spikes(runner, setup, inputs[:1]))
    once((repr(rule), x.requires_grad), lambda: _require_gradient(runner, rule, x[:VERIFIED]))


def _compare_spikes(runner: Runner, setup: Hashable, x: Tensor) -> bool:
    """True once neurons have fired and been silent: silence agrees with any equations."""
    lively = compare_spikes(runner, x)
    tries = runner.verified.get((setup, "tries"), 0) + 1
    runner.verified[setup, "tries"] = tries
    return lively or tries >= _TRIES


@contextmanager
def _unnoticed(x: Tensor) -> Iterator[None]:
    """A block whose passes draw no random numbers from the caller's and are not watched."""
    devices = [x.device] if x.device.type == "cuda" else []
    # In half precision, as training may run, neurons of two makes part at rounding.
    exact = torch.autocast(x.device.type, enabled=False)
    with torch.random.fork_rng(devices), unwatched(), exact:
        yield


def _remember(runner: Runner, key: Hashable, answer: object) -> None:
    if len(runner.verified) >= _REMEMBERED:
        runner.verified.clear()
    runner.verified[key] = answer


def _changes(model: nn.Module) -> bool:
    """True if a module computes something else at every call, in training mode."""
    drops = ("Dropout", "DropPath")
    return any(
        varies(m) or (m.training and any(word in type(m).__name__ for word in drops))
        for m in model.modules()
    )


def _setup(runner: Runner, x: Tensor) -> Hashable:
    """A key that changes with the input's shape and the model's modules and settings."""
    modules = list(runner.model.named_modules())
    kinds = tuple((name, type(module), module.training) for name, module in modules)
    sites = [(m, runner.ruled[m.name]) for m in runner.neurons if m.name in runner.ruled]
    equations = tuple((m.name, m.layout, type(s.dynamics), s.dynamics.reset) for m, s in sites)
    network = runner.network
    passed = (tuple(x.shape[1:]), x.dtype, x.device, str(network.encoder))
    return *passed, kinds, equations, frozenset(settings(modules, network.written).items())


def _require_gradient(runner: Runner, rule: Gradient, x: Tensor) -> None:
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
    """True if the gradient of the logits is not all zero; None where the graph ends before."""
    with torch.enable_grad():
        inputs = x.detach().clone().requires_grad_(x.requires_grad)
        with natives_traced() as natives:
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
            raise refusal("neurons that the rule applies to", got, "Take STBP or HART.")


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
        if usual or node in natives or function in runner.options.harmless:
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
        raise refusal("a model without autograd functions of its own", got, remedy)


class Watch:
    """Compares gradient passes whose input was predicted last, and others on a schedule."""

    def __init__(self) -> None:
        self.passes = 0
        self._last: tuple[str, Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"passes": self.passes, "_last": None}

    def predicted(self, runner: Runner, x: Tensor, logits: Tensor) -> None:
        """Remember the logits [N, K] of the last prediction."""
        if x.device.type == "cpu" and not runner.traits.random:
            self._last = str(runner.network.encoder), x.detach().clone(), logits.detach()

    def compare(
        self,
        runner: Runner,
        rule: Gradient,
        x: Tensor,
        logits: Tensor,
        predict: Callable[[Tensor], Tensor],
    ) -> None:
        """Refuse logits [N, K] of a gradient pass other than those that `predict` gives."""
        if not len(x) or _changes(runner.model) or torch.is_autocast_enabled(x.device.type):
            return
        self.passes += 1
        due = self.passes in _FIRST or self.passes % _EVERY == 0
        x, logits = x.detach(), logits.detach()
        if runner.traits.random:
            # Logits differ from pass to pass.
            if due and not isinstance(rule, Native):
                with unwatched(), torch.random.fork_rng([x.device] if x.is_cuda else []):
                    compare_spikes(runner, x)
            return
        encoder, inputs, alone = self._last or ("", x[:0], logits)
        alike = (inputs.shape, inputs.dtype, inputs.device) == (x.shape, x.dtype, x.device)
        predicted = alike and encoder == str(runner.network.encoder) and torch.equal(inputs, x)
        rounded = isinstance(rule, Native)
        if not (predicted or due) or (predicted and agree(alone, logits, rounded=rounded)):
            return
        with torch.no_grad(), unwatched():
            alone = predict(x)
        if not agree(alone, logits, rounded=rounded):
            difference = (alone - logits).abs().max().item()
            got = f"one whose logits under {rule} differ from its predictions by {difference:.3g}"
            remedy = (
                "A setting that its dynamics do not read has changed, or equations agree on the "
                "first samples alone: describe them by register_neuron(cls, dynamics=function)."
            )
            raise refusal("one whose logits are the same in a gradient pass", got, remedy)
