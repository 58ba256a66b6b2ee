"""Engine of the rules that differentiate an ANN in place of the spiking network."""

from abc import abstractmethod

from torch import Tensor

from art_snn.dynamics import Dynamics, Setting
from art_snn.gradients.base import Differentiable, Execution, Gradient, Site
from art_snn.gradients.rate import curve_objection
from art_snn.gradients.shared import mean_over_time


class Conversion(Gradient):
    """A rule that differentiates an ANN of the same weights, run once on the mean of the input.

    Its forward pass is the ANN's, so **its logits are not those of the spiking network**;
    predictions need no gradient, and still are. A new rule overrides :meth:`activation`."""

    @property
    def exact_logits(self) -> bool:
        return False

    @property
    def second_derivative(self) -> bool:
        return True

    @abstractmethod
    def activation(self, current: Tensor, threshold: Setting) -> Tensor:
        """The neuron of the ANN: current [1, N, ...] -> activation [1, N, ...]."""

    def logits(self, network: Differentiable, x: Tensor) -> Tensor:
        network.execution = Execution("converted", "the gradient is that of an ANN, run once")
        return network.run(mean_over_time(network.encode(x)), self._activate)

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        return curve_objection(dynamics)

    def _activate(self, site: Site, current: Tensor) -> Tensor:
        dynamics = site.dynamics
        if not dynamics.is_standard:
            current, dynamics = dynamics.effective(current), dynamics.standard
        return self.activation(current, dynamics.threshold)
