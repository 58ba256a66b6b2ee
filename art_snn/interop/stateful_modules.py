"""The modules of a model that take part in a pass: its neurons, and others that have a state.

Modules are shared by threads and belong to the user, so a pass changes only their
`forward`. The new one asks for the pass of the thread or task that calls, and goes after
the last pass. Where a module runs by itself, a twin of it does, whose state is that of
the pass."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import invalid, require
from art_snn.gradients.base import NeuronRef
from art_snn.interop.frameworks import find_kind, has_name_of_neuron
from art_snn.interop.kinds import RESETTING, Layout, NeuronKind, Returned, Unknown
from art_snn.running.context import set_in_block

_COPIED = {"_memories", "_memories_rv", "_buffers"}
"""Where modules keep what a pass changes, next to plain attributes."""
_SHARED = ("_parameters", "_modules", "forward", "training")
"""Attributes without state."""
_TIME_AXES = {"samples first": 1, "samples merged": 1, "time last": -1}
"""The time axis of layouts whose first axis is another one."""
_COMPILED = "torch.jit compiled it, so its calls are not seen: give it as it was before"


@dataclass(frozen=True)
class Member:
    """A module with a state, by its name in a model; `cls` is the class that it is known by."""

    name: str
    module: Module
    kind: NeuronKind
    cls: type

    @property
    def fires(self) -> bool:
        """True for a neuron, False for another module with a state."""
        return self.kind.spikes(self.module)

    @property
    def layout(self) -> Layout:
        """The layout of the input of its calls at present."""
        layout = self.kind.layout
        return layout(self.module) if callable(layout) else layout

    @property
    def returned(self) -> Returned | None:
        """Which potential it returns with its spikes at present, if any."""
        returns = self.kind.returns
        return returns(self.module) if callable(returns) else returns

    def twin(self, steps: int | None, training: bool) -> Module:
        """The module with a state of its own, at its start; settings and weights are the same.

        :param training: whether it is in training mode, whatever the module is in."""
        twin = _share(self.module)
        state = vars(twin)
        state.pop("forward", None)
        for name, value in state.items():
            if name in _COPIED:
                state[name] = dict(value)
            elif isinstance(value, MethodType) and value.__self__ is self.module:
                state[name] = MethodType(value.__func__, twin)
        if self.kind.copied:
            _copy_state(twin)
        self.kind.refresh(twin, steps)
        if training:
            children = twin._modules.items()
            state["_modules"] = {name: _in_training(child) for name, child in children}
            state["training"] = True
        return twin

    def to_steps(self, x: Tensor, steps: int | None) -> Tensor:
        """Its input as [T, N, ...]; `steps` is T, for layouts that merge steps and samples."""
        axis = _TIME_AXES.get(self.layout, 0)
        if self.layout.endswith("merged"):
            stated: Any = getattr(self.module, "num_timesteps", -1)
            if axis and stated != -1:
                steps = int(stated)
            name = type(self.module).__name__
            if steps is None:
                raise invalid(
                    "steps",
                    f"the number of time steps T, since {name} takes T * N rows",
                    "None",
                    "Pass steps to adapt, with encoder=None too.",
                )
            require(
                len(x) % steps == 0,
                "steps",
                "the model's own number of time steps",
                f"{steps}, and {name} was given {len(x)} rows",
                "Check both.",
            )
            x = torch.unflatten(x, 0, (-1, steps) if axis else (steps, -1))
        return x.movedim(axis, 0) if axis else x

    def from_steps(self, y: Tensor) -> Tensor:
        """Spikes [T, N, ...] as the neuron returns them."""
        axis = _TIME_AXES.get(self.layout, 0)
        if axis:
            y = y.movedim(0, axis)
        return y.flatten(0, 1) if self.layout.endswith("merged") else y


class Members(dict[Module, Member]):
    """Every module of a model that is recognised at present, by module.

    :param unused: reasons why no equations are used; none where they are."""

    def __init__(self, model: Module, unused: Sequence[str] = ()) -> None:
        super().__init__()
        self.unused = next(iter(unused), None)
        self.compiled: dict[str, NeuronRef] = {}
        whole: tuple[str, ...] = ()
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                if has_name_of_neuron(module.original_name):
                    self.compiled[name] = NeuronRef(name, Unknown(unknown=_COMPILED))
                continue
            row = find_kind(type(module))
            inside = name.startswith(whole)
            resets = callable(getattr(module, "reset", None)) and not module._parameters
            if row is None and (inside or not resets):
                continue
            kind, cls = row or (RESETTING, type(module))
            if inside:
                # Part of a registered neuron, which fires as a whole.
                kind = replace(kind, spikes=lambda module: False)
            elif row and kind.copied:
                whole = (*whole, f"{name}." if name else "")
            self[module] = Member(name, module, kind, cls)
            require(
                isinstance(vars(module).get("forward"), _Answer | None),
                "model",
                "neurons with the forward of their class",
                f"{name}, on which it was exchanged",
                "Put it back: del module.forward.",
            )
        self.neurons = [member for member in self.values() if member.fires]

    @cached_property
    def sites(self) -> dict[str, NeuronRef]:
        """All neurons by name, as engines see them, with their dynamics at present."""
        sites = {
            m.name: NeuronRef(m.name, m.kind.dynamics(m.module, m.cls))
            for m in self.neurons
        }
        return sites | self.compiled

    @cached_property
    def exchanged(self) -> dict[str, str]:
        """Neurons of which the slope of their spikes is exchanged alone, each with the reason."""
        names = [member.name for member in self.neurons]
        reasons = {
            name: self.sites[name].dynamics.unknown or self.unused for name in names
        }
        return {name: why for name, why in reasons.items() if why is not None}

    @cached_property
    def ruled(self) -> dict[str, NeuronRef]:
        """Neurons that rules of ours differentiate by their equations, as these are at present."""
        sites = self.sites.items()
        return {name: site for name, site in sites if name not in self.exchanged}

    @property
    def stepwise(self) -> list[str]:
        """Neurons that take one time step in a call."""
        return [member.name for member in self.neurons if member.layout == "step"]

    @property
    def steps_alone(self) -> bool:
        """True if the model calls its neurons once per time step."""
        return any(name in self.ruled for name in self.stepwise)


def hand_over(source: Module, target: Module) -> None:
    """Let one module have the state of another one of its class."""
    for name, value in list(vars(source).items()):
        if name in ("_memories", "_buffers"):
            vars(target)[name] = dict(value)
        elif name not in _SHARED and not isinstance(value, MethodType):
            vars(target)[name] = value


def _share(module: Module) -> Module:
    """Another module of the same attributes."""
    twin: Module = object.__new__(type(module))
    vars(twin).update(vars(module))  # At once, since other threads may add to it.
    return twin


def _in_training(module: Module | None) -> Module | None:
    """The same module in training mode, such as a surrogate that has a gradient there alone."""
    if module is None or isinstance(module, torch.jit.ScriptModule):
        return module
    twin = _share(module)
    vars(twin)["training"] = True
    return twin


def _copy_state(module: Module) -> None:
    """Let a module keep its tensors, lists and mappings in copies; its weights stay shared."""
    attributes = dict(vars(module))
    vars(module).update(
        {n: _copy(value) for n, value in attributes.items() if n not in _SHARED}
    )


def _copy(value: Any) -> Any:
    """A copy of tensors, lists and mappings that may be written into; anything else as it is."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    return list(map(_copy, value)) if type(value) is list else value


