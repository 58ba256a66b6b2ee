"""Three affine layers with two layers of neurons between, one time step at a time, in float64.

The equations of a neuron are written down by hand for every case: nothing is read off a module."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from art_snn.dynamics import Dynamics
from tests.oracles import bptr_neuron, hart_neuron, rga_neuron, static_neuron, stbp_neuron

RULES = {
    "stbp": stbp_neuron,
    "rga": rga_neuron,
    "static": static_neuron,
    "bptr": bptr_neuron,
    "hart": hart_neuron,
}
"""How a layer of neurons is differentiated, by the name of the rule."""


def logits(weights: list[Tensor], equations: Dynamics, steps: int, x: Tensor, rule: str) -> Tensor:
    """[N, ...] -> [N, K], the mean over time, differentiable by the rule.

    :param weights: weight and bias of three affine layers."""
    fire, height = RULES[rule], equations.amplitude
    one, two, three = zip(weights[::2], weights[1::2], strict=True)
    currents = [linear(x.flatten(1), *one) for _ in range(steps)]
    currents = [linear(height * s, *two) for s in fire(equations, currents)]
    outputs = [linear(height * s, *three) for s in fire(equations, currents)]
    return sum(outputs) / steps
