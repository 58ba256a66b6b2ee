"""Native: the gradient that a network of another framework has by itself."""

from dataclasses import dataclass

from torch import Tensor

from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Body, Execution, Gradient, native_firing


@dataclass(frozen=True)
class Native(Gradient):
    """The gradient of a network's own modules: the surrogate that its framework gave them.

    For networks that :func:`art_snn.interop.adapt` took from another framework. Neurons that cut
    their surrogate outside of training are in training mode for the time of the pass."""

    second_derivative = True
    """As far as its framework's surrogates have one, which are none of ours."""

    def logits(self, body: Body, x: Tensor) -> Tensor:
        body.execution = Execution("native", "the modules differentiate themselves")
        return body.run(body.encode(x), native_firing)

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        if dynamics.foreign:
            return None
        return (
            "it is for networks of other frameworks, and these neurons are art_snn's own"
        )