_RESTORING = threading.RLock()


@contextmanager
def restoring(
    model: Module, members: Members, volatile: set[tuple[type, str]]
) -> Iterator[None]:
    """Put back what modules keep after the block; `volatile` gains what the block has changed."""
    with _RESTORING:
        # What torch.jit compiled keeps its state in its buffers alone.
        before = [
            (module, _attributes(module))
            for module in model.modules()
            if not isinstance(module, torch.jit.ScriptModule)
        ]
        # The same mappings are filled again, since others may hold them.
        contents = [
            (attributes[name], dict(attributes[name]))
            for _, attributes in before
            for name in _COPIED & attributes.keys()
        ]
        buffers = [
            (buffer, buffer.clone(), buffer._version) for buffer in model.buffers()
        ]
        try:
            for member in members.values():
                if member.kind.copied:
                    _copy_state(member.module)
            yield
        finally:
            for buffer, value, version in buffers:
                if buffer._version != version:
                    buffer.copy_(value)
            for mapping, entries in contents:
                mapping.clear()
                mapping.update(entries)
            for module, attributes in before:
                present = _attributes(module)
                for name in present.keys() - attributes.keys():
                    volatile.add((type(module), name))
                    vars(module).pop(name, None)
                for name, value in attributes.items():
                    if present.get(name) is not value:
                        volatile.add((type(module), name))
                        vars(module)[name] = value


def _attributes(module: Module) -> dict[str, Any]:
    attributes = dict(vars(module))  # At once, since other threads may add to it.
    return {
        name: attributes[name] for name in attributes.keys() - {"forward", "training"}
    }


RUNNING: ContextVar[Any] = ContextVar("running", default=None)
_LOCK = threading.Lock()
_USERS: WeakKeyDictionary[Module, set[int]] = WeakKeyDictionary()


class _Answer:
    """Stands for the forward of a module while a pass runs in any thread, and asks for its own.

    A deep copy of the module has one that knows the copy; that of a shallow copy knows
    the original, and is replaced when the copy runs."""

    earlier = None
    """What a key of the network's state shows of it."""

    def __init__(self, module: Module) -> None:
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        this = RUNNING.get()
        member = None if this is None else this.members.get(self.module)
        if member is not None:
            return this.call(member, *args, **kwargs)
        return type(self.module).forward(self.module, *args, **kwargs)


@contextmanager
def running(this: Any) -> Iterator[None]:
    """Within the block, and for the present thread or task, calls of members go to the pass.

    Where the model reads their state, modules have that of the pass, in one thread at a time."""
    members = this.members
    with ExitStack() as restored:
        if this.reading:
            block = restoring(nn.ModuleList(members), members, this.body.volatile)
            restored.enter_context(block)
        try:
            for module, member in members.items():
                if this.reading:
                    member.kind.refresh(module, this.steps)
                with _LOCK:
                    users = _USERS.setdefault(module, set())
                    users.add(id(this))
                    if not _has_answer(module):
                        vars(module)["forward"] = _Answer(module)
            if this.slopes is not None:
                restored.enter_context(this.slopes.exchanged())
            with set_in_block(RUNNING, this):
                yield
        finally:
            for module in members:
                with _LOCK:
                    users = _USERS.get(module, set())
                    users.discard(id(this))
                    if not users and _has_answer(module):
                        del vars(module)["forward"]


def _has_answer(module: Module) -> bool:
    answer = vars(module).get("forward")
    return isinstance(answer, _Answer) and answer.module is module
