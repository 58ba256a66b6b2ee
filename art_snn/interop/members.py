"""The modules of a model that take part in a pass: its neurons, and others that have a state."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

from torch import Tensor, nn

from art_snn.checks import invalid
from art_snn.gradients.base import Site
from art_snn.interop.dynamics import Unknown, read_off
from art_snn.interop.frameworks import KNOWN
from art_snn.interop.kinds import Layout, NeuronKind, neuron_kind, overridden

COPIED = ("_memories", "_memories_rv", "_buffers")
"""Where modules keep what a pass changes, next to plain attributes."""


@dataclass(frozen=True)
class Member:
    """A module with a state, by its name in a model; `cls` is the class that it is known by."""

    name: str
    module: nn.Module
    kind: NeuronKind
    cls: type
    merged: bool = False

    @property
    def fires(self) -> bool:
        """Whether it is a neuron."""
        return self.kind.spikes(self.module)

    @property
    def layout(self) -> Layout:
        """What its calls take at present."""
        layout = self.kind.layout(self.module)
        return "merged" if self.merged and layout == "steps" else layout

    @property
    def site(self) -> Site:
        """The neuron as engines see it, with its dynamics at present."""
        reason = overridden(self.module, self.kind, self.cls)
        if reason is None and earlier_forward(self.module) is not None:
            reason = "its forward was exchanged on the module"
        if reason is None:
            return Site(self.name, read_off(self.kind.read, self.module))
        remedy = f"art_snn.interop.register_neuron({type(self.module).__name__}, ...)"
        reason = f"{reason}, so its equations are not known: {remedy}"
        return Site(self.name, Unknown(reason=reason))

    def twin(self, steps: int | None, *, training: bool = False) -> nn.Module:
        """The module with a state of its own, at its start; settings and weights are the same."""
        twin = object.__new__(type(self.module))
        attributes = dict(vars(self.module))  # At once, since other threads may add to it.
        state = {k: dict(v) if k in COPIED else v for k, v in attributes.items()}
        state.pop("forward", None)
        for name, value in state.items():
            if isinstance(value, MethodType) and value.__self__ is self.module:
                state[name] = MethodType(value.__func__, twin)
        vars(twin).update(state)
        if self.kind.copied:
            vars(twin).update(copied_state(twin))
        self.kind.refresh(twin, steps)
        if training:
            vars(twin)["training"] = True
            children = twin._modules.items()
            vars(twin)["_modules"] = {name: _in_training(child) for name, child in children}
        return twin


def _in_training(module: nn.Module | None) -> nn.Module | None:
    """The same module in training mode, such as a surrogate that has a gradient there alone."""
    if module is None:
        return None
    twin = object.__new__(type(module))
    vars(twin).update(vars(module) | {"training": True})
    return twin


def copied_state(module: nn.Module) -> dict[str, Any]:
    """What a module keeps, in tensors, lists and mappings of its own; its weights are shared."""
    shared = ("_parameters", "_modules", "forward", "training")
    attributes = dict(vars(module))
    return {name: _copied(value) for name, value in attributes.items() if name not in shared}


def _copied(value: Any) -> Any:
    """Tensors, lists and mappings that may be written into, anew; anything else as it is."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    return list(map(_copied, value)) if type(value) is list else value


RUNNING: ContextVar[Any] = ContextVar("running", default=None)
"""The pass that runs in this thread or task."""


class Answer:
    """Stands for the forward of a module while a pass runs in any thread, and asks for its own.

    A deep copy of the module has one that knows the copy; that of a shallow copy knows the
    original, and is replaced when the copy runs. `earlier` is what stood there before, or None."""

    def __init__(self, module: nn.Module, earlier: Any) -> None:
        self.module, self.earlier = module, earlier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        this = RUNNING.get()
        member = None if this is None else this.members.get(self.module)
        if member is not None:
            return this.call(member, *args, **kwargs)
        if self.earlier is not None:
            return self.earlier(*args, **kwargs)
        return type(self.module).forward(self.module, *args, **kwargs)


Members = Mapping[nn.Module, Member]


def earlier_forward(module: nn.Module) -> Any:
    """The forward that somebody has exchanged on the module; None where nobody has."""
    forward = vars(module).get("forward")
    return forward.earlier if isinstance(forward, Answer) else forward


def members_of(model: nn.Module, *, merged: bool = False) -> dict[nn.Module, Member]:
    """Every module of the model that is recognised, by module."""
    members: dict[nn.Module, Member] = {}
    whole: tuple[str, ...] = ()
    for name, module in model.named_modules():
        recognised = neuron_kind(module, KNOWN)
        if recognised is None:
            continue
        kind, cls = recognised
        if name.startswith(whole):
            # Part of a neuron of the user's own, which fires as a whole.
            kind = replace(kind, spikes=lambda module: False)
        elif kind.copied:
            whole = (*whole, f"{name}." if name else "")
        members[module] = Member(name, module, kind, cls, merged)
    return members


def to_steps(x: Tensor, layout: Layout, module: Any, steps: int | None) -> Tensor:
    """What a neuron was given, as [T, N, ...]; `steps` is T, where the layout has it not."""
    if layout == "steps":
        return x
    if layout == "samples first":
        return x.transpose(0, 1)
    if layout == "time last":
        return x.movedim(-1, 0)
    if layout == "samples merged" and getattr(module, "num_timesteps", -1) != -1:
        steps = int(module.num_timesteps)
    if steps is None:
        expected = f"the number of time steps T, since {type(module).__name__} takes T * N rows"
        raise invalid("steps", expected, "None", "Pass steps to adapt, with encoder=None too.")
    if x.shape[0] % steps:
        got = f"{steps}, and {type(module).__name__} was given {x.shape[0]} rows"
        raise invalid("steps", "the model's own number of time steps", got, "Check both.")
    if layout == "samples merged":
        return x.reshape(-1, steps, *x.shape[1:]).transpose(0, 1)
    return x.reshape(steps, x.shape[0] // steps, *x.shape[1:])


def from_steps(y: Tensor, layout: Layout) -> Tensor:
    """Spikes [T, N, ...] as the neuron returns them."""
    if layout == "merged":
        return y.flatten(0, 1)
    if layout == "time last":
        return y.movedim(0, -1)
    if layout in ("samples first", "samples merged"):
        y = y.transpose(0, 1)
        return y.flatten(0, 1) if layout == "samples merged" else y
    return y
