"""The state equations of a spiking neuron, and the only simulation of them in the package."""

from dataclasses import KW_ONLY, dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from art_snn.checks import invalid, require, require_number, settle

DECAYS = (1e-6, 1.0)
THRESHOLDS = (1e-4, 1e4)
"""Decays and thresholds for which a layer of neurons has finite gradients over the eight steps of
the papers, by every rule of GRADIENTS, in single and in double precision."""
POTENTIALS = (-1e4, 1e4)
MOST_STEPS = 100_000
"""The largest number of time steps."""


@dataclass(frozen=True, repr=False)
class Dynamics:
    """Leaky integrate-and-fire dynamics from rest, in discrete time.

    With input current x[t], potential u[t] before and v[t] after the reset, v[-1] = 0::

        u[t] = decay * v[t-1] + x[t]
        s[t] = 1 if u[t] >= threshold else 0
        v[t] = u[t] * (1 - s[t])            hard reset
        v[t] = u[t] - threshold * s[t]      soft reset

    Neurons of other frameworks have more to them, which by default changes nothing::

        u[t] = decay * v[t-1] + gain * x[t] + constant,   v[-1] = start
        s[t] = 1 if u[t] > threshold else 0               strict
        v[t] = u[t] * (1 - s[t]) + rest * s[t]            hard reset
        v[t] = u[t] - drop * s[t]                         soft reset

    :param decay: share of the potential that survives one step, in [1e-6, 1]; 1 is the IF neuron.
    :param threshold: potential at which the neuron fires, in [1e-4, 1e4], in the unit of the
        current; with a hard reset that far above `rest`.
    :param reset: "hard" (to `rest`) or "soft" (by subtraction of `drop`).
    :param gain: factor of the input current, in [1e-4, 1e4].
    :param constant: what is added to the current at every step, in [-1e4, 1e4].
    :param strict: whether the potential must exceed the threshold to fire.
    :param rest: potential after a hard reset, in [-1e4, 1e4].
    :param start: potential before the first step, in [-1e4, 1e4]; None is `rest`.
    :param drop: what a soft reset subtracts, in [1e-4, 1e4]; None is the threshold.
    :raises ValueError: when a parameter lies outside its range."""

    decay: float = 0.5
    threshold: float = 1.0
    reset: Literal["hard", "soft"] = "hard"
    _: KW_ONLY
    gain: float = 1.0
    constant: float = 0.0
    strict: bool = False
    rest: float = 0.0
    start: float | None = None
    drop: float | None = None

    def __post_init__(self) -> None:
        remedy = "Use 1.0 for a neuron without leak."
        decay = require_number("decay", self.decay, above=0, up_to=1, within=DECAYS, remedy=remedy)
        if self.reset not in ("hard", "soft"):
            remedy = "Hard sets the potential to zero, soft subtracts the threshold."
            raise invalid("reset", "'hard' or 'soft'", repr(self.reset), remedy)
        settle(self, decay=decay)
        remedy = "Use 0.0, the neurons of the papers have none."
        for name in ("constant", "rest", "start"):
            value = 0.0 if getattr(self, name) is None else getattr(self, name)
            number = require_number(name, value, within=POTENTIALS, remedy=remedy)
            settle(self, **{name: self.rest if getattr(self, name) is None else number})
        soft = self.reset == "soft"
        require(not (soft and self.rest), "rest", "0 for a soft reset", self.rest, "Leave it out.")
        remedy = "The neurons of the papers use 1.0."
        threshold = require_number("threshold", self.threshold, above=self.rest, remedy=remedy)
        require_number("threshold", threshold - self.rest, within=THRESHOLDS, remedy=remedy)
        settle(self, threshold=threshold)
        for name, value in {"gain": self.gain, "drop": self.drop}.items():
            if value is not None:
                number = require_number(name, value, above=0, within=THRESHOLDS, remedy=remedy)
                settle(self, **{name: number})
        settle(self, strict=bool(self.strict))
        none = self.drop is None or soft
        require(none, "drop", "None for a hard reset", self.drop, "Leave it out, or use rest.")

    def __repr__(self) -> str:
        """The fields, of the further ones those that change something."""
        usual = {"start": self.rest, "drop": None} | {f.name: f.default for f in fields(self)[3:7]}
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        shown = [f"{k}={v!r}" for k, v in told.items() if k not in usual or usual[k] != v]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def has_rate_curve(self) -> bool:
        """Whether neurons obey the equations above, so that decay and threshold say how they fire.

        Not in a subclass that simulates in a way of its own."""
        return type(self).simulate is Dynamics.simulate

    @property
    def plain(self) -> bool:
        """Whether the further parameters change nothing."""
        told = (self.gain, self.constant, self.strict, self.rest, self.start, self.drop)
        return told == (1, 0, False, 0, 0, None)

    @property
    def standard(self) -> "Dynamics":
        """The plain dynamics that :meth:`effective` currents drive in the same way.

        Potentials are counted from `rest`; whether the threshold itself fires, where a run starts
        and how much a soft reset subtracts do not change the slope of a rate-current curve."""
        return Dynamics(self.decay, self.threshold - self.rest, self.reset)

    def effective(self, current: Tensor) -> Tensor:
        """What a current x is to the :attr:`standard` dynamics: gain * x + constant, from rest."""
        return current * self.gain + (self.constant - (1 - self.decay) * self.rest)

    @torch.no_grad()
    def simulate(
        self, current: Tensor, potential: Tensor | None = None, spikes: Tensor | None = None
    ) -> Tensor:
        """Spikes of a layer that starts from rest.

        :param current: input current x [T, N, ...], floating point; may be an expanded view.
        :param potential: buffer [T, N, ...] that receives u, or None when nobody needs it.
        :param spikes: buffer [T, N, ...] for the result, or None to make one.
        :return: spikes [T, N, ...], 0 or 1, in the dtype of the current."""
        steps, fires = current.shape[0], torch.gt if self.strict else torch.ge
        if spikes is None:
            spikes = torch.empty(current.shape, dtype=current.dtype, device=current.device)
        v = torch.full_like(spikes[0], self.start or 0.0)
        for t in range(steps):
            u = v if potential is None else potential[t]
            self._charge(current[t], v, u)
            fires(u, self.threshold, out=spikes[t])
            if self.reset == "hard":
                torch.addcmul(u, u, spikes[t], value=-1, out=v)
                if self.rest:
                    v.add_(spikes[t], alpha=self.rest)
            else:
                torch.sub(u, spikes[t], alpha=self.amount, out=v)
        return spikes

    def _charge(self, x: Tensor, v: Tensor, u: Tensor) -> None:
        """Write u[t] from x[t] and v[t-1], whose place it may take."""
        if self.gain == 1:
            torch.add(x, v, alpha=self.decay, out=u)
        else:
            torch.mul(v, self.decay, out=u).add_(x, alpha=self.gain)
        if self.constant:
            u.add_(self.constant)

    @property
    def amount(self) -> float:
        """What a soft reset subtracts."""
        return self.threshold if self.drop is None else self.drop

    def silent(self, potential: Tensor) -> Tensor:
        """Where a neuron of that potential u does not fire."""
        return potential <= self.threshold if self.strict else potential < self.threshold
