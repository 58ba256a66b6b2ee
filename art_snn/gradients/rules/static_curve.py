"""StaticCurve: the exact slope of the static rate-current curve."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from art_snn.checks import require_number
from art_snn.dynamics import Dynamics, least, most, operand
from art_snn.gradients.rate import RateGradient, Trace, curve_objection


@dataclass(frozen=True, kw_only=True)
class StaticCurve(RateGradient):
    """Slope of the rate that a constant current causes, at the mean current.

    The curve is the smooth form of equations S1 to S7 in the supplement of Bu et al. (CVPR 2023),
    without rounding to whole steps. With ``knee = (1 - decay) threshold`` and
    ``L = ln(1 - knee / I)``::

        rate  = ln(decay) / L                               knee < I <= threshold
        slope = -ln(decay) knee / (L^2 I (I - knee))        (IF: rate I / threshold, slope
                                                             1 / threshold for 0 <= I <= threshold)

    and 0 outside. Of IF neurons with up to c spikes in a step the line ends at c
    threshold. At the knee the slope diverges, and a neuron close to it would decide the
    whole gradient. So the slope is clipped at `limit` times the curve's mean, 1 / (decay
    threshold).

    :param limit: in [1, 1e4], or inf for no clipping. 2 clips at currents within 2.4 %
        (decay 0.5) or 4.7 % (decay 0.9) above the knee."""

    limit: float = 2.0
    uses_rate = False

    def __post_init__(self) -> None:
        if self.limit != math.inf:
            require_number(
                "limit",
                self.limit,
                at_least=1,
                within=(1, 1e4),
                remedy="Use 2, or math.inf for none.",
            )

    def slope(self, trace: Trace) -> Tensor:
        current = trace.current
        dynamics = trace.dynamics
        threshold = operand(dynamics.threshold, current)
        decay = operand(dynamics.decay, current)
        knee = (1 - decay) * threshold
        rising = torch.le(current, threshold * (dynamics.max_spikes or math.inf))
        straight = rising.logical_and(current >= 0).to(current.dtype)
        if dynamics.decay == 1:
            return straight.div_(threshold)
        rising.logical_and_(current > knee)
        # Elsewhere any value inside the range will do: the mask removes it.
        inside = torch.where(rising, current, threshold)
        logarithm = torch.log1p(-knee / inside)
        leak = -decay.log() if isinstance(decay, Tensor) else -math.log(decay)
        steep: Tensor = leak * knee / (logarithm.square_() * inside * (inside - knee))
        steep.clamp_(max=self.limit / (decay * threshold)).mul_(rising)
        if most(dynamics.decay) == 1:
            steep = torch.where(decay == 1, straight.div_(threshold), steep)
        return steep

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        objection = curve_objection(dynamics)
        if objection is None and least(dynamics.decay) == 0:
            return "the curve of a neuron that forgets at every step is a jump (decay 0)"
        if objection is None and dynamics.max_spikes != 1 and dynamics.decay != 1:
            return "of several spikes in a step it knows the curve of IF neurons only (decay 1)"
        return objection
