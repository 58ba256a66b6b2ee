"""The ReLU network of the same weights, as a gradient."""

from dataclasses import dataclass

from torch import Tensor

from art_snn.dynamics import Dynamics, operand
from art_snn.gradients.rate import Conversion


@dataclass(frozen=True, kw_only=True)
class RectifiedANN(Conversion):
    """Differentiate the ReLU network of the same weights (Ozdenizci and Legenstein, TMLR 2024).

    ``y = max(x, 0) / threshold`` replaces every neuron, with slope 1 / threshold where x
    > 0 and 0 elsewhere. Its forward pass is the ANN's, so **its logits are not those of
    the spiking network**; predictions still are.

    Up to the threshold that is the rate of an IF neuron under a constant current. For neurons with
    a leak it is no approximation, but one more direction, as in the authors' ensemble."""

    def activation(self, current: Tensor, dynamics: Dynamics) -> Tensor:
        return current.relu().div(operand(dynamics.threshold, current))
