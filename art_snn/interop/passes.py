"""One pass of a model: while it runs, calls of its neurons are answered by the pass.

Modules are shared by threads and belong to the user, so that a pass changes nothing on them but
their `forward`, which asks for the pass of the thread or task that calls and is taken away after
the last one. Where a module runs by itself, a twin of it does, whose state is that of the pass."""

import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from art_snn.checks import ArgumentError, invalid
from art_snn.gradients.base import Firing, Site
from art_snn.interop.members import (
    RUNNING,
    Answer,
    Member,
    Members,
    earlier_forward,
    from_steps,
    to_steps,
)


class ModelPass:
    """A pass in which every module with a state runs by itself, from its start.

    :param members: of the model.
    :param steps: time steps T; None where the neurons tell.
    :param native: whether it is to be differentiated by the model's own surrogates."""

    def __init__(self, members: Members, steps: int | None, *, native: bool = False) -> None:
        self.members, self.steps, self.native = members, steps, native
        self.twins: dict[nn.Module, nn.Module] = {}
        self.calls: Counter[str] = Counter()
        self.graph, self.saving = torch.is_grad_enabled(), _saving()

    def call(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        """The answer to a call of a module."""
        if self.native and self.saving != _saving():
            raise _in_the_dark(member)
        self.calls[member.name] += 1
        return self.own(member, *args, **kwargs)

    def own(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        """What the module itself answers."""
        module, earlier = member.module, earlier_forward(member.module)
        if module not in self.twins:
            training = self.native and member.kind.gated
            self.twins[module] = member.twin(self.steps, training=training)
            if earlier is not None:
                member.kind.refresh(module, self.steps)
        if earlier is not None:
            # The user's, which knows the module and no twin.
            return earlier(*args, **kwargs)
        return type(module).forward(self.twins[module], *args, **kwargs)

    def ended(self) -> None:
        """Refuse what the calls show to be wrong, once the model has run."""
        for member in self.members.values():
            calls = self.calls[member.name]
            if self.steps and calls % self.steps and member.fires and member.layout == "step":
                remedy = (
                    "It takes one time step in a call: call it in a loop, or set its step mode. "
                    "adapt(model, encoder=None) is for models with a loop of their own."
                )
                got = f"{member.name}, which was called {calls} times"
                raise invalid("model", f"neurons that fire {self.steps} times", got, remedy)


class FiringPass(ModelPass):
    """A pass in which something of ours answers the calls of neurons.

    :param members: of the model.
    :param sites: the neurons as engines see them.
    :param steps: time steps T; None where the neurons tell.
    :param firing: of the rule."""

    def __init__(
        self, members: Members, sites: dict[str, Site], steps: int | None, firing: Firing
    ) -> None:
        super().__init__(members, steps)
        self.sites, self.firing = sites, firing

    def call(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        if not member.fires:
            return self.own(member, *args, **kwargs)
        if self.graph != torch.is_grad_enabled() or self.saving != _saving():
            raise _in_the_dark(member)
        self.calls[member.name] += 1
        if not args and kwargs:
            # The current by its name, which differs from framework to framework.
            first = next(iter(kwargs))
            args = (kwargs.pop(first),)
        return self.fire(member, *args, **kwargs)

    @abstractmethod
    def fire(self, member: Member, *args: Any, **kwargs: Any) -> Any:
        """The answer to a call of a neuron."""

    def ended(self) -> None:
        """Refuse what the calls show to be wrong, once the model has run."""
        silent = [name for name in self.sites if not self.calls[name]]
        if silent:
            got = f"{silent[0]}, which was not called"
            remedy = (
                "It is not used, or called in a way that passes by __call__ and forward: by "
                "functions, or in a compiled copy. Remove it from the model, or call it."
            )
            raise refused("neurons that all take part in a pass", got, remedy)


class Exchange(FiringPass):
    """A pass in which neurons that take all steps in one call fire by a firing of ours."""

    def fire(self, member: Member, current: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.calls[member.name] > 1:
            got = f"{member.name}, which was called twice in one pass"
            remedy = "One neuron cannot stand at two places: give every place one of its own."
            raise refused("neurons that are called once in a pass", got, remedy)
        if any(value is not None for value in (*args, *kwargs.values())):
            got = f"{member.name}, which is given more than that"
            remedy = "A potential to start from, or a mask, is none of the dynamics."
            raise refused("neurons that are given their current alone", got, remedy)
        layout = member.layout
        x = to_steps(current, layout, member.module, self.steps)
        self.steps = x.shape[0] if self.steps is None else self.steps
        if x.shape[0] != self.steps:
            raise wrong_steps(member.name, x.shape[0], self.steps)
        return from_steps(self.answer(member, x, current), layout)

    def answer(self, member: Member, x: Tensor, current: Tensor) -> Tensor:
        """Spikes [T, N, ...] for a current [T, N, ...], which came in the layout of `current`."""
        return self.firing(self.sites[member.name], x)


def _in_the_dark(member: Member) -> ArgumentError:
    got = f"{member.name}, which is called without a graph or with one that is made later"
    remedy = "Activation checkpointing and no_grad() around neurons hide their gradient: remove it."
    return invalid("model", "neurons that are called in the open", got, remedy)


def wrong_steps(name: str, got: int, expected: int) -> ArgumentError:
    """The complaint about a neuron that fired another number of times than it should."""
    remedy = (
        "Is the model of another number of steps, does its input lack the time axis, or does one "
        "neuron stand at two places?"
    )
    fired = f"{name}, which fired {got} times where {expected} were expected"
    return refused(f"neurons that all fire {expected} times", fired, remedy)


def refused(expected: str, got: str, remedy: str) -> ArgumentError:
    """The complaint about a model that rules of ours cannot differentiate, but its own can."""
    return invalid("model", expected, got, f"{remedy} Or differentiate it by the rule 'native'.")


_LOCK = threading.Lock()
_USERS: WeakKeyDictionary[nn.Module, set[int]] = WeakKeyDictionary()


@contextmanager
def running(this: ModelPass) -> Iterator[None]:
    """Within the block, and for the present thread or task, calls of members go to the pass."""
    token = None
    try:
        for module in this.members:
            with _LOCK:
                users = _USERS.setdefault(module, set())
                users.add(id(this))
                if _exchanged(module) is None:
                    vars(module)["forward"] = Answer(module, earlier_forward(module))
        token = RUNNING.set(this)
        yield
    finally:
        if token is not None:
            RUNNING.reset(token)
        for module in this.members:
            with _LOCK:
                users = _USERS.get(module, set())
                users.discard(id(this))
                answer = _exchanged(module)
                if not users and answer is not None:
                    del vars(module)["forward"]
                    if answer.earlier is not None:
                        vars(module)["forward"] = answer.earlier


def _exchanged(module: nn.Module) -> Answer | None:
    found = vars(module).get("forward")
    return found if isinstance(found, Answer) and found.module is module else None


def _saving() -> object:
    """What saves tensors for the backward pass at present, as checkpointing makes it."""
    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return None if top is None else top(False)
