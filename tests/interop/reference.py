"""Three affine layers with two layers of neurons between, one time step at a time, in float64.

The equations of a neuron are written down by hand for every case: nothing is read off a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from art_snn.dynamics import Dynamics
from tests.oracles import _Averaged, _Scaled, rga_slope, static_slope, triangle

Steps = list[Tensor]


@dataclass(frozen=True)
class Equations:
    """u = decay v + gain x + constant; a spike at u >= threshold; then rest, or less by drop.

    :param decay: a number, or a tuple with one for every step.
    :param reset: "hard", "soft" or "none"."""

    decay: Any
    threshold: float = 1.0
    gain: float = 1.0
    constant: float = 0.0
    reset: str = "hard"
    v_reset: float = 0.0
    reset_by: float = 0.0
    v_start: float = 0.0
    amplitude: float = 1.0

    def decays(self, steps: int) -> tuple[float, ...]:
        """The decay of every step."""
        return self.decay if isinstance(self.decay, tuple) else (self.decay,) * steps

    def run(self, xs: Steps, fire: Callable[[Tensor], Tensor]) -> tuple[Steps, Steps]:
        """Spikes and potentials before the reset."""
        v, spikes, potentials = torch.full_like(xs[0], self.v_start), [], []
        for x, decay in zip(xs, self.decays(len(xs)), strict=True):
            u = decay * v + self.gain * x + self.constant
            s = fire(u - self.threshold)
            if self.reset == "hard":
                v = u * (1 - s) + self.v_reset * s
            else:
                v = u - (self.reset_by if self.reset == "soft" else 0) * s
            spikes.append(s)
            potentials.append(u)
        return spikes, potentials

    def fired(self, xs: Steps) -> tuple[Steps, Steps]:
        """The same without a graph."""
        with torch.no_grad():
            return self.run(xs, lambda z: (z >= 0).to(z.dtype))

    @property
    def standard(self) -> Dynamics:
        return Dynamics(self.decay, self.threshold - self.origin)

    def effective(self, xs: Steps) -> Tensor:
        mean = sum(x.detach() for x in xs) / len(xs)
        return self.gain * mean + self.constant - (1 - self.decay) * self.origin

    @property
    def origin(self) -> float:
        """Where potentials are counted from, so that the threshold is what a soft reset takes."""
        return self.threshold - self.reset_by if self.reset == "soft" else self.v_reset


def _sloped(equations: Equations, xs: Steps, slope: Tensor) -> Steps:
    spikes, _ = equations.fired(xs)
    return [_Scaled.apply(x, s, slope * equations.gain) for x, s in zip(xs, spikes, strict=True)]


def stbp(equations: Equations, xs: Steps) -> Steps:
    return equations.run(xs, triangle)[0]


def rga(equations: Equations, xs: Steps) -> Steps:
    return _sloped(equations, xs, rga_slope(equations.standard, equations.effective(xs)))


def static(equations: Equations, xs: Steps) -> Steps:
    return _sloped(equations, xs, static_slope(equations.standard, equations.effective(xs)))


def bptr(equations: Equations, xs: Steps) -> Steps:
    spikes, _ = equations.fired(xs)
    return _sloped(equations, xs, (sum(spikes) > 0).to(xs[0].dtype))


def hart(equations: Equations, xs: Steps) -> Steps:
    spikes, potentials = equations.fired(xs)
    slopes = [torch.clamp(1 - (u - equations.threshold).abs(), min=0) for u in potentials]
    return list(_Averaged.apply(torch.stack(slopes) * equations.gain, *spikes, *xs))


RULES = {"stbp": stbp, "rga": rga, "static": static, "bptr": bptr, "hart": hart}
"""How a layer of neurons is differentiated, by the name of the rule."""


def logits(weights: list[Tensor], equations: Equations, steps: int, x: Tensor, rule: str) -> Tensor:
    """[N, ...] -> [N, K], the mean over time, differentiable by the rule.

    :param weights: weight and bias of three affine layers."""
    fire, height = RULES[rule], equations.amplitude
    one, two, three = zip(weights[::2], weights[1::2], strict=True)
    currents = [linear(x.flatten(1), *one) for _ in range(steps)]
    currents = [linear(height * s, *two) for s in fire(equations, currents)]
    outputs = [linear(height * s, *three) for s in fire(equations, currents)]
    return sum(outputs) / steps
