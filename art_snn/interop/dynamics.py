"""State equations read off a neuron of another framework, computed in that framework's order."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from art_snn.dynamics import Dynamics, Setting, plus_scaled, setting

Order = Callable[["ReadOff", Tensor, Tensor], Tensor]

ORDERS: Mapping[str, Order] = MappingProxyType(
    {
        "v + x": lambda d, x, v: v + x,
        "f v + x": lambda d, x, v: (v * d.factor).add_(x),
        "f v + g x": lambda d, x, v: (v * d.factor).add_(x * d.gain),
        "v + (x - (v - l)) / f": lambda d, x, v: (x - d.beyond(v)).div_(d.factor).add_(v),
        "v + (x - (v - l)) f": lambda d, x, v: (x - d.beyond(v)).mul_(d.factor).add_(v),
        "v - (v - l) / f + x": lambda d, x, v: torch.sub(v, d.beyond(v) / d.factor).add_(x),
        "v - (v - l) f + x": lambda d, x, v: torch.sub(v, d.beyond(v) * d.factor).add_(x),
        "v + f ((x + l) - v)": lambda d, x, v: (x + d.leak).sub_(v).mul_(d.factor).add_(v),
    }
)
"""How frameworks compute u from x and v, with a factor f, a gain g and a leak towards l.

Mathematically all are ``decay v + gain x + constant``, but they round differently, and spikes are
equal bit for bit in one order only."""


@dataclass(frozen=True, repr=False)
class ReadOff(Dynamics):
    """Dynamics of a module of another framework.

    :param order: one of ORDERS, with its f and l; None to compute as our own neurons do.
    :param late: whether a soft reset is subtracted in the next step, behind the decay."""

    foreign: ClassVar[bool] = True
    _: KW_ONLY
    order: str | None = None
    factor: Setting = 1.0
    leak: Setting = 0.0
    late: bool = False

    def beyond(self, v: Tensor) -> Tensor:
        """v - l."""
        return v if self.leak == 0 else v - self.leak

    def _charge(self, x: Tensor, v: Tensor, before: Tensor | None, u: Tensor) -> None:
        if self.order is None:
            super()._charge(x, v, before, u)
            return
        u.copy_(ORDERS[self.order](self, x, v))
        if self.late and before is not None:
            plus_scaled(u, before, -self.threshold, out=u)

    def _discharge(self, u: Tensor, spikes: Tensor, v: Tensor) -> None:
        if not self.late:
            super()._discharge(u, spikes, v)
        elif v is not u:
            v.copy_(u)


@dataclass(frozen=True, repr=False)
class Unknown(Dynamics):
    """Stands for the dynamics of a neuron that no rule of ours may use, and says why."""

    foreign: ClassVar[bool] = True
    reason: str = ""

    @property
    def unknown(self) -> str:  # type: ignore[override]
        return self.reason

    def __repr__(self) -> str:
        return "unknown dynamics"


class Unreadable(Exception):
    """A neuron's equations are not those that the rules know; the message says why."""


def setting_of(value: Any) -> Setting:
    """A setting of a layer: one number, or one for every neuron."""
    return setting(value) if isinstance(value, Tensor) else float(value)


def read_off(read: Callable[[nn.Module], Dynamics], module: nn.Module) -> Dynamics:
    """The dynamics at present; :class:`Unknown`, with the reason, where they cannot be read."""
    try:
        dynamics = read(module)
    except Unreadable as error:
        return Unknown(reason=str(error))
    except ValueError as error:
        return Unknown(reason=f"its settings are outside of what the rules know ({error})")
    except AttributeError as error:
        return Unknown(reason=f"it is not as in the versions that are known ({error})")
    if not isinstance(dynamics, Dynamics):
        raise TypeError(
            f"dynamics: expected a function that returns art_snn.dynamics.Dynamics, got one that "
            f"returns {dynamics!r} for a {type(module).__name__}. Return Dynamics(decay=..., ...)."
        )
    if dynamics.foreign:
        return dynamics
    kind: Any = type(dynamics)
    kind = ReadOff if kind is Dynamics else _foreign(kind)
    return kind(**{f.name: getattr(dynamics, f.name) for f in fields(dynamics)})  # type: ignore[no-any-return]


@cache
def _foreign(cls: Any) -> type[Dynamics]:
    """The same dynamics, known to be those of another framework's module."""
    return type(cls.__name__, (cls,), {"foreign": True, "__module__": cls.__module__})
