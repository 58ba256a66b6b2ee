"""CBA: the gradient of the ANN that a spiking network could have been converted from."""

from dataclasses import dataclass

from torch import Tensor

from art_snn.checks import require_count
from art_snn.dynamics import Dynamics, operand
from art_snn.gradients.rate import Conversion
from art_snn.gradients.shared import straight_through


@dataclass(frozen=True, kw_only=True)
class CBA(Conversion):
    """Conversion-based approximation (compared in Bu et al., CVPR 2023): differentiate an ANN.

    The ANN has the same weights, and in place of every neuron the quantised activation ::

        floor(levels clip(x / threshold, 0, 1) + 1/2) / levels

    differentiated straight through, with slope 1 / threshold on 0 <= x <= threshold. It
    is clipped at the most spikes of a step, where these are several. Its forward pass is
    the ANN's, so **its logits are not those of the spiking network**; predictions still
    are. Only for IF neurons does such an ANN approximate the network.

    :param levels: quantisation levels L of the activation, a whole number up to 2**16."""

    levels: int = 8

    def __post_init__(self) -> None:
        require_count(
            "levels",
            self.levels,
            up_to=2**16,
            remedy="The conversion of the papers uses 8 levels.",
        )

    def activation(self, current: Tensor, dynamics: Dynamics) -> Tensor:
        scaled = current.div(operand(dynamics.threshold, current))
        clipped = scaled.detach().clamp(0, dynamics.max_spikes)
        levels = clipped.mul(self.levels).add_(0.5).floor_().div_(self.levels)
        # At its ends clamp has slope 1 before torch 2.15, and 0 since.
        return straight_through(levels, scaled.where(scaled == clipped, 0))

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        objection = super().objection(dynamics, encoder)
        if objection is None and dynamics.decay != 1:
            return "conversion to an ANN approximates IF neurons only (decay 1)"
        return objection
