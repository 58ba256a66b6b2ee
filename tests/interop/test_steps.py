"""Models that call their neurons step by step: the potentials they read, the backward pass."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from art_snn.dynamics import Dynamics
from art_snn.interop import adapt
from tests.interop.neurons import FedStep, Handed, Output, Step
from tests.interop.promises import (
    OWN_TIME,
    RULES,
    close,
    filtered,
    fire,
    gradients,
    inputs,
    weighed,
)
from tests.interop.stacks import STEPS, Loop, StateLoop


class Read(Loop):
    """The potentials of a last layer of neurons are the outputs.

    :param spikes, potential: how much of both is read."""

    def __init__(self, neuron, last, gain=1.0, spikes=0.0, potential=1.0):
        super().__init__(neuron, gain)
        self.last, self.share, self.rest = last(), spikes, potential

    def begin(self) -> None:
        self.states = {}

    def layers(self, x: Tensor) -> Tensor:
        current = super().layers(x)
        spikes, *states = self.last(current, *self.states.get(self.last, ()))
        if not isinstance(self.last, Output):
            self.states[self.last] = states
        potential = getattr(states[-1], "v", states[-1])
        output = self.rest * potential
        return output + self.share * spikes if self.share else output


class ReadHanded(Read):
    """The same around neurons whose state the loop hands on."""

    fire = StateLoop.fire


def read_out(
    weights: list[Tensor], hidden: Dynamics, last: Dynamics, x: Tensor, rule: str, after: bool
) -> Tensor:
    """Mean potential of the last layer, its resets held fixed."""
    one, two, three = zip(weights[::2], weights[1::2], strict=True)
    linear = nn.functional.linear
    currents = [linear(x.flatten(1), *one) for _ in range(STEPS)]
    for layer in (two, three):
        currents = [linear(s, *layer) for s in fire(hidden, rule, currents)]
    v, outputs = torch.full_like(currents[0], last.v_start), []
    decays = last.decay if isinstance(last.decay, tuple) else (last.decay,) * STEPS
    for current, decay in zip(filtered(last, currents), decays, strict=True):
        u = decay * v + last.gain * current + last.constant
        s = (u.detach() >= last.threshold).to(u.dtype)
        taken = {"hard": u - last.v_reset, "soft": last.reset_by or last.threshold, "none": 0}
        v = u - taken[last.reset] * s
        outputs.append(v if after else u)
    return sum(outputs) / STEPS


def assert_read_out(model, hidden, last, rule, *, after, tolerance=1e-12):
    x = inputs()
    logits, grad, of_weights = gradients(adapt(model, **OWN_TIME), rule, x)
    wanted = read_out(model.weights, hidden, last, x.requires_grad_(), rule, after)
    by_hand = torch.autograd.grad(weighed(wanted), (x, *model.weights))
    close((logits, grad, *of_weights), (wanted.detach(), *by_hand), tolerance)


DECAYS = (0.9, 0.5, 1.2, 0.4)
LAST = {
    "hard": (partial(Output, 0.8, 0.25), Dynamics(0.8, 0.25)),
    "soft": (
        partial(Output, 0.8, 0.25, reset="soft"),
        Dynamics(0.8, 0.25, reset="soft", reset_by=0.25),
    ),
    "none": (partial(Output, 0.8, reset="none"), Dynamics(0.8, reset="none")),
    "decay of a step": (partial(FedStep, DECAYS, 0.25), Dynamics(DECAYS, 0.25)),
    "after the reset": (partial(Handed, 0.8, 0.25), Dynamics(0.8, 0.25)),
}


NO_CURVE = {("decay of a step", "rga"), ("decay of a step", "static")}


@pytest.mark.parametrize(("last", "rule"), sorted({*product(LAST, RULES)} - NO_CURVE))
def test_potentials_are_read_out_before_or_after_the_reset(last, rule):
    make, equations = LAST[last]
    after = last == "after the reset"
    assert_read_out(Read(Step, make), Dynamics(0.5), equations, rule, after=after)


def test_spikes_and_potentials_may_both_be_read():
    both, potentials, spikes = (
        gradients(adapt(Read(Step, Output, spikes=s, potential=p), **OWN_TIME), "rga", inputs())
        for s, p in ((0.5, 1.0), (0.0, 1.0), (0.5, 0.0))
    )
    torch.testing.assert_close(both[1], potentials[1] + spikes[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["rga", "stbp"])
def test_gradients_of_weights_are_computed_only_where_they_are_wanted(rule):
    network, x = adapt(Loop(Step), **OWN_TIME, gradient=rule), inputs().requires_grad_()
    weights, products = network.layers.weights, []
    gradients(network, rule, inputs())
    for constant, wanted in ((False, [x, *weights]), (False, [x]), (True, [x])):
        with network.constant_weights() if constant else nullcontext():
            logits = network(x)
        with FlopCounterMode(display=False) as counting:
            torch.autograd.grad(logits.sum(), wanted)
        products.append(counting.get_total_flops())
    both, alone, constant = products
    assert 0 < alone == constant < both
    with network.constant_weights():
        network(x).sum().backward()
    assert all(weight.grad is None for weight in weights)


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart"])
def test_a_graph_may_be_gone_back_through_twice(rule):
    network = adapt(Loop(Step), **OWN_TIME)
    x = inputs().requires_grad_()
    with network.using(rule):
        logits = network(x)
    one, two = (torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True) for k in (0, 1))
    (both,) = torch.autograd.grad(logits[:, :2].sum(), x)
    torch.testing.assert_close(one[0] + two[0], both)


def test_two_graphs_that_live_at_once_do_not_mix():
    network = adapt(Loop(Step), **OWN_TIME)
    one, two = inputs()[:2], inputs()[2:]
    wanted = [gradients(network, "hart", x)[1] for x in (one, two)]
    given = [x.clone().requires_grad_() for x in (one, two)]
    with network.using("hart"):
        logits = [network(x) for x in given]
    for k in (1, 0):
        (grad,) = torch.autograd.grad(weighed(logits[k]), given[k])
        assert torch.equal(grad, wanted[k])
