"""Models that call their neurons step by step: the potentials they read, the backward pass."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from art_snn.interop import adapt
from tests.interop import reference
from tests.interop.promises import close, gradients, inputs, weighed
from tests.interop.reference import RULES, Equations
from tests.interop.stacks import STEPS, Loop, StateLoop
from tests.standins import norse, snntorch, spikingjelly as sj

OWN = {"encoder": None, "readout": "mean"}
BETA = float(torch.tensor(0.8))


class Read(StateLoop):
    """The potentials of a last layer of neurons are the outputs."""

    def __init__(self, neuron, last, gain=1.0):
        super().__init__(neuron, gain)
        self.last = last()

    def layers(self, x: Tensor) -> Tensor:
        current = super().layers(x)
        _, state = self.states[self.last] = self.last(current, self.states.get(self.last))
        self.states[self.last] = state
        return state if isinstance(state, Tensor) else state.v


def read_out(
    weights: list[Tensor], hidden: Equations, last: Equations, x: Tensor, rule: str, after: bool
) -> Tensor:
    """Mean potential of the last layer, its resets held fixed."""
    one, two, three = zip(weights[::2], weights[1::2], strict=True)
    linear = nn.functional.linear
    currents = [linear(x.flatten(1), *one) for _ in range(STEPS)]
    for layer in (two, three):
        currents = [linear(s, *layer) for s in RULES[rule](hidden, currents)]
    v, outputs = torch.full_like(currents[0], last.start), []
    for current in currents:
        u = last.decay * v + last.gain * current + last.constant
        s = (u.detach() >= last.threshold).to(u.dtype)
        v = u * (1 - s) + last.rest * s if last.reset == "hard" else u - last.drop * s
        outputs.append(v if after else u)
    return sum(outputs) / STEPS


LAST = {
    "subtract": (
        partial(snntorch.Leaky, 0.8, threshold=0.3),
        Equations(
            BETA, float(torch.tensor(0.3)), reset="soft", drop=float(torch.tensor(0.3)) / BETA
        ),
    ),
    "zero": (
        partial(snntorch.Leaky, 0.8, threshold=0.25, reset_mechanism="zero"),
        Equations(BETA, 0.25),
    ),
    "none": (partial(snntorch.Leaky, 0.8, reset_mechanism="none"), Equations(BETA, reset="none")),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("last", LAST)
def test_potentials_of_snntorch_are_read_out_before_the_reset(last, rule):
    hidden = Equations(BETA)
    make = partial(snntorch.Leaky, 0.8, reset_mechanism="zero")
    assert_read_out(Read(make, LAST[last][0]), hidden, LAST[last][1], rule, after=False)


@pytest.mark.parametrize("rule", RULES)
def test_potentials_of_norse_are_read_out_behind_the_reset(rule):
    share = float(0.001 * torch.tensor(300.0))
    p = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0), v_th=torch.tensor(0.25))
    equations = Equations(1 - share, 0.25, gain=share)
    model = Read(norse.IAFCell, partial(norse.LIFBoxCell, p))
    assert_read_out(model, Equations(1.0), equations, rule, after=True)


def assert_read_out(model, hidden, last, rule, after):
    x = inputs()
    logits, grad, of_weights = gradients(adapt(model, **OWN), rule, x)
    wanted = read_out(model.weights, hidden, last, x.requires_grad_(), rule, after)
    by_hand = torch.autograd.grad(weighed(wanted), (x, *model.weights))
    # Spikes of snnTorch are single precision.
    close((logits, grad, *of_weights), (wanted.detach(), *by_hand), 1e-6)


def test_spikes_and_potentials_may_both_be_read():
    class Both(Read):
        def layers(self, x):
            current = super(Read, self).layers(x)
            spikes, state = self.last(current, self.states.get(self.last))
            self.states[self.last] = state
            return spikes.to(current.dtype) * 0.5 + state

    make = partial(snntorch.Leaky, 0.8, reset_mechanism="zero")
    both = gradients(adapt(Both(make, make), **OWN), "rga", inputs())
    potentials = gradients(adapt(Read(make, make), **OWN), "rga", inputs())

    class Spikes(Both):
        def layers(self, x):
            current = super(Read, self).layers(x)
            spikes, self.states[self.last] = self.last(current, self.states.get(self.last))
            return spikes.to(current.dtype) * 0.5

    spikes = gradients(adapt(Spikes(make, make), **OWN), "rga", inputs())
    torch.testing.assert_close(both[1], potentials[1] + spikes[1], rtol=0, atol=1e-6)


def test_backward_asks_for_weights_only_where_they_are_wanted(monkeypatch):
    network = adapt(Loop(partial(sj.IFNode, step_mode="s"), 2.0), **OWN)
    x = inputs().requires_grad_()
    asked = []
    grad = torch.autograd.grad

    def noting(outputs, wanted, *args, **kwargs):
        asked.extend(t for t in wanted if isinstance(t, nn.Parameter))
        return grad(outputs, wanted, *args, **kwargs)

    with network.using("rga"):
        network(x)
        logits = network(x)
    monkeypatch.setattr(torch.autograd, "grad", noting)
    (alone,) = grad(logits.sum(), x, retain_graph=True)
    assert asked == []
    logits.sum().backward()
    assert asked
    assert torch.equal(x.grad, alone)
    assert all(weight.grad is not None for weight in network.model.weights)


def test_a_graph_may_be_gone_back_through_twice():
    network = adapt(Loop(partial(sj.IFNode, step_mode="s"), 2.0), **OWN)
    x = inputs().requires_grad_()
    for rule in ("rga", "stbp", "hart"):
        with network.using(rule):
            logits = network(x)
        one, two = (torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True) for k in (0, 1))
        (both,) = torch.autograd.grad(logits[:, :2].sum(), x)
        torch.testing.assert_close(one[0] + two[0], both)


def test_two_graphs_that_live_at_once_do_not_mix():
    network = adapt(Loop(partial(sj.IFNode, step_mode="s"), 2.0), **OWN)
    one, two = inputs()[:2], inputs()[2:]
    wanted = [gradients(network, "hart", x)[1] for x in (one, two)]
    given = [x.clone().requires_grad_() for x in (one, two)]
    with network.using("hart"):
        logits = [network(x) for x in given]
    for k in (1, 0):
        (grad,) = torch.autograd.grad(weighed(logits[k]), given[k])
        assert torch.equal(grad, wanted[k])


def test_skip_connections_add_up():
    class Skipping(Loop):
        def layers(self, x):
            first = self.neuron1(self.fc1(x))
            return self.fc3(self.neuron2(self.fc2(first)) + 0.5 * first[:, :8])

    model = Skipping(partial(sj.IFNode, step_mode="s"), 2.0)
    x = inputs()
    _, grad, _ = gradients(adapt(model, **OWN), "rga", x)
    weights, equations = model.weights, Equations(1.0)
    one, two, three = zip(weights[::2], weights[1::2], strict=True)
    linear, x = nn.functional.linear, x.requires_grad_()
    first = reference.rga(equations, [linear(x.flatten(1), *one) for _ in range(STEPS)])
    second = reference.rga(equations, [linear(s, *two) for s in first])
    outputs = [linear(b + 0.5 * a[:, :8], *three) for a, b in zip(first, second, strict=True)]
    (wanted,) = torch.autograd.grad(weighed(sum(outputs) / STEPS), x)
    torch.testing.assert_close(grad, wanted, rtol=0, atol=1e-12)
