"""Kinds of neurons: those of other frameworks, and classes that users register.

No framework is imported. A class is recognised by its qualified name, or by that of a class that
it inherits from. Its equations are known unless it overrides a method that holds them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import require_choice, set_fields
from art_snn.dynamics import Dynamics, Setting, operand, plus_scaled

Layout = Literal[
    "steps", "step", "merged", "samples first", "samples merged", "time last"
]
"""The layout of the input of a neuron, as :func:`register_neuron` describes it."""
Returned = Literal["before reset", "after reset"]
"""The potential that a neuron returns with its spikes."""

# How frameworks compute u from x and v, with a factor f, a gain g and a leak towards l. All are
# ``decay v + gain x + constant``, but they round differently, and spikes are equal bit for bit in
# one order only.
_ORDERS: Mapping[str, Callable[["ReadOff", Tensor, Tensor, Any], Tensor]] = {
    "v + x": lambda d, x, v, f: v + x,
    "f v + x": lambda d, x, v, f: (v * f).add_(x),
    "f v + g x": lambda d, x, v, f: (v * f).add_(x * d.gain),
    "v + (x - (v - l)) / f": lambda d, x, v, f: (x - d.beyond(v)).div_(f).add_(v),
    "v + (x - (v - l)) f": lambda d, x, v, f: (x - d.beyond(v)).mul_(f).add_(v),
    "v - (v - l) / f + x": lambda d, x, v, f: torch.sub(v, d.beyond(v) / f).add_(x),
    "v - (v - l) f + x": lambda d, x, v, f: torch.sub(v, d.beyond(v) * f).add_(x),
    "v + f ((x + l) - v)": lambda d, x, v, f: (x + d.v_leak).sub_(v).mul_(f).add_(v),
    "v + f ((l - v) + x)": lambda d, x, v, f: (d.v_leak - v).add_(x).mul_(f).add_(v),
    # Of synaptic currents alone, which stand for v, and f for the synapse:
    "f (v + x)": lambda d, x, v, f: (v + x).mul_(f),
    "v - (1 - f) v + x": lambda d, x, v, f: (v - v * operand(1 - d.synapse, v)).add_(x),
}
"""(dynamics, x, v, f) -> u."""


@dataclass(frozen=True, repr=False)
class ReadOff(Dynamics):
    """Dynamics of a module of another framework, computed in that framework's order.

    :param order: how u follows from x and v, with its f and l, such as "f v + x".
    :param late: True if a soft reset is subtracted in the next step, after the decay.
    :param synapse_order: how the synaptic current follows from x and the one before, v."""

    _: KW_ONLY
    order: str = "v + x"
    factor: Setting = 1.0
    v_leak: Setting = 0.0
    late: bool = False
    synapse_order: str = "f v + x"

    @property
    def synapse_gain(self) -> Setting:
        return self.synapse if self.synapse_order == "f (v + x)" else 1.0

    def beyond(self, v: Tensor) -> Tensor:
        """v - l."""
        return v if self.v_leak == 0 else v - self.v_leak

    def _charge(
        self, x: Tensor, v: Tensor, before: Tensor | None, u: Tensor, decay: Setting
    ) -> None:
        factor = operand(self.factor, v)
        u.copy_(_ORDERS[self.order](self, x, v, factor))
        if self.late and before is not None:
            plus_scaled(u, before, -self.threshold, out=u)

    def _pass_synapse(self, x: Tensor, i: Tensor) -> None:
        factor = operand(self.synapse, x)
        i.copy_(_ORDERS[self.synapse_order](self, x, i, factor))

    def _reset(self, u: Tensor, spikes: Tensor, v: Tensor) -> None:
        if not self.late:
            super()._reset(u, spikes, v)
        elif v is not u:
            v.copy_(u)


@dataclass(frozen=True, repr=False)
class Unknown(Dynamics):
    """Stands for the dynamics of a neuron that no rule of ours may use, and says why."""

    foreign: ClassVar[bool] = True
    unknown: str = ""  # type: ignore[misc]

    def __repr__(self) -> str:
        return "unknown dynamics"


class Exchanged(Unknown):
    """Stands for the dynamics of a neuron of which only the slope of its spikes is exchanged.

    Its potential is the distance from the threshold."""

    by_exchange: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, threshold=0.0)


@dataclass(frozen=True)
class NeuronKind:
    """A class of neurons: how to read its equations, how it is called and reset.

    :param read: function that returns the present dynamics of a module, and raises a ValueError if
        these cannot be described. A text instead says why no rule knows the equations.
    :param layout: the input of a call, or a function that reads it off a module.
    :param equations: names of the methods that hold the equations: a class that overrides
        one has other equations.
    :param refresh: puts a module back to the start of a run, given its number of time
        steps if that is known.
    :param gated: True if the neuron cuts its gradient in evaluation mode.
    :param spikes: True if a module fires; others merely have a state.
    :param returns: the potential that a module returns with its spikes, if it returns one.
    :param copied: True if the neuron may write into the tensors and lists that hold its state.
    :param handed: True if the model hands the state from call to call, as argument and result."""

    read: Callable[[Module], Dynamics] | str
    layout: Layout | Callable[[Module], Layout]
    equations: tuple[str, ...] = ("forward",)
    refresh: Callable[[Module, int | None], None] = lambda module, steps: None
    gated: bool = False
    spikes: Callable[[Module], bool] = lambda module: True
    returns: Returned | Callable[[Module], Returned] | None = None
    copied: bool = False
    handed: bool = False

    def dynamics(self, module: Module, cls: type) -> Dynamics:
        """The dynamics at present; :class:`Unknown`, with the reason, where they cannot be read.

        :param cls: the class that the module is known by."""
        order = type(module).__mro__
        for other in order[: order.index(cls)]:
            for name in self.equations:
                if name in vars(other):
                    reason = (
                        f"its class {other.__qualname__} has a {name} of its own, so its equations "
                        "are not known: "
                        f"art_snn.interop.register_neuron({type(module).__name__}, ...)"
                    )
                    return Unknown(unknown=reason)
        if isinstance(self.read, str):
            return Unknown(unknown=self.read)
        try:
            dynamics = self.read(module)
        except ValueError as error:
            return Unknown(unknown=str(error).rstrip("."))
        except AttributeError as error:
            return Unknown(
                unknown=f"it is not as in the versions that are known ({error})"
            )
        if not isinstance(dynamics, Dynamics):
            raise TypeError(
                "dynamics: expected a function that returns art_snn.dynamics.Dynamics, got one "
                f"that returns {dynamics!r} for a {type(module).__name__}. "
                "Return Dynamics(decay=..., ...)."
            )
        foreign = copy(dynamics)
        set_fields(foreign, foreign=True)
        return foreign


RECURRENT = (
    "it feeds its spikes back into its own current: temporal rules exchange their slope"
)
"""Why no rule uses the equations of recurrent neurons."""
REGISTERED: dict[type, NeuronKind] = {}
"""The classes of :func:`register_neuron`."""


def register_neuron(
    cls: type[Module],
    *,
    dynamics: Callable[[Module], Dynamics],
    layout: Layout = "steps",
    returns: Returned | None = None,
    gated: bool = False,
) -> type[Module]:
    """Make your class of spiking neurons known, for all networks adapted later::

        register_neuron(LIFSpike, dynamics=lambda m: Dynamics(m.tau, m.thresh), layout="merged")

    It must start from rest at every run, and its spikes must be those of the dynamics, which is
    verified in the first pass. A subclass counts as the same unless it has a forward of its own.

    :param dynamics: maps a module to its :class:`~art_snn.dynamics.Dynamics`, read at every pass.
    :param layout: what a call takes: "steps" [T, N, ...], "step" one of them [N, ...], "merged"
        [T * N, ...], "samples first" [N, T, ...], "samples merged" [N * T, ...] or "time last"
        [N, ..., T].
    :param returns: "before reset" or "after reset" for neurons of layout "step" that return
        (spikes, potential); None where they return spikes alone.
    :param gated: True if the class has a surrogate gradient in training mode only. Its modules are
        then in training mode for the time of a native pass.
    :return: the class, so that it may decorate one.
    :raises TypeError: when `cls` is no class of modules, or `dynamics` cannot be called.
    :raises ValueError: for an unknown layout."""
    if not (isinstance(cls, type) and issubclass(cls, Module)):
        raise TypeError(
            f"cls: expected a class of torch modules, got {cls!r}. Pass the class."
        )
    if not callable(dynamics):
        raise TypeError(
            f"dynamics: expected a function of a module, got {dynamics!r}. "
            "For example lambda module: Dynamics(decay=module.tau)."
        )
    layouts = get_args(Layout)
    require_choice("layout", layout, layouts, remedy="Most take [T, N, ...]: steps.")
    if returns is not None:
        remedy = "u[t] is before the reset, v[t] after; None: it returns spikes alone."
        require_choice("returns", returns, get_args(Returned), remedy=remedy)
    REGISTERED[cls] = NeuronKind(
        dynamics,
        layout,
        refresh=_reset_by_itself,
        returns=returns,
        gated=gated,
        copied=True,
    )
    return cls


def _reset_by_itself(module: Module, steps: int | None) -> None:
    reset = getattr(module, "reset", None)
    if callable(reset):
        reset()


def _reset_alone(module: Module, steps: int | None) -> None:
    """Reset a module, but none of its children, which are reset by themselves."""
    children = module._modules
    still = nn.Sequential()
    vars(still)["reset"] = lambda: None
    vars(module)["_modules"] = dict.fromkeys(children, still)
    # What it cannot reset keeps its state, as the model has it.
    with suppress(Exception):
        _reset_by_itself(module, steps)
    vars(module)["_modules"] = children


RESETTING = NeuronKind(
    "", "step", refresh=_reset_alone, spikes=lambda module: False, copied=True
)
"""Any other module that has a method `reset`, such as a counter of time steps around a neuron."""
