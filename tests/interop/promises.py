"""Promises for every supported neuron, of a framework or registered.

A module that imports these tests by * and has CASES is tested for each of those."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from art_snn.dynamics import Dynamics
from art_snn.interop import adapt
from art_snn.network import SpikingNetwork
from tests.interop.stacks import INPUTS, STEPS, Stack
from tests.oracles import bptr_neuron, hart_neuron, rga_neuron, static_neuron, stbp_neuron

__all__ = [
    "pytest_generate_tests",
    "test_gradients_are_those_of_the_equations",
    "test_logits_are_the_models_own_and_nothing_is_left",
    "test_the_native_gradient_is_that_of_training_mode",
]
RULES = {
    "stbp": stbp_neuron,
    "rga": rga_neuron,
    "static": static_neuron,
    "bptr": bptr_neuron,
    "hart": hart_neuron,
}
"""How a layer of neurons is differentiated, by the name of the rule."""
EVERY = ("stbp", "pdsg", "assg", "rga", "static", "bptr", "hart", "native")

OWN_TIME = {"encoder": None, "readout": "mean"}
ALL_STEPS = {"steps": STEPS}


@dataclass(frozen=True)
class Case:
    """A network of one kind of neurons.

    :param make: builds the model, in float64 and evaluation mode.
    :param options: of adapt.
    :param tolerance: of the reference; single precision where a framework has nothing else.
    :param refused: rules that do not apply."""

    name: str
    make: Callable[[], Stack]
    equations: Dynamics
    options: dict[str, Any] = field(default_factory=lambda: dict(ALL_STEPS))
    tolerance: float = 1e-9
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def inputs(samples: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((samples, 1, 3, INPUTS // 3), generator=generator, dtype=torch.float64)


def weighed(logits: Tensor) -> Tensor:
    """A sum of the logits [N, K] in which none cancels another."""
    return (logits * torch.linspace(-1, 1.3, logits.shape[1], dtype=logits.dtype)).sum()


def close(results: Iterable[Tensor], wanted: Iterable[Tensor], tolerance: float = 1e-12) -> None:
    """The same results, to within a tolerance, of which none is all zero."""
    for got, expected in zip(results, wanted, strict=True):
        assert expected.any()
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def answer(network: SpikingNetwork, rule: str | None, x: Tensor) -> Tensor:
    """Logits of a gradient pass, or of a prediction."""
    if rule is not None:
        return gradient(network, rule, x)[0]
    with torch.no_grad():
        return network(x)


def filtered(equations: Dynamics, xs: list[Tensor]) -> list[Tensor]:
    """Synaptic currents by the equation, differentiable by plain autograd."""
    currents = [xs[0]]
    for x in xs[1:]:
        currents.append(equations.synapse * currents[-1] + x)
    return currents


def fire(equations: Dynamics, rule: str, xs: list[Tensor]) -> list[Tensor]:
    """Spikes of a layer, whose synapse comes before the neurons that the rule differentiates."""
    return RULES[rule](replace(equations, synapse=0.0), filtered(equations, xs))


def by_hand(weights: list[Tensor], equations: Dynamics, x: Tensor, rule: str) -> Tensor:
    """Logits [N, K] of a stack, differentiable by the rule; nothing is read off a module.

    :param weights: weight and bias of three affine layers."""
    height = equations.amplitude
    one, two, three = zip(weights[::2], weights[1::2], strict=True)
    currents = [linear(x.flatten(1), *one) for _ in range(STEPS)]
    currents = [linear(height * s, *two) for s in fire(equations, rule, currents)]
    outputs = [linear(height * s, *three) for s in fire(equations, rule, currents)]
    return sum(outputs) / STEPS


def adapted(case: Case) -> tuple[Stack, SpikingNetwork]:
    model = case.make()
    return model, adapt(model, **case.options)


def gradients(network: SpikingNetwork, rule: str, x: Tensor) -> tuple[Tensor, Tensor, list]:
    """Logits, and gradients at the input and at the weights."""
    logits, grad, *of_weights = gradient(network, rule, x, *network.layers.weights)
    return logits, grad, of_weights


def gradient(network: SpikingNetwork, rule: str, x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
    """Logits, and gradients at the input and at those weights."""
    x = x.clone().requires_grad_()
    with network.using(rule):
        logits = network(x)
    return logits.detach(), *torch.autograd.grad(weighed(logits), (x, *weights))


def alone(case: Case, model: Stack, x: Tensor) -> Tensor:
    """Logits of a fresh model of that kind, of which nothing is adapted."""
    repeated = case.options.get("encoder", "direct") is not None
    return model(x.expand(STEPS, *x.shape) if repeated else x).mean(0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = metafunc.module.CASES
        metafunc.parametrize("case", cases, ids=[getattr(case, "name", None) for case in cases])


@pytest.mark.parametrize("rule", RULES)
def test_gradients_are_those_of_the_equations(case: Case, rule: str) -> None:
    model, network = adapted(case)
    x = inputs()
    if rule in case.refused:
        with pytest.raises(ValueError, match=r"neuron1.*(equations|every step)"):
            gradients(network, rule, x)
        return
    logits, grad, of_weights = gradients(network, rule, x)
    x.requires_grad_()
    wanted = by_hand(model.weights, case.equations, x, rule)
    grads = torch.autograd.grad(weighed(wanted), (x, *model.weights))
    close((logits, grad, *of_weights), (wanted.detach(), *grads), case.tolerance)


@pytest.mark.parametrize("rule", EVERY)
def test_logits_are_the_models_own_and_nothing_is_left(case: Case, rule: str) -> None:
    if rule in case.refused:
        return  # The equations' test covers these.
    x = inputs()
    wanted = alone(case, case.make(), x).detach()
    model, network = adapted(case)
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    kept = [dict(vars(module)) for module in model.modules()]
    for _ in range(2):
        assert torch.equal(answer(network, None, x), wanted)
        logits, _, _ = gradients(network, rule, x)
        assert torch.equal(logits, wanted)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [module.training for module in model.modules()] == modes
    for module, earlier in zip(model.modules(), kept, strict=True):
        now = {name: value for name, value in vars(module).items() if name != "states"}
        assert now.keys() == earlier.keys()
        assert all(now[name] is earlier[name] for name in now)


def test_the_native_gradient_is_that_of_training_mode(case: Case) -> None:
    x = inputs()
    _, network = adapted(case)
    _, grad, of_weights = gradients(network, "native", x)
    other = case.make().train()
    logits = alone(case, other, x.requires_grad_())
    close((grad, *of_weights), torch.autograd.grad(weighed(logits), (x, *other.weights)), 1e-9)
