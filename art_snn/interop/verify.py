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
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from art_snn.checks import invalid
from art_snn.gradients import STBP, ATan, Composite, Gradient, Native
from art_snn.gradients.base import Differentiable, Firing, Site, simulation
from art_snn.interop.members import COPIED, Member, Members, to_steps
from art_snn.interop.passes import Exchange, FiringPass, refused
from art_snn.interop.steps import StepPass, by_steps
from art_snn.passes import unwatched

Firings = TypeVar("Firings", Exchange, StepPass)

REMEMBERED = 256
"""States that a network remembers to be verified."""
SAMPLES = 8
"""Samples whose gradient is tried."""
_LOCK = threading.Lock()


class Adapted(Differentiable, Protocol):
    """The side of an adapted network that is verified."""

    layers: nn.Module
    encoder: Any
    harmless: tuple[type, ...]
    verified: set[Hashable]

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
    if rule is not None:
        wanted.add((form, repr(rule)))
    if kind == "ours" and x.requires_grad:
        wanted.add((form, tuple(network.every_site().values()), network.state_key()))
    missing = wanted - network.verified
    if not missing:
        return
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices), unwatched():
        if form in missing:
            _same_logits(network, x.detach(), native=kind == "native")
        if kind == "ours" and missing - {(form, repr(rule))}:
            _same_spikes(network, x.detach()[: None if form in missing else 1])
        if rule is not None and (form, repr(rule)) in missing:
            _some_gradient(network, rule, x.detach()[:SAMPLES])
    if len(network.verified) >= REMEMBERED:
        network.verified.clear()
    network.verified |= wanted


def _form(network: Adapted) -> Hashable:
    """Changes with what a model consists of and how it is set, not with its weights."""
    modules = tuple((n, type(m), m.training) for n, m in network.layers.named_modules())
    neurons = [member for member in network.members().values() if member.fires]
    told = [(m.name, m.layout, type(d := m.site.dynamics), d.reset, d.strict) for m in neurons]
    return modules, tuple(told)


def _draws(module: nn.Module) -> bool:
    """Whether a module computes something else at every call, in training mode."""
    name = type(module).__name__
    return module.training and any(word in name for word in ("Dropout", "Norm", "DropPath"))


@torch.no_grad()
def _same_logits(network: Adapted, x: Tensor, *, native: bool) -> None:
    """Compare a pass of ours with the model as it is."""
    encoded = network.encode(x)
    with _as_it_was(network.layers):
        _refresh(network, encoded)
        alone = _tried(network, encoded)
        # States that are known begin again; others have been changed by the first run.
        _refresh(network, encoded)
        ours = network.run_by_itself(encoded, native=native)
    same = torch.equal(alone, ours)
    # In training mode some versions add in another order.
    if same or (native and torch.allclose(alone, ours, rtol=1e-3, atol=1e-5)):
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
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """What modules keep is put back after the block."""
    with _LOCK:
        before = [(module, _kept(module)) for module in model.modules()]
        try:
            yield
        finally:
            for module, kept in before:
                for name in set(_kept(module)) - set(kept):
                    del vars(module)[name]
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
    told = {name: value for name, value in vars(module).items() if name not in ours}
    return {name: dict(value) if name in COPIED else value for name, value in told.items()}


@torch.no_grad()
def _same_spikes(network: Adapted, x: Tensor) -> None:
    """Compare the spikes of every neuron with those of its dynamics."""
    encoded = network.encode(x)
    if network.steps_alone:
        network.run_in(network.firing_pass(_ComparedSteps, encoded, simulation), encoded)
    else:
        network.run_in(network.firing_pass(_Compared, encoded, simulation), encoded)


def _compare(name: str, own: Tensor, ours: Tensor) -> None:
    """Refuse spikes [T, N, ...] of a neuron that are not those of its dynamics."""
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


class _Compared(Exchange):
    """Fires by the dynamics, and compares with the neuron itself."""

    def answer(self, member: Member, x: Tensor, current: Tensor) -> Tensor:
        ours = super().answer(member, x, current)
        own = self.own(member, current)
        if not isinstance(own, Tensor) or own.shape != current.shape:
            got = f"{member.name}, which returns something else"
            remedy = "Its class is known by a name that belongs to others."
            raise refused("neurons that return spikes as they take currents", got, remedy)
        _compare(member.name, to_steps(own, member.layout, member.module, self.steps), ours)
        return ours


class _ComparedSteps(StepPass):
    """Runs the neurons themselves, and compares with the dynamics at the end."""

    def ended(self) -> None:
        super().ended()
        for name, calls in self.made.items():
            own = torch.stack([leaf.detach() for leaf in calls.spikes])
            assert calls.fired is not None
            _compare(name, own, calls.fired)


def _some_gradient(network: Adapted, rule: Gradient, x: Tensor) -> None:
    """Refuse what cuts gradients, and graphs that hold what we do not know."""
    if not isinstance(rule, Native):
        _refuse_unread(network, rule, x)
    grad = _gradient(network, rule, x)
    if grad is not None and bool((grad != 0).any()):
        return
    # By a slope that is nowhere zero: only the model itself can cut it.
    known = all(site.dynamics.unknown is None for site in network.every_site().values())
    through = _gradient(network, STBP(surrogate=ATan()), x) if grad is not None and known else grad
    if through is None or (not bool((through != 0).any()) and known):
        how = "none" if through is None else "zero"
        got = f"one whose gradient under {rule} is {how} for all of {len(x)} samples"
        remedy = "Something cuts it: no_grad, detach(), data, numpy, rounding."
        raise invalid("model", "one that the gradient passes through", got, remedy)
    told = (
        f"the gradient under {rule} is zero for the first {len(x)} samples: no neuron comes near "
        "enough to firing for its slope. Attacks by it do nothing there."
    )
    warnings.warn(told, stacklevel=2)


def _gradient(network: Adapted, rule: Gradient, x: Tensor) -> Tensor | None:
    """Of all logits at the input; None where the graph ends before."""
    with torch.enable_grad():
        inputs = x.clone().requires_grad_()
        total = _mixed(rule.logits(network.twin(), inputs))
        if not total.requires_grad:
            return None
        if not isinstance(rule, Native):
            _refuse_functions(total.grad_fn, network.harmless)
        (grad,) = torch.autograd.grad(total, inputs, allow_unused=True)
    return grad


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
        total = _mixed(by_steps(this, network.logits, network.layers, encoded))
        torch.autograd.grad(total, encoded, allow_unused=True)
    for name, calls in this.made.items():
        if calls.spikes_matter and reasons[name]:
            got = f"{name}, whose spikes others read: {reasons[name]}"
            raise refused("neurons that the rule applies to", got, "Take STBP or HART.")


def _refuse_functions(root: Any, harmless: tuple[type, ...]) -> None:
    """Refuse autograd functions in a graph that are neither of a rule nor said to be harmless."""
    seen, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        function: Any = getattr(type(node), "_forward_cls", None)
        if function is not None and function not in harmless:
            of_torch = function.__module__.startswith("torch.")
            if not of_torch and not function.__module__.startswith("art_snn."):
                got = f"{function.__module__}.{function.__qualname__} in its graph"
                remedy = (
                    "A spike of a neuron that is not recognised? register_neuron makes it known. "
                    f"If it is none: adapt(..., harmless=[{function.__name__}])."
                )
                raise refused("a model without autograd functions of its own", got, remedy)
            waiting += (getattr(node, "pieces", None) and node.pieces.roots()) or []
        waiting += [following for following, _ in node.next_functions]
