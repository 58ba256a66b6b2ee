"""The state equations of a spiking neuron, and the only simulation of them in the package."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from art_snn.checks import invalid, require_number

DECAYS = (1e-6, 1.0)
THRESHOLDS = (1e-4, 1e4)
"""Decays and thresholds for which a layer of neurons has finite gradients over the eight steps of
the papers, by every rule of GRADIENTS, in single and in double precision."""
MOST_STEPS = 100_000
"""The largest number of time steps."""


@dataclass(frozen=True)
class Dynamics:
    """Leaky integrate-and-fire dynamics from rest, in discrete time.

    With input current x[t], potential u[t] before and v[t] after the reset, v[-1] = 0::

        u[t] = decay * v[t-1] + x[t]
        s[t] = 1 if u[t] >= threshold else 0
        v[t] = u[t] * (1 - s[t])            hard reset
        v[t] = u[t] - threshold * s[t]      soft reset

    :param decay: share of the potential that survives one step, in [1e-6, 1]; 1 is the IF neuron.
    :param threshold: potential at which the neuron fires, in [1e-4, 1e4], in the unit of the
        current.
    :param reset: "hard" (to zero) or "soft" (by subtraction).
    :raises ValueError: when a parameter lies outside its range."""

    decay: float = 0.5
    threshold: float = 1.0
    reset: Literal["hard", "soft"] = "hard"

    def __post_init__(self) -> None:
        remedy = "Use 1.0 for a neuron without leak."
        decay = require_number("decay", self.decay, above=0, up_to=1, within=DECAYS, remedy=remedy)
        remedy = "The neurons of the papers use 1.0."
        threshold = require_number(
            "threshold", self.threshold, above=0, within=THRESHOLDS, remedy=remedy
        )
        object.__setattr__(self, "decay", decay)
        object.__setattr__(self, "threshold", threshold)
        if self.reset not in ("hard", "soft"):
            remedy = "Hard sets the potential to zero, soft subtracts the threshold."
            raise invalid("reset", "'hard' or 'soft'", repr(self.reset), remedy)

    @property
    def has_rate_curve(self) -> bool:
        """Whether neurons obey the equations above, so that decay and threshold say how they fire.

        Not in a subclass that simulates in a way of its own."""
        return type(self).simulate is Dynamics.simulate

    @torch.no_grad()
    def simulate(
        self, current: Tensor, potential: Tensor | None = None, spikes: Tensor | None = None
    ) -> Tensor:
        """Spikes of a layer that starts from rest.

        :param current: input current x [T, N, ...], floating point; may be an expanded view.
        :param potential: buffer [T, N, ...] that receives u, or None when nobody needs it.
        :param spikes: buffer [T, N, ...] for the result, or None to make one.
        :return: spikes [T, N, ...], 0 or 1, in the dtype of the current."""
        steps = current.shape[0]
        if spikes is None:
            spikes = torch.empty(current.shape, dtype=current.dtype, device=current.device)
        v = torch.zeros_like(spikes[0])
        for t in range(steps):
            u = v if potential is None else potential[t]
            torch.add(current[t], v, alpha=self.decay, out=u)
            torch.ge(u, self.threshold, out=spikes[t])
            if self.reset == "hard":
                torch.addcmul(u, u, spikes[t], value=-1, out=v)
            else:
                torch.sub(u, spikes[t], alpha=self.threshold, out=v)
        return spikes
