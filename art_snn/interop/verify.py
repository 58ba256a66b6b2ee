"""Nothing is believed of a model before it was tried: what the first passes verify.

For every shape of input, and in every mode and with every setting of its modules:

* the model computes in a pass of ours, from the start of its neurons, what it computes by itself.

Before it is differentiated, with the first batch of several samples:

* the logits of a sample do not depend on the other samples of its batch.

Before a rule of ours differentiates it, and again for other weights, then on one sample:

* the neurons' spikes are 0 or 1 and those of the dynamics that were read off them, bit for bit.

Once for every rule:

* the gradient passes through the model, and besides those of the rule no autograd function of the
  model stands in its graph. A gradient of zero by the rule's own slope is told."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from art_snn.gradients import Composite, Gradient, Native
from art_snn.interop.adapted import Adapted, Traits
from art_snn.interop.compared import same_logits, same_rows, same_spikes
from art_snn.interop.cuts import some_gradient
from art_snn.interop.settle import find_traits
from art_snn.layers import varies
from art_snn.network import VERIFIED
from art_snn.passes import unwatched
from art_snn.state import settings

REMEMBERED = 256
"""States that a network remembers to be verified."""
TRIES = 8
"""Batches on which neurons are compared until each has fired and been silent."""


def verify(network: Adapted, rule: Gradient | None, x: Tensor) -> None:
    """Refuse a model that computes otherwise than is believed, once for every state of it.

    :param rule: of the pass that is to come; None where nothing is differentiated.
    :param x: input [N, ...] of that pass.
    :raises ValueError: naming the neuron, the reason and the remedy."""
    if isinstance(rule, Composite):
        for part in rule.parts:
            verify(network, part, x)
        return
    if not len(x):
        return
    form = (tuple(x.shape[1:]), x.dtype, x.device, str(network.encoder), form_of(network))
    devices = [x.device] if x.device.type == "cuda" else []
    # In half precision, as training may run, neurons of two makes part at rounding.
    exact = torch.autocast(x.device.type, enabled=False)
    network.traits = network.verified.get((form, "traits"), Traits())
    if (form, "traits") not in network.verified:
        with torch.random.fork_rng(devices), unwatched(), exact:
            find_traits(network, x.detach())
        # What passes change by themselves is known now.
        form = (*form[:-1], form_of(network))
        _remember(network, {(form, "traits"): network.traits})
    if changes(network):
        return
    missing, state = _missing(network, rule, x, form)
    if missing:
        with torch.random.fork_rng(devices), unwatched(), exact:
            known = _verified(network, rule, x, form, missing, state)
        _remember(network, dict.fromkeys(known, True))


def _missing(
    network: Adapted, rule: Gradient | None, x: Tensor, form: Hashable
) -> tuple[set[Hashable], Hashable]:
    """What is not known yet of a network of that form, and the state that spikes depend on."""
    kind = "none" if rule is None else "native" if isinstance(rule, Native) else "ours"
    wanted: set[Hashable] = {(form, kind)}
    state: Hashable = None
    if rule is not None:
        wanted.add((form, repr(rule), x.requires_grad))
        wanted |= {(form, "rows")} if len(x) > 1 else set()
    if kind == "ours":
        wanted.add((form, "spikes"))
        if x.requires_grad:
            state = (form, tuple(network.ruled().values()), network.state_key())
            wanted.add(state)
    return wanted - network.verified.keys(), state


def _verified(
    network: Adapted,
    rule: Gradient | None,
    x: Tensor,
    form: Hashable,
    missing: set[Hashable],
    state: Hashable,
) -> set[Hashable]:
    """What is known after it was tried."""
    inputs, native = x.detach(), isinstance(rule, Native)
    if any((form, kind) in missing for kind in ("none", "native", "ours")):
        same_logits(network, inputs, native=native)
    if (form, "rows") in missing:
        same_rows(network, inputs)
    if {(form, "spikes"), state} & missing:
        lively = same_spikes(network, inputs if (form, "spikes") in missing else inputs[:1])
        tries = network.verified.get((form, "tries"), 0) + 1
        network.verified[form, "tries"] = tries
        if not lively and tries < TRIES:
            # What never fired may obey any equations.
            missing = missing - {(form, "spikes"), state}
    if rule is not None and (form, repr(rule), x.requires_grad) in missing:
        some_gradient(network, rule, x[:VERIFIED])
    return missing


def _remember(network: Adapted, answers: Mapping[Hashable, Any]) -> None:
    if len(network.verified) >= REMEMBERED:
        network.verified.clear()
    network.verified.update(answers)


def changes(network: Adapted) -> bool:
    """Whether a module computes something else at every call, in training mode."""
    return any(map(_changes, network.layers.modules()))


def _changes(module: nn.Module) -> bool:
    named = any(word in type(module).__name__ for word in ("Dropout", "DropPath"))
    return varies(module) or (module.training and named)


def form_of(network: Adapted) -> Hashable:
    """Changes with what a model consists of and how it is set, not with its weights."""
    modules = list(network.layers.named_modules())
    kinds = tuple((name, type(module), module.training) for name, module in modules)
    sites, neurons = network.ruled(), network.members().values()
    equations = tuple(
        (m.name, m.layout, type(d := sites[m.name].dynamics), d.reset)
        for m in neurons
        if m.name in sites
    )
    return kinds, equations, frozenset(settings(modules, network.written).items())
