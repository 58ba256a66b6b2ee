"""Nothing is believed of a model before it was tried: what the first passes verify.

For every shape of input, and in every mode:

* the model computes in a pass of ours, from the start of its neurons, what it computes by itself.

Before a rule of ours differentiates it, and again for other weights, then on one sample:

* the neurons' spikes are 0 or 1 and those of the dynamics that were read off them, bit for bit.

Once for every rule:

* the gradient passes through the model, and besides those of the rule no autograd function of the
  model stands in its graph. A gradient of zero by the rule's own slope is told."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction

from art_snn.checks import invalid
from art_snn.gradients import STBP, ATan, Composite, Gradient, Native
from art_snn.gradients.base import Differentiable, Firing, Site, simulation
from art_snn.interop.members import COPIED, Member, Members, copied_state, to_steps
from art_snn.interop.passes import Exchange, FiringPass, refused
from art_snn.interop.steps import Calls, StepPass, by_steps, weights_of
from art_snn.layers import varies
from art_snn.passes import unwatched

Firings = TypeVar("Firings", bound=FiringPass)

REMEMBERED = 256
"""States that a network remembers to be verified."""
SAMPLES = 8
"""Samples whose gradient is tried."""
_LOCK = threading.RLock()
TRIES = 8
"""Batches on which neurons are compared until each has fired and been silent."""


class Adapted(Differentiable, Protocol):
    """The side of an adapted network that is verified."""

    layers: nn.Module
    encoder: Any

    @property
    def module(self) -> nn.Module:
        """The network as a module: its model, and its readout where that is one."""
        ...

    harmless: tuple[type, ...]
    verified: dict[Hashable, int]

    @property
    def steps_alone(self) -> bool:
        """Whether the model calls its neurons once per time step."""
        ...

    def members(self) -> Members:
        """Every module of the model that is recognised."""
        ...

    def every_site(self) -> dict[str, Site]:
        """Every neuron by its name."""
        ...

    def logits(self, encoded: Tensor) -> Tensor:
        """Encoded input -> logits [N, K], the model running as the present pass has it."""
        ...

    def steps_of(self, encoded: Tensor) -> int | None:
        """Time steps T that every neuron has; None where the model alone knows."""
        ...

    def run_by_itself(self, encoded: Tensor, *, native: bool = False) -> Tensor:
        """The same of the model as it is, from its start."""
        ...

    def run_in(self, this: FiringPass, encoded: Tensor) -> Tensor:
        """The same, calls of neurons being answered by the pass."""
        ...

    def firing_pass(self, kind: type[Firings], encoded: Tensor, firing: Firing) -> Firings:
        """A pass of a kind in which neurons fire by the firing."""
        ...

    def twin(self) -> Differentiable:
        """Another network around the same model, which remembers nothing of earlier gradients."""
        ...


def verify(network: Adapted, rule: Gradient | None, x: Tensor) -> None:
    """Refuse a model that computes otherwise than is believed, once for every state of it.

    :param rule: of the pass that is to come; None where nothing is differentiated.
    :param x: input [N, ...] of that pass.
    :raises ValueError: naming the neuron, the reason and the remedy."""
    if isinstance(rule, Composite):
        for part in rule.parts:
            verify(network, part, x)
        return
    if not len(x) or any(_draws(module) for module in network.layers.modules()):
        return
    kind = "none" if rule is None else "native" if isinstance(rule, Native) else "ours"
    form = (kind, tuple(x.shape[1:]), x.dtype, x.device, str(network.encoder), _form(network))
    wanted: set[Hashable] = {form}
    tried = (form, repr(rule), x.requires_grad)
    if rule is not None:
        wanted.add(tried)
    state: Hashable = None
    if kind == "ours":
        wanted.add((form, "spikes"))
        if x.requires_grad:
            state = (form, tuple(network.every_site().values()), network.state_key())
            wanted.add(state)
    missing = wanted - network.verified.keys()
    if not missing:
        return
    devices = [x.device] if x.device.type == "cuda" else []
    # In half precision, as training may run, neurons of two makes part at rounding.
    exact = torch.autocast(x.device.type, enabled=False)
    with torch.random.fork_rng(devices), unwatched(), exact:
        if form in missing:
            _same_logits(network, x.detach(), native=kind == "native")
        if {(form, "spikes"), state} & missing:
            lively = _same_spikes(
                network, x.detach()[: SAMPLES if (form, "spikes") in missing else 1]
            )
            tries = network.verified.get((form, "tries"), 0) + 1
            network.verified[form, "tries"] = tries
            if not lively and tries < TRIES:
                # What never fired may obey any equations.
                wanted -= {(form, "spikes"), state}
        if tried in missing and rule is not None:
            _some_gradient(network, rule, x[:SAMPLES])
    if len(network.verified) >= REMEMBERED:
        network.verified.clear()
    network.verified.update(dict.fromkeys(wanted, 1))


def _form(network: Adapted) -> Hashable:
    """Changes with what a model consists of and how it is set, not with its weights."""
    modules = tuple((n, type(m), m.training) for n, m in network.layers.named_modules())
    neurons = [member for member in network.members().values() if member.fires]
    sites = network.every_site()
    told = [(m.name, m.layout, type(d := sites[m.name].dynamics), d.reset) for m in neurons]
    return modules, tuple(told)


def _draws(module: nn.Module) -> bool:
    """Whether a module computes something else at every call, in training mode."""
    named = any(word in type(module).__name__ for word in ("Dropout", "DropPath"))
    return varies(module) or (module.training and named)


@torch.no_grad()
def _same_logits(network: Adapted, x: Tensor, *, native: bool) -> None:
    """Compare a pass of ours with the model as it is."""
    encoded = network.encode(x)
    with _as_it_was(network):
        _refresh(network, encoded)
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            alone = _tried(network, encoded)
        # States that are known begin again; others have been changed by the first run.
        _refresh(network, encoded)
        ours = network.run_by_itself(encoded, native=native)
    _compare_logits(alone, ours, rounded=native)


def _compare_logits(alone: Tensor, ours: Tensor, *, rounded: bool) -> None:
    """Refuse logits in a pass of ours that are not those of the model by itself.

    :param rounded: whether they may differ by rounding: in training mode some versions of
        frameworks add in another order."""
    rounded = rounded or alone.is_cuda  # Where sums are not the same from call to call.
    close = torch.allclose(alone, ours, rtol=1e-3, atol=1e-5, equal_nan=True)
    if (close and rounded) or torch.equal(alone.nan_to_num(), ours.nan_to_num()):
        return
    got = f"one whose logits then differ by {(alone - ours).abs().max().item():.3g}"
    remedy = (
        "It keeps a state from call to call, reads that of a neuron from outside, or draws at "
        "random. Recognised neurons start from rest at every pass; let others do so, too. What "
        "draws spikes is an encoder: adapt(model, encoder=Poisson(steps))."
    )
    raise invalid("model", "one that computes the same in a pass of ours", got, remedy)


def _tried(network: Adapted, encoded: Tensor) -> Tensor:
    """Logits of the model by itself; its own errors say, from Python 3.11 on, what it was given."""
    try:
        return network.logits(encoded)
    except RuntimeError as error:
        note: Any = getattr(error, "add_note", None)
        if callable(note):
            note(
                f"The model was given a batch in time of shape {list(encoded.shape)}, or without "
                "its first axis where it makes its time steps itself. adapt(model, steps=T) gives "
                "a model [T, N, ...], and adapt(model, encoder=None) [N, ...]; are its layers in "
                "the step mode for that?"
            )
        raise


def _refresh(network: Adapted, encoded: Tensor) -> None:
    for member in network.members().values():
        member.kind.refresh(member.module, network.steps_of(encoded))


@contextmanager
def _as_it_was(network: Adapted) -> Iterator[None]:
    """What modules keep is put back after the block."""
    model = network.layers
    with _LOCK:
        before = [(module, _kept(module)) for module in model.modules()]
        buffers = [(buffer, buffer.clone(), buffer._version) for buffer in model.buffers()]
        try:
            for member in network.members().values():
                if member.kind.copied:
                    vars(member.module).update(copied_state(member.module))
            yield
        finally:
            for buffer, value, version in buffers:
                if buffer._version != version:
                    buffer.copy_(value)
            for module, kept in before:
                for name in set(_kept(module)) - set(kept):
                    vars(module).pop(name, None)
                for name, value in kept.items():
                    if name in COPIED:
                        # The same mapping, which others may hold.
                        mapping = vars(module)[name]
                        mapping.clear()
                        mapping.update(value)
                    elif vars(module).get(name) is not value:
                        vars(module)[name] = value


def _kept(module: nn.Module) -> dict[str, Any]:
    ours = ("forward", "training")
    told = {name: value for name, value in dict(vars(module)).items() if name not in ours}
    return {name: dict(value) if name in COPIED else value for name, value in told.items()}


@torch.no_grad()
def _same_spikes(network: Adapted, x: Tensor) -> bool:
    """Compare the spikes of every neuron with those of its dynamics, and the logits.

    :return: whether every neuron has fired and been silent, so that spikes tell something."""
    encoded = network.encode(x)
    with torch.random.fork_rng([x.device] if x.is_cuda else []):
        alone = network.run_by_itself(encoded)
    kind: type[_Compared | _ComparedSteps] = _ComparedSteps if network.steps_alone else _Compared
    this = network.firing_pass(kind, encoded, simulation)
    _compare_logits(alone, network.run_in(this, encoded), rounded=False)
    return all(this.lively.get(name, False) for name in this.sites)


def _compare(name: str, own: Tensor, ours: Tensor) -> bool:
    """Refuse spikes [T, N, ...] of a neuron that are not those of its dynamics.

    :return: whether there are both spikes and silence."""
    odd = own[(own != 0) & (own != 1)]
    if len(odd):
        got = f"{name}, which gave {odd[0].item():g}"
        remedy = "Rules of ours know one spike per step: in sinabs that is spike_fn=SingleSpike."
        raise refused("neurons whose outputs are 0 or 1", got, remedy)
    different = own != ours
    if different.any():
        step = int(different.flatten(1).any(1).nonzero()[0])
        share = different.float().mean().item()
        got = f"{name}, of whose spikes {share:.2%} differ, first at step {step}"
        remedy = (
            "Its equations are others, which register_neuron(cls, dynamics=function) tells; or it "
            "stands at two places of a loop, or its state is changed from outside or kept from "
            "call to call."
        )
        raise refused("neurons that fire by the dynamics read off them", got, remedy)
    return bool(own.any()) and not bool(own.all())


class _Compared(Exchange):
    """Fires by the dynamics, and compares with the neuron itself."""

    lively: Mapping[str, bool] = MappingProxyType({})

    def answer(self, member: Member, x: Tensor, current: Tensor) -> Tensor:
        ours = super().answer(member, x, current)
        own = self.own(member, current)
        if not isinstance(own, Tensor) or own.shape != current.shape:
            got = f"{member.name}, which returns something else"
            remedy = "Its class is known by a name that belongs to others."
            raise refused("neurons that return spikes as they take currents", got, remedy)
        own = to_steps(own, member.layout, member.module, self.steps)
        self.lively = {**self.lively, member.name: _compare(member.name, own, ours)}
        return ours


class _ComparedSteps(StepPass):
    """Runs the neurons themselves, and compares with the dynamics at the end."""

    lively: Mapping[str, bool] = MappingProxyType({})

    def ended(self) -> None:
        super().ended()
        for name, calls in self.made.items():
            own = torch.stack([leaf.detach() for leaf in calls.spikes])
            assert calls.fired is not None
            assert calls.stacked is not None
            self.lively = {**self.lively, name: _compare(name, own, calls.fired)}
            if calls.potentials:
                _compare_potentials(calls, torch.stack(calls.potentials).detach())


def _compare_potentials(calls: Calls, own: Tensor) -> None:
    """Refuse potentials [T, N, ...] that a neuron returns and its dynamics do not."""
    assert calls.stacked is not None
    potential = torch.empty_like(calls.stacked)
    spikes = calls.site.dynamics.simulate(calls.stacked.detach(), potential)
    which = calls.member.kind.returns(calls.member.module)
    if which == "after reset":
        for u, s in zip(potential, spikes, strict=True):
            calls.site.dynamics._discharge(u, s, u)
    if not torch.allclose(own.to(potential.dtype), potential, rtol=1e-4, atol=1e-4):
        got = f"{calls.member.name}, whose potentials are not those {which}"
        remedy = "register_neuron(..., returns=...) tells which they are."
        raise refused("neurons that return the potential that they are said to", got, remedy)


def _some_gradient(network: Adapted, rule: Gradient, x: Tensor) -> None:
    """Refuse what cuts gradients, and graphs that hold what we do not know.

    :param x: requires a gradient where one is asked for at the input, and not at the weights."""
    if not isinstance(rule, Native):
        _refuse_unread(network, rule, x.detach())
    some = _gradient(network, rule, x)
    if some:
        return
    # By a slope that is nowhere zero: only the model itself can cut it.
    known = all(site.dynamics.unknown is None for site in network.every_site().values())
    through = some if some is None or not known else _gradient(network, STBP(surrogate=ATan()), x)
    if through is None or (known and not through):
        how, place = (
            "none" if through is None else "zero",
            "input" if x.requires_grad else "weights",
        )
        got = f"one whose gradient at the {place} is {how} for all of {len(x)} samples under {rule}"
        remedy = "Something cuts it: no_grad, detach(), data, numpy, rounding."
        raise invalid("model", "one that the gradient passes through", got, remedy)
    told = (
        f"the gradient under {rule} is zero for the first {len(x)} samples: no neuron comes near "
        "enough to firing for its slope. Attacks by it do nothing there."
    )
    warnings.warn(told, stacklevel=2)


def _gradient(network: Adapted, rule: Gradient, x: Tensor) -> bool | None:
    """Whether the gradient of all logits is anywhere not zero; None where the graph ends before."""
    with torch.enable_grad():
        inputs = x.detach().clone().requires_grad_(x.requires_grad)
        total = _mixed(rule.logits(network.twin(), inputs))
        if not total.requires_grad:
            return None
        _refuse_functions(total.grad_fn, network.harmless, native=isinstance(rule, Native))
        wanted = [inputs] if x.requires_grad else weights_of(network.module)
        grads = torch.autograd.grad(total, wanted, allow_unused=True)
    found = [grad for grad in grads if grad is not None]
    return any(bool((grad != 0).any()) for grad in found) if found else None


def _mixed(logits: Tensor) -> Tensor:
    """A sum of the logits [N, K] in which none cancels another."""
    weights = torch.linspace(-1, 1.1, logits.shape[1], dtype=logits.dtype, device=logits.device)
    return (logits * weights).sum()


def _refuse_unread(network: Adapted, rule: Gradient, x: Tensor) -> None:
    """Refuse neurons without a reset that do not suit the rule, where their spikes matter."""
    every = network.every_site()
    reasons = {name: rule.objection(site.dynamics) for name, site in every.items()}
    if not any(reasons.values()):
        return
    with torch.enable_grad():
        encoded = network.encode(x.clone().requires_grad_())
        this = network.firing_pass(StepPass, encoded, STBP().firing())
        total = _mixed(by_steps(this, network.logits, weights_of(network.module), encoded))
        torch.autograd.grad(total, encoded, allow_unused=True)
    for name, calls in this.made.items():
        if calls.spikes_matter and reasons[name]:
            got = f"{name}, whose spikes others read: {reasons[name]}"
            raise refused("neurons that the rule applies to", got, "Take STBP or HART.")


def _refuse_functions(root: Any, harmless: tuple[type, ...], *, native: bool) -> None:
    """Refuse autograd functions in a graph that are neither of a rule nor said to be harmless.

    :param native: refuse only those that run the model again in the backward pass."""
    seen, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function: Any = getattr(type(node), "_forward_cls", None)
        if function is CheckpointFunction:
            remedy = "Its neurons would run again after the pass, from another state: remove it."
            got = "one with activation checkpointing"
            raise invalid("model", "a model that runs once in a pass", got, remedy)
        if function is not None and function not in harmless and not native:
            of_torch = function.__module__.startswith("torch.")
            if not of_torch and not function.__module__.startswith("art_snn."):
                got = f"{function.__module__}.{function.__qualname__} in its graph"
                remedy = (
                    "A spike of a neuron that is not recognised? register_neuron makes it known. "
                    f"If it is none: adapt(..., harmless=[{function.__name__}])."
                )
                raise refused("a model without autograd functions of its own", got, remedy)
            pieces = getattr(node, "pieces", None)
            if pieces is not None:
                _refuse_outsiders(pieces)
                waiting += pieces.roots()
        waiting += [following for following, _ in node.next_functions]


def _refuse_outsiders(pieces: Any) -> None:
    """Refuse tensors that require a gradient and are no parameters, in a graph that is cut.

    Numbers may: Norse makes its states start from such ones, whose gradients nobody asks for."""
    known, seen, waiting = pieces.known(), set(), pieces.roots()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and leaf.ndim and id(leaf) not in known:
            got = f"a tensor {list(leaf.shape)} that is none of its parameters"
            remedy = (
                "Make it one: the graph of a loop over time is cut, and gradients are passed on."
            )
            raise refused("a model in which parameters alone require gradients", got, remedy)
        waiting += [following for following, _ in node.next_functions]
