"""HART: the surrogate slope averaged over time."""

from dataclasses import dataclass, field

from torch import Tensor

from art_snn.dynamics import operand
from art_snn.gradients.rate import RateGradient, Trace
from art_snn.gradients.shared import sum_slopes
from art_snn.gradients.surrogates import Surrogate, Triangle


@dataclass(frozen=True, kw_only=True)
class HART(RateGradient):
    """The rate gradient of HART (Hao et al., ICLR 2024): the leak cut, the gradient averaged.

    At every step ``d = mean over t of g[t] h(u[t] - threshold)``. Where the layers are
    affine g is constant in time, and the slope is the time mean of the surrogate's.

    :param surrogate: slope h as a function of u - threshold. The paper searches the width
        of the triangle from 0.1 to 2.45; a width tuned on the samples under attack
        overstates the attack.
    """

    surrogate: Surrogate = field(default_factory=Triangle)
    uses_potential = True
    uses_current = False
    uses_rate = False
    averages = True

    def slope(self, trace: Trace) -> Tensor:
        assert trace.potential is not None
        threshold = operand(trace.dynamics.threshold, trace.potential)
        distance = trace.potential.sub_(threshold)
        return sum_slopes(self.surrogate.in_place, distance, trace.dynamics)
