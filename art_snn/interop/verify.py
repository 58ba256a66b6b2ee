"""What is verified of a model before its results are trusted.

* For every shape of input, mode and setting of its modules: a pass of ours, from the start of its
  neurons, computes what the model computes by itself.
* With the first batch of several samples: no logits depend on the other samples of the batch.
* Before a rule of ours, and on one sample for other weights: spikes are 0 or 1 and those of the
  dynamics that were read off the neurons, bit for bit.
* Once for every rule: the gradient passes through the model, which adds no autograd function of its
  own to the graph. A gradient of zero by the rule's own slope results in a warning.
* In some gradient passes, as long as the network is used: the logits are those of the model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from art_snn.gradients import Composite, Gradient, Native
from art_snn.interop.compared import agree, same_logits, same_rows, same_spikes
from art_snn.interop.cuts import some_gradient
from art_snn.interop.passes import refused
from art_snn.interop.runner import Runner, Traits
from art_snn.interop.settle import find_traits
from art_snn.layers import varies
from art_snn.network import VERIFIED
from art_snn.passes import unwatched
from art_snn.state import settings

REMEMBERED = 256
"""States that a network remembers to be verified."""
TRIES = 8
"""Batches on which neurons are compared until each has fired and been silent."""
FIRST = (4, 8, 16)
EVERY = 32
"""Gradient passes after which the model is run once more."""

Predict = Callable[[Tensor], Tensor]
Check = tuple[Hashable, Callable[[], object]]
"""What an answer depends on, and what finds it: False where it is not known yet."""


def settle(runner: Runner, x: Tensor) -> Hashable:
    """Find out the traits of the model once for every form of it; returns that form."""
    form = _form(runner, x)
    if not len(x):
        return form
    traits = runner.verified.get((form, "traits"))
    runner.traits = traits or Traits()
    if traits is None:
        with _trying(x):
            find_traits(runner, x.detach())
        # What passes change by themselves is known now, and no part of the form.
        form = _form(runner, x)
        _remember(runner, (form, "traits"), runner.traits)
    return form


def verify(runner: Runner, rule: Gradient | None, x: Tensor, form: Hashable) -> None:
    """Refuse, before a pass, a model that computes otherwise than is believed."""
    if isinstance(rule, Composite):
        for part in rule.parts:
            verify(runner, part, x, form)
        return
    if not len(x) or changes(runner.model):
        return
    checks = _checks(runner, rule, x, form)
    missing = [(key, check) for key, check in checks if key not in runner.verified]
    if missing:
        with _trying(x):
            for key, check in missing:
                if check() is not False:
                    _remember(runner, key, True)


def _checks(runner: Runner, rule: Gradient | None, x: Tensor, form: Hashable) -> Iterator[Check]:
    """What must be known before a pass, in this order."""
    inputs, native = x.detach(), isinstance(rule, Native)
    kind = "none" if rule is None else "native" if native else "ours"
    yield (form, kind), lambda: same_logits(runner, inputs, native=native)
    if rule is None:
        return
    if len(x) > 1:
        yield (form, "rows"), lambda: same_rows(runner, inputs)
    if not native:
        spikes = (form, "spikes")
        first = spikes not in runner.verified
        yield spikes, lambda: _same_spikes(runner, form, inputs)
        if x.requires_grad:
            weights = (form, tuple(runner.ruled.values()), runner.network.state_key())
            yield (
                weights,
                lambda: spikes in runner.verified if first else _same_spikes(runner, form, x[:1]),
            )
    yield (form, repr(rule), x.requires_grad), lambda: some_gradient(runner, rule, x[:VERIFIED])


def _same_spikes(runner: Runner, form: Hashable, x: Tensor) -> bool:
    """Whether spikes were compared where they show something: what never fired obeys anything."""
    lively = same_spikes(runner, x.detach())
    tries = runner.verified.get((form, "tries"), 0) + 1
    runner.verified[form, "tries"] = tries
    return lively or tries >= TRIES


@contextmanager
def _trying(x: Tensor) -> Iterator[None]:
    """A block whose passes draw no random numbers from the caller's and are not watched."""
    devices = [x.device] if x.device.type == "cuda" else []
    # In half precision, as training may run, neurons of two makes part at rounding.
    exact = torch.autocast(x.device.type, enabled=False)
    with torch.random.fork_rng(devices), unwatched(), exact:
        yield


def _remember(runner: Runner, key: Hashable, answer: object) -> None:
    if len(runner.verified) >= REMEMBERED:
        runner.verified.clear()
    runner.verified[key] = answer


def changes(model: nn.Module) -> bool:
    """Whether a module computes something else at every call, in training mode."""
    drops = ("Dropout", "DropPath")
    return any(
        varies(m) or (m.training and any(word in type(m).__name__ for word in drops))
        for m in model.modules()
    )


def _form(runner: Runner, x: Tensor) -> Hashable:
    """Changes with the shape of an input, and with a model's modules and settings, not weights."""
    modules = list(runner.model.named_modules())
    kinds = tuple((name, type(module), module.training) for name, module in modules)
    equations = tuple(
        (m.name, m.layout, type(d := runner.ruled[m.name].dynamics), d.reset)
        for m in runner.members.values()
        if m.name in runner.ruled
    )
    network = runner.network
    passed = (tuple(x.shape[1:]), x.dtype, x.device, str(network.encoder))
    return *passed, kinds, equations, frozenset(settings(modules, network.written).items())


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
        self, runner: Runner, rule: Gradient, x: Tensor, logits: Tensor, predict: Predict
    ) -> None:
        """Refuse logits [N, K] of a gradient pass other than those that `predict` gives."""
        if not len(x) or changes(runner.model) or torch.is_autocast_enabled(x.device.type):
            return
        self.passes += 1
        due = self.passes in FIRST or self.passes % EVERY == 0
        x, logits = x.detach(), logits.detach()
        if runner.traits.random:
            # Logits differ from pass to pass.
            if due and not isinstance(rule, Native):
                with unwatched(), torch.random.fork_rng([x.device] if x.is_cuda else []):
                    same_spikes(runner, x)
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
            raise refused("one whose logits are the same in a gradient pass", got, remedy)
