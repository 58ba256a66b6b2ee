"""STBP: spatio-temporal back-propagation with a surrogate slope."""

from dataclasses import dataclass, field

from torch import Tensor

from art_snn.gradients.base import NeuronRef
from art_snn.gradients.surrogates import Surrogate, Triangle
from art_snn.gradients.temporal import TemporalGradient


@dataclass(frozen=True, kw_only=True)
class STBP(TemporalGradient):
    """Back-propagation through time with a surrogate slope (Wu et al., Frontiers 2018).

    The rule that trains most spiking networks and, with the triangle surrogate, the
    baseline of the published attacks.

    :param surrogate: slope h as a function of u - threshold.
    :param detach_reset: cut the gradient through the reset."""

    surrogate: Surrogate = field(default_factory=Triangle)
    detach_reset: bool = False
    elementwise = True
    second_derivative = True

    def slope(self, distance: Tensor, site: NeuronRef) -> Tensor:
        return self.surrogate(distance)

    def slope_in_place(self, distance: Tensor, site: NeuronRef) -> Tensor:
        if type(self).slope is not STBP.slope:
            return super().slope_in_place(distance, site)
        return self.surrogate.in_place(distance)
