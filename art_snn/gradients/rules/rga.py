"""RGA: rate gradient approximation."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import require_number
from art_snn.dynamics import Dynamics, Setting, least, most, operand
from art_snn.gradients.rate import RateGradient, Trace, curve_objection


@dataclass(frozen=True, kw_only=True)
class RGA(RateGradient):
    """Rate gradient approximation (Bu et al., CVPR 2023; supplement, equation S8).

    The slope, at the mean current, of a polyline that replaces the rate-current curve.
    Its corners are (0, 0), ((1 - decay) threshold, gamma (1 - decay) threshold) and (beta
    threshold, 1). As the curve ends at rate 1, the slope integrates to 1 over its range.
    Neurons of up to c spikes in a step have the last corner at (c threshold, c), those of
    any number the slope 1 / threshold from the second one on. A floor counts by the
    charge that it adds to the mean current.

    :param beta: mean current, in thresholds, at which the neuron saturates; > 1 - decay,
        in [1e-4, 1e4].
    :param gamma: slope below the current that can ever make the neuron fire, in [0, 1e4];
        gamma threshold (1 - decay) < 1."""

    beta: float = 2.0
    gamma: float = 0.2
    uses_rate = False

    def __post_init__(self) -> None:
        require_number(
            "beta",
            self.beta,
            above=0,
            within=(1e-4, 1e4),
            remedy="The paper searches from 1 to 4, and 2 is best.",
        )
        require_number(
            "gamma",
            self.gamma,
            at_least=0,
            within=(0, 1e4),
            remedy="The paper searches 0 to 0.3.",
        )

    def slope(self, trace: Trace) -> Tensor:
        x = trace.current
        dynamics = trace.dynamics
        several = dynamics.max_spikes
        (knee, low), (end, high) = self.corners(
            dynamics.decay, dynamics.threshold, several
        )[-2:]
        middle = (high - low) / (end - knee) if several else 1 / dynamics.threshold

        # As numbers 0 and 1: compared to bool, and selected by it, takes ten times as long.
        slope = torch.le(x, operand(end, x), out=torch.empty_like(x)).mul_(
            operand(middle, x)
        )

        mask = torch.le(x, operand(knee, x), out=torch.empty_like(x))
        torch.lerp(slope, x.new_full((), self.gamma), mask, out=slope)
        return slope.mul_(torch.ge(x, 0, out=mask))

    def corners(
        self, decay: Setting, threshold: Setting, several: Setting = 1
    ) -> list[Any]:
        """Corners (current, rate) of the polyline; two of them without a leak, otherwise three.

        :param several: the most spikes of a step."""
        knee = (1 - decay) * threshold
        highest = several or math.inf
        end = (self.beta if several == 1 else highest) * threshold
        ends = [(knee, self.gamma * knee), (end, float(highest))]
        return ends if knee == 0 else [(0.0, 0.0), *ends]

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        objection = curve_objection(dynamics)
        if objection is not None:
            return objection

        name = "threshold" if dynamics.origin == 0 else "(threshold - v_reset)"
        if dynamics.reset_by is not None:
            name = "reset_by"

        threshold = dynamics.standard.threshold
        leak = 1 - dynamics.decay
        neuron = f"a neuron with decay {dynamics.decay:g} and {name} {threshold:g}"
        # As corners are computed, so that rounding does not make them meet.
        rise = least(self.beta * threshold - leak * threshold)
        if dynamics.max_spikes == 1 and rise <= 0:
            return (
                f"beta: expected more than 1 - decay = {leak:g} for {neuron}, got {self.beta:g}. "
                "Raise beta: the rate cannot saturate before the neuron can fire at all"
            )

        if most(self.gamma * threshold * leak) >= 1:
            return (
                f"gamma: expected gamma * {name} * (1 - decay) below 1 for {neuron}, "
                f"got gamma = {self.gamma:g}. "
                "Lower gamma: the curve would pass rate 1 before the neuron can fire"
            )
        return None
