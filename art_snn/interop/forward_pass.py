"""One pass of a model: while it runs, calls of its neurons are answered by the pass."""

from abc import abstractmethod
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils._pytree import tree_map_only

from art_snn.checks import ArgumentError, invalid
from art_snn.gradients.base import Firing, NeuronRef, simulation
from art_snn.gradients.fixed import saved_tensor_hooks
from art_snn.gradients.temporal import TemporalFiring
from art_snn.interop.neuron_state import Potentials, seal, versions
from art_snn.interop.refusals import ALONE, NATIVE, refusal, unusable
from art_snn.interop.slopes import SlopePass, Slopes, name_of
from art_snn.interop.stateful_modules import Member, Members, hand_over
from art_snn.running.context import change_run


class ModelPass:
    """A pass in which every module with a state runs by itself, from its start.

    :param native: whether it is to be differentiated by the model's own surrogates."""

    def __init__(self, body: Any, encoded: Tensor, *, native: bool = False) -> None:
        self.body = body
        self.members: Members = body.members
        self.steps: int | None = body.steps_of(encoded)
        """Time steps T; None where the neurons have them."""
        self.native = native
        self.preludes: int = body.traits.preludes
        """Calls of every neuron before the first time step."""
        self.reading: bool = body.traits.reads
        """True if the model reads state of its neurons, which then is on its modules."""
        self.twins: dict[Module, Module] = {}
        self.calls: Counter[str] = Counter()
        self.graph = torch.is_grad_enabled()
        self.saving = saved_tensor_hooks()
        self.slopes: SlopePass | None = None
        """The slopes of spikes that are exchanged, if any are."""

    def call(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        """The answer to a call of a module."""
        if self.native and self.saving != saved_tensor_hooks():
            raise _hidden(member)
        self.calls[member.name] += 1
        return self.answer_alone(member, *args, **kwargs)

    def answer_alone(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        """The answer of the module itself."""
        module = member.module
        if module not in self.twins:
            training = self.trains(member) and member.kind.gated
            self.twins[module] = member.twin(self.steps, training)
        twin = self.twins[module]
        if self.reading:
            hand_over(module, twin)
        answer = type(module).forward(twin, *args, **kwargs)
        if self.reading:
            hand_over(twin, module)
        return answer

    def trains(self, member: Member) -> bool:
        """True if the module itself is differentiated."""
        return self.native

    def ended(self) -> None:
        """Refuse what the calls show to be wrong, once the model has run."""
        for name in self.members.stepwise:
            calls = self.calls[name] - self.preludes
            # Delays may make more steps of those that there are.
            if self.steps and 0 < calls < self.steps:
                raise invalid(
                    "model",
                    f"neurons that fire {self.steps} times",
                    f"{name}, which was called {calls} times",
                    "It takes one time step in a call: call it in a loop, or set its step mode.",
                )


class FiringPass(ModelPass):
    """A pass in which something of ours answers the calls of neurons whose equations are used."""

    def __init__(self, body: Any, encoded: Tensor, firing: Firing) -> None:
        super().__init__(body, encoded)
        self.sites = self.members.ruled
        self.firing = firing
        self.samples = encoded.shape[1]
        self.lively: set[str] = set()
        """Neurons that were compared, and have both fired and been silent."""
        self.places: set[str] = set()
        """Where spikes are exchanged in every pass."""
        self.slopes = body.search
        slopes: Slopes | None = body.traits.slopes
        if self.slopes is None and slopes and slopes.calls:
            self._exchange(slopes, firing, encoded.requires_grad)

    def _exchange(self, slopes: Slopes, firing: Firing, at_input: bool) -> None:
        """Exchange slopes for those of the rule, or refuse one that has none."""
        if not isinstance(firing, TemporalFiring):
            if slopes.comparisons and at_input and firing is not simulation:
                raise refusal(
                    "neurons whose equations are known",
                    f"spikes of others at {slopes.comparisons[0]}, which have a slope alone",
                    "Take STBP or another temporal rule.",
                    NATIVE,
                )
            return
        several = [f for f, form in slopes.forms.items() if len(form.levels) > 1]
        if several and not firing.rule.elementwise:
            raise refusal(
                "spikes of one threshold",
                f"{name_of(several[0])}, which has several",
                f"{firing.rule} has a slope for one: take STBP.",
                NATIVE,
            )
        self.slopes = SlopePass(firing, slopes.forms, bool(slopes.comparisons))
        self.slopes.places = slopes.calls
        if at_input:
            self.places = set(slopes.calls)

    def trains(self, member: Member) -> bool:
        return member.fires and member.name not in self.sites

    def call(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        if not member.fires:
            return self.answer_alone(member, *args, **kwargs)
        if self.graph != torch.is_grad_enabled() or self.saving != saved_tensor_hooks():
            raise _hidden(member)
        self.calls[member.name] += 1
        if member.name in self.members.exchanged:
            return self.answer_alone(member, *args, **kwargs)
        with nullcontext() if self.slopes is None else self.slopes.left_alone():
            if not args and kwargs:
                # The current by its name, which differs from framework to framework.
                args = (kwargs.pop(next(iter(kwargs))),)
            with change_run(in_neuron=True):
                return self.fire(member, *args, **kwargs)

    @abstractmethod
    def fire(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        """The answer to a call of a neuron."""

    def ended(self) -> None:
        if self.sites and not any(self.calls[name] for name in self.sites):
            raise unusable(
                "neurons that take part in a pass",
                f"{', '.join(self.sites)}, of which none was called",
                "They are not used, or called in a way that passes by __call__ and forward: by "
                "functions, or in a compiled copy. Call the modules.",
            )
        gone = self.places - self.slopes.calls.keys() if self.slopes else None
        if gone:
            raise refusal(
                "a model that makes spikes in the same places in every pass",
                f"one that made none at {', '.join(sorted(gone))}",
                "Does it take another way for other samples, or is a part of it compiled?",
                NATIVE,
            )


class Exchange(FiringPass):
    """A pass in which neurons that take all steps in one call fire by a firing of ours."""

    def fire(self, member: Member, current: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.calls[member.name] > 1 and not member.kind.copied:
            raise unusable(
                "neurons that are called once in a pass",
                f"{member.name}, which was called twice in one pass",
                "It keeps its state from one place to the next. One neuron cannot be at two "
                "places: give every place one of its own.",
            )
        if any(value is not None for value in (*args, *kwargs.values())):
            raise unusable(
                "neurons that are given their current alone",
                f"{member.name}, which is given more than that",
                "A potential to start from, or a mask, is none of the dynamics.",
            )
        x = member.to_steps(current, self.steps)
        self.steps = self.steps or len(x)
        if len(x) != self.steps:
            raise wrong_steps(member.name, len(x), self.steps, self.samples)
        spikes = self.answer(member, x, current)
        if self.reading:
            self.show(member, x, current, spikes)
        spikes = member.from_steps(spikes)
        if not member.returned:
            return spikes
        with torch.no_grad():
            _, *states = self.run_alone(member, current.detach())

        name = f"the state that {member.name} returns"
        states = tree_map_only(Tensor, lambda value: seal(value, name, current), states)
        return (spikes, *states)

    def run_alone(self, member: Member, current: Tensor) -> Any:
        """The answer of the neuron itself as a tuple: its spikes, and states that it returns."""
        answer = self.answer_alone(member, current)
        return answer if isinstance(answer, tuple) and member.returned else (answer,)

    def show(self, member: Member, x: Tensor, current: Tensor, spikes: Tensor) -> None:
        """Leave the state of a neuron on its module, with the gradient that it has."""
        member.kind.refresh(member.module, self.steps)
        earlier = versions(member.module)
        with torch.no_grad():
            alone = member.to_steps(
                self.run_alone(member, current.detach())[0], self.steps
            )
        if not torch.equal(alone, spikes):
            raise refusal(
                "spikes, since the model reads the state of its neurons",
                f"{member.name}, which does not fire as it does by itself",
                "A rule by conversion has no potentials: take another one.",
                NATIVE,
            )
        potentials = Potentials(member, self.sites[member.name])
        for step, fired in zip(x, spikes, strict=True):
            potentials.step(step, fired)
        potentials.show(earlier)

    def answer(self, member: Member, x: Tensor, current: Tensor) -> Tensor:
        """Spikes [T, N, ...] for a current x [T, N, ...], which came as `current`."""
        site = self.sites[member.name]
        call = self.calls[member.name]
        if call > 1:  # A neuron that starts from rest may have several places.
            site = replace(site, name=f"{site.name}, call {call}")
        return site.fire(self.firing, x)


def other_equations(site: NeuronRef, spikes: Tensor, ours: Tensor) -> ArgumentError:
    """An error about a neuron whose spikes [T, N, ...] are not those of its dynamics."""
    different = (spikes != ours).flatten(1).float()
    step = int(different.any(1).nonzero()[0])
    return unusable(
        "neurons that fire by the dynamics read off them",
        f"{site.name}, of whose spikes {different.mean():.2%} differ, first at step {step}",
        "Describe other equations by register_neuron(cls, dynamics=function), or another start by "
        f"Dynamics(v_start=0.0): it is {site.dynamics.v_start:g}. Or its time axis is another one "
        "(layout='time last'); or it is at two places of a loop, or its state is changed from "
        "outside or kept from call to call.",
    )


def _hidden(member: Member) -> ArgumentError:
    return invalid(
        "model",
        "neurons whose gradient can be seen",
        f"{member.name}, which is called without a graph or with one that is made later",
        "Activation checkpointing and no_grad() around neurons hide their gradient: remove it.",
    )


def require_spikes(name: str, spikes: object, current: Tensor) -> None:
    """Refuse what a neuron gives unless that is a spike for every value of its current."""
    came = tuple(spikes.shape) if isinstance(spikes, Tensor) else type(spikes).__name__
    if came != tuple(current.shape):
        raise unusable(
            "neurons that return a spike for every value of their current",
            f"{name}, which takes {tuple(current.shape)} and returns {came}",
            "Does it have weights inside? Rules need the current after them: register the part "
            "that fires as a class of its own.",
        )


def wrong_steps(name: str, got: int, expected: int, samples: int = 1) -> ArgumentError:
    """An error about a neuron that fired another number of times than it should.

    :param samples: in the batch, of a neuron that may take them for time steps."""
    remedy = (
        "Is the model of another number of steps, does its input lack the time axis, or does a "
        "layer make another number of steps, as delays may?"
    )
    places = got // max(1, expected)
    if places > 1 and got == places * expected:
        remedy = (
            f"Does one neuron have {places} places in a step, so that two places share a state? "
            "Give every place a neuron of its own. Or does it take the rows of all samples?"
        )
    fired = f"{name}, which fired {got} times where {expected} were expected"
    mixing = [ALONE] if got == samples * expected else []
    return unusable(f"neurons that all fire {expected} times", fired, remedy, *mixing)
