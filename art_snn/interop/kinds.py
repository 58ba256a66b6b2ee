"""What is known of the neurons of other frameworks, and of the user's own.

No framework is imported. A class is recognised by its qualified name, or by that of a class that
it inherits from. Its equations are known unless it overrides a method that holds them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn

from art_snn.checks import require, require_choice
from art_snn.dynamics import Dynamics
from art_snn.interop.dynamics import Unreadable

Layout = Literal["steps", "step", "merged", "samples first", "samples merged", "time last"]
"""What a call of a neuron takes, as :func:`register_neuron` describes it."""
Returned = Literal["before reset", "after reset"]
Read = Callable[[nn.Module], Dynamics]


@dataclass(frozen=True)
class NeuronKind:
    """What is known of a class of neurons.

    :param read: dynamics of such a module at present; raises Unreadable where they are others.
    :param equations: names of the methods that say how it fires; overridden, they say otherwise.
    :param refresh: puts a module back to the start of a run of so many time steps, if known.
    :param gated: whether it cuts its gradient in evaluation mode.
    :param spikes: whether a module fires at all; others merely have a state.
    :param returns: which potential a module returns with its spikes, if any.
    :param copied: whether it may write into the tensors and lists that hold its state.
    :param handed: whether its state is handed from call to call, as an argument and an answer."""

    read: Read
    layout: Callable[[nn.Module], Layout]
    equations: tuple[str, ...] = ("forward",)
    refresh: Callable[[nn.Module, int | None], None] = lambda module, steps: None
    gated: bool = False
    spikes: Callable[[nn.Module], bool] = lambda module: True
    returns: Callable[[nn.Module], "Returned | None"] = lambda module: None
    copied: bool = False
    handed: bool = False


Recognised = tuple[NeuronKind, type]
_REGISTERED: dict[type[nn.Module], NeuronKind] = {}


def register_neuron(
    cls: type[nn.Module],
    *,
    dynamics: Read,
    layout: Layout = "steps",
    returns: Returned | None = None,
    gated: bool = False,
) -> type[nn.Module]:
    """Make a class of spiking neurons of your own known, for all networks adapted later::

        class LIFSpike(nn.Module): ...           # T steps of [T * N, ...] in one call

        register_neuron(LIFSpike, dynamics=lambda m: Dynamics(m.tau, m.thresh), layout="merged")

    It must start from rest at every run, and its spikes must be those of the dynamics, which is
    verified in the first pass. A subclass counts as the same unless it has a forward of its own.

    :param dynamics: maps a module of the class to its :class:`~art_snn.dynamics.Dynamics`, read at
        every pass.
    :param layout: what a call takes: "steps" [T, N, ...], "step" one of them [N, ...], "merged"
        [T * N, ...], "samples first" [N, T, ...], "samples merged" [N * T, ...] or "time last"
        [N, ..., T].
    :param returns: "before reset" or "after reset" for neurons of layout "step" that return
        (spikes, potential); None where they return spikes alone.
    :param gated: whether the class has a surrogate gradient in training mode alone. Its modules
        are then in training mode for the time of a native pass.
    :return: the class, so that it may decorate one.
    :raises TypeError: when `cls` is no class of modules, or `dynamics` cannot be called.
    :raises ValueError: for an unknown layout."""
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"cls: expected a class of torch modules, got {cls!r}. Pass the class.")
    if not callable(dynamics):
        raise TypeError(
            f"dynamics: expected a function of a module, got {dynamics!r}. "
            "For example lambda module: Dynamics(decay=module.tau)."
        )
    require_choice("layout", layout, get_args(Layout), remedy="Most take [T, N, ...]: steps.")
    expected = f"one of {', '.join(get_args(Returned))}, or None"
    fits = returns in (None, *get_args(Returned))
    require(fits, "returns", expected, repr(returns), "Is it u[t] or v[t]?")
    of_torch = cls.__module__.split(".")[0] == "torch"
    require(not of_torch, "cls", "a class of neurons", f"torch's {cls.__name__}", "Pass your own.")
    _REGISTERED[cls] = NeuronKind(
        dynamics,
        always(layout),
        refresh=_reset_by_itself,
        returns=always(returns),
        gated=gated,
        copied=True,
    )
    return cls


def neuron_kind(module: nn.Module, table: Mapping[str, NeuronKind]) -> "Recognised | None":
    """What is known of a module, and the class that it is known of; None for no neuron."""
    for cls in type(module).__mro__:
        kind = _REGISTERED.get(cls) or table.get(f"{cls.__module__}.{cls.__qualname__}")
        if kind is not None:
            return kind, cls
    return None


def overridden(module: nn.Module, kind: NeuronKind, cls: type) -> str | None:
    """Why the equations of a module may be others than those of the class it is known by."""
    order = type(module).__mro__
    for other in order[: order.index(cls)]:
        names = [name for name in kind.equations if name in vars(other)]
        if names:
            return f"its class {other.__qualname__} has a {names[0]} of its own"
    return None


def _reset_by_itself(module: nn.Module, steps: int | None) -> None:
    reset: Any = getattr(module, "reset", None)
    if callable(reset):
        reset()


def always(value: Any) -> Callable[[nn.Module], Any]:
    """A function that gives the same value for every module of a class."""
    return lambda module: value


def unreadable(reason: str) -> Read:
    """The `read` of neurons whose equations no rule knows, for that reason."""

    def read(module: nn.Module) -> Dynamics:
        raise Unreadable(reason)

    return read


def other_than(names: str) -> Read:
    """The `read` of neurons that are not the ones of these names."""
    return unreadable(f"its equations are not those of {names}; register_neuron describes others")
