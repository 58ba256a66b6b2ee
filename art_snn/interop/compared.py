"""The model by itself, compared with passes of ours: logits, spikes, potentials, samples."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from art_snn.checks import invalid
from art_snn.gradients.base import simulation
from art_snn.interop.members import COPIED, Member, copied_state, to_steps
from art_snn.interop.passes import ONE_PLACE, Exchange, FiringPass, other_equations, refused
from art_snn.interop.runner import Runner
from art_snn.interop.steps import Calls, StepPass

_LOCK = threading.RLock()


@torch.no_grad()
def same_logits(runner: Runner, x: Tensor, *, native: bool) -> None:
    """Compare a pass of ours with the model as it is."""
    encoded = runner.encode(x)
    with as_it_was(runner):
        runner.refresh(encoded)
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            alone = _alone(runner, encoded)
        # States that are known begin again; others have been changed by the first run.
        runner.refresh(encoded)
        ours = runner.run_by_itself(encoded, native=native)
    # In training mode some versions of frameworks add in another order.
    compare_logits(alone, ours, rounded=native)


def agree(alone: Tensor, ours: Tensor, *, rounded: bool) -> bool:
    """Whether logits are the same; to rounding on a GPU, where sums change from call to call."""
    if rounded or alone.is_cuda:
        return torch.allclose(alone, ours, rtol=1e-3, atol=1e-5, equal_nan=True)
    return torch.equal(alone.nan_to_num(), ours.nan_to_num())


def compare_logits(alone: Tensor, ours: Tensor, *, rounded: bool) -> None:
    """Refuse logits in a pass of ours that are not those of the model by itself."""
    if agree(alone, ours, rounded=rounded):
        return
    got = f"one whose logits then differ by {(alone - ours).abs().max().item():.3g}"
    remedy = (
        "It keeps a state from call to call, reads that of a neuron from outside, or draws by "
        "another generator than torch's. Recognised neurons start from rest at every pass; let "
        "others do so as well. An encoder draws spikes: adapt(model, encoder=Poisson(steps))."
    )
    raise invalid("model", "one that computes the same in a pass of ours", got, remedy)


def _alone(runner: Runner, encoded: Tensor) -> Tensor:
    """Logits of the model by itself; its errors get a note from Python 3.11 on."""
    try:
        return runner.logits(encoded)
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


@contextmanager
def as_it_was(runner: Runner) -> Iterator[None]:
    """What modules keep is put back after the block, and known to be written by passes."""
    model = runner.model
    with _LOCK:
        before = [(module, _kept(module)) for module in model.modules()]
        buffers = [(buffer, buffer.clone(), buffer._version) for buffer in model.buffers()]
        try:
            for member in runner.members.values():
                if member.kind.copied:
                    vars(member.module).update(copied_state(member.module))
            yield
        finally:
            for buffer, value, version in buffers:
                if buffer._version != version:
                    buffer.copy_(value)
            for module, kept in before:
                for name in set(_kept(module)) - set(kept):
                    runner.network.written.add((type(module), name))
                    vars(module).pop(name, None)
                for name, value in kept.items():
                    if name in COPIED:
                        # The same mapping, which others may hold.
                        mapping = vars(module)[name]
                        mapping.clear()
                        mapping.update(value)
                    elif vars(module).get(name) is not value:
                        runner.network.written.add((type(module), name))
                        vars(module)[name] = value


def _kept(module: nn.Module) -> dict[str, Any]:
    attributes = dict(vars(module))
    names = attributes.keys() - {"forward", "training"}
    return {n: dict(attributes[n]) if n in COPIED else attributes[n] for n in names}


@torch.no_grad()
def same_rows(runner: Runner, x: Tensor) -> None:
    """Refuse a model whose logits of a sample depend on the other samples of its batch."""
    others = x.clone()  # Of the same shape, which rounding depends on.
    others[1::2] = x.amax() + x.amin() - x[1::2]
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices):
        logits = runner.run_by_itself(runner.encode(x))[::2]
    with torch.random.fork_rng(devices):
        alone = runner.run_by_itself(runner.encode(others))[::2]
    if agree(logits, alone, rounded=True):
        return
    got = f"one whose logits then differ by {(logits - alone).abs().max().item():.3g}"
    remedy = (
        "Which of its axes is the batch? A layer, a neuron (in another step mode?) or the readout "
        "takes samples for time steps or features: a model [N, T, K] is read by "
        "readout=lambda out: out.mean(1)."
    )
    expected = "one whose logits of a sample are the same whatever else is in its batch"
    raise invalid("model", expected, got, remedy)


@torch.no_grad()
def same_spikes(runner: Runner, x: Tensor) -> bool:
    """Compare spikes with those of the dynamics, and logits; whether every neuron was lively."""
    encoded = runner.encode(x)
    with torch.random.fork_rng([x.device] if x.is_cuda else []):
        alone = runner.run_by_itself(encoded)
    kind = _ComparedSteps if runner.steps_alone else _Compared
    this: FiringPass = runner.firing_pass(kind, encoded, simulation)
    gated = any(m.kind.gated for m in runner.members.values() if m.name in runner.natives)
    compare_logits(alone, runner.run_in(this, encoded), rounded=gated)
    runner.traits.silent = [name for name in this.sites if not this.calls[name]]
    return this.sites.keys() - runner.traits.silent <= this.lively


def _compare(this: FiringPass, name: str, spikes: Tensor, ours: Tensor) -> None:
    """Refuse spikes [T, N, ...] of a neuron that are not those of its dynamics."""
    odd = spikes[(spikes != 0) & (spikes != 1)]
    if len(odd):
        got = f"{name}, which gave {odd[0].item():g}"
        remedy = "Rules of ours know one spike per step: in sinabs that is spike_fn=SingleSpike."
        raise refused("neurons whose outputs are 0 or 1", got, remedy)
    if (spikes != ours).any():
        raise other_equations(name, spikes, ours)
    if spikes.any() and not spikes.all():
        this.lively.add(name)


class _Compared(Exchange):
    """Fires by the dynamics, and compares with the neuron itself."""

    def answer(self, member: Member, x: Tensor, current: Tensor) -> Tensor:
        ours = super().answer(member, x, current)
        spikes = self.answer_alone(member, current)
        several = self.calls[member.name] > 1 and isinstance(spikes, Tensor)
        if several and not torch.equal(spikes, self.answer_alone(member, current)):
            got = f"{member.name}, which has several places and keeps a state"
            raise refused("neurons that start from rest at every place", got, ONE_PLACE)
        if not isinstance(spikes, Tensor) or spikes.shape != current.shape:
            got = f"{member.name}, which returns something else"
            remedy = "Its class is known by a name that belongs to others."
            raise refused("neurons that return spikes as they take currents", got, remedy)
        spikes = to_steps(spikes, member.layout, member.module, self.steps)
        _compare(self, member.name, spikes, ours)
        return ours


class _ComparedSteps(StepPass):
    """Runs the neurons themselves, and compares with the dynamics at the end."""

    def compare(self) -> None:
        for name, calls in self.made.items():
            spikes = torch.stack([leaf.detach() for leaf in calls.spikes])
            _compare(self, name, spikes, calls.fired)
            if calls.potentials:
                _compare_potentials(calls, torch.stack(calls.potentials).detach())


def _compare_potentials(calls: Calls, potentials: Tensor) -> None:
    """Refuse potentials [T, N, ...] that a neuron returns and its dynamics do not."""
    potential = torch.empty_like(calls.stacked)
    spikes = calls.site.dynamics.simulate(calls.stacked.detach(), potential)
    which = calls.member.kind.returns(calls.member.module)
    if which == "after reset":
        for u, s in zip(potential, spikes, strict=True):
            calls.site.dynamics._discharge(u, s, u)
    if not torch.allclose(potentials.to(potential.dtype), potential, rtol=1e-4, atol=1e-4):
        got = f"{calls.member.name}, whose potentials are not those {which}"
        remedy = "register_neuron(..., returns=...) says which they are."
        raise refused("neurons that return the potential that they are said to", got, remedy)
