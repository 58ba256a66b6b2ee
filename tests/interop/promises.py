"""What holds for every supported neuron, of a real framework or of its stand-in."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from art_snn.interop import AdaptedNetwork, adapt
from tests.interop import reference
from tests.interop.families import Case
from tests.interop.stacks import INPUTS, STEPS, Stack

EVERY = ("stbp", "pdsg", "assg", "rga", "static", "bptr", "hart", "native")


def inputs(samples: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((samples, 1, 3, INPUTS // 3), generator=generator, dtype=torch.float64)


def adapted(case: Case) -> tuple[Stack, AdaptedNetwork]:
    model = case.make()
    return model, adapt(model, **case.options)


def gradients(network: AdaptedNetwork, rule: str, x: Tensor) -> tuple[Tensor, Tensor, list]:
    """Logits, and gradients at the input and at the weights."""
    x = x.clone().requires_grad_()
    model = network.model
    with network.using(rule):
        logits = network(x)
    factors = torch.linspace(-1, 1.3, logits.shape[1], dtype=logits.dtype)
    found = torch.autograd.grad((logits * factors).sum(), (x, *model.weights))
    return logits.detach(), found[0], list(found[1:])


def alone(case: Case, x: Tensor) -> Tensor:
    """Logits of a fresh model of that kind, of which nothing is adapted."""
    with torch.no_grad():
        model = case.make()
        repeated = case.options.get("encoder", "direct") is not None
        return model(x.expand(STEPS, *x.shape) if repeated else x).mean(0)


def assert_equations(case: Case, rule: str) -> None:
    """Logits and gradients are those of the equations written down by hand."""
    if rule in case.refused:
        return assert_refused(case, rule)
    model, network = adapted(case)
    x = inputs()
    logits, grad, of_weights = gradients(network, rule, x)
    x.requires_grad_()
    wanted = reference.logits(model.weights, case.equations, STEPS, x, rule)
    factors = torch.linspace(-1, 1.3, logits.shape[1], dtype=logits.dtype)
    by_hand = torch.autograd.grad((wanted * factors).sum(), (x, *model.weights))
    torch.testing.assert_close(logits, wanted.detach(), rtol=0, atol=case.tolerance)
    for got, expected in zip((grad, *of_weights), by_hand, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=case.tolerance)
    assert grad.any()
    return None


def assert_refused(case: Case, rule: str) -> None:
    """A rule that does not apply is refused by the name of the neuron."""
    _, network = adapted(case)
    with pytest.raises(ValueError, match=r"neuron1.* obey other equations.* Take STBP or HART"):
        gradients(network, rule, inputs())


def assert_same_logits(case: Case, rule: str) -> None:
    """They are the model's own, bit for bit, under a rule and without, and nothing is left."""
    if rule in case.refused:
        return assert_refused(case, rule)
    x = inputs()
    wanted = alone(case, x)
    model, network = adapted(case)
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    kept = [dict(vars(module)) for module in model.modules()]
    for _ in range(2):
        with torch.no_grad():
            assert torch.equal(network(x), wanted)
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
    return None


def assert_native(case: Case) -> None:
    """The native gradient is that of the model in training mode by plain autograd."""
    x = inputs()
    _, network = adapted(case)
    _, grad, of_weights = gradients(network, "native", x)
    other = case.make().train()
    x.requires_grad_()
    repeated = case.options.get("encoder", "direct") is not None
    logits = other(x.expand(STEPS, *x.shape) if repeated else x).mean(0)
    factors = torch.linspace(-1, 1.3, logits.shape[1], dtype=logits.dtype)
    wanted = torch.autograd.grad((logits * factors).sum(), (x, *other.weights))
    for got, expected in zip((grad, *of_weights), wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    assert grad.any()
