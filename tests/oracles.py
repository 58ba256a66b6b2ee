"""Naive implementations that share no code with the package: one time step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from art_snn import Direct, Frames, Poisson, SpikingNetwork, TimeDistributed
from art_snn.dynamics import Dynamics
from art_snn.neurons import Neuron
from tests.architectures import Residual, Switch

Steps = list[Tensor]
NaiveNeuron = Callable[[Dynamics, Steps], Steps]


class _Triangle(torch.autograd.Function):
    """A spike at z >= 0 with the slope max(1 - |z|, 0)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad * torch.clamp(1 - z.abs(), min=0)


class _Scaled(torch.autograd.Function):
    """Given spikes forward; the gradient times a given slope backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, spikes: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return spikes.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None


def stbp_neuron(dynamics: Dynamics, xs: Steps, *, detach_reset: bool = False) -> Steps:
    """Plain autograd through the state equations."""
    v, spikes = torch.zeros_like(xs[0]), []
    for x in xs:
        u = dynamics.decay * v + x
        s = _Triangle.apply(u - dynamics.threshold)
        reset = s.detach() if detach_reset else s
        v = u * (1 - reset) if dynamics.reset == "hard" else u - dynamics.threshold * reset
        spikes.append(s)
    return spikes


def rga_slope(dynamics: Dynamics, mean: Tensor, beta: float = 2.0, gamma: float = 0.2) -> Tensor:
    """Equation S8, element by element."""
    decay, threshold = dynamics.decay, dynamics.threshold
    slopes = []
    for current in mean.flatten().tolist():
        if 0 <= current <= (1 - decay) * threshold:
            slopes.append(gamma)
        elif (1 - decay) * threshold < current <= beta * threshold:
            top = 1 - gamma * threshold + gamma * threshold * decay
            slopes.append(top / ((beta + decay - 1) * threshold))
        else:
            slopes.append(0.0)
    return torch.tensor(slopes, dtype=mean.dtype).view(mean.shape)


def rga_neuron(dynamics: Dynamics, xs: Steps) -> Steps:
    """Every step's gradient times the slope at the mean current."""
    with torch.no_grad():
        spikes = stbp_neuron(dynamics, xs)
        slope = rga_slope(dynamics, sum(xs) / len(xs))
    return [_Scaled.apply(x, s, slope) for x, s in zip(xs, spikes, strict=True)]


def encode(encoder: Any, x: Tensor, dtype: torch.dtype) -> Steps:
    """Time steps as the encoders make them, with Poisson draws in `dtype`."""
    if isinstance(encoder, Frames):
        return list(x.unbind(1))
    if isinstance(encoder, Direct):
        return [x.clone() for _ in range(encoder.steps)]
    assert isinstance(encoder, Poisson)
    draws = torch.rand((encoder.steps, *x.shape), dtype=dtype)
    spikes = (draws < x.detach().to(dtype)).to(x.dtype)
    return [s + (x - x.detach()) for s in spikes]


def walk(module: nn.Module, xs: Steps, neuron: NaiveNeuron, spikes: list[Tensor]) -> Steps:
    """The module applied step by step; the spikes of every neuron call are appended."""
    if isinstance(module, Neuron):
        out = neuron(module.dynamics, xs)
        spikes.append(torch.stack(out).detach())
        return out
    if isinstance(module, TimeDistributed):
        return [module.module(x) for x in xs]
    if isinstance(module, Residual):
        return [a + b for a, b in zip(xs, walk(module.body, xs, neuron, spikes), strict=True)]
    if isinstance(module, Switch):
        return xs
    assert isinstance(module, nn.Sequential), module
    for child in module:
        xs = walk(child, xs, neuron, spikes)
    return xs


class Result:
    """Logits [N, K], gradients of one fixed loss at input and weights, and all spikes."""

    def __init__(
        self, logits: Tensor, x: Tensor, parameters: list[nn.Parameter], spikes: list[Tensor]
    ) -> None:
        self.logits, self.spikes = logits.detach(), spikes
        ramp = torch.arange(1, 1 + logits.shape[1], dtype=logits.dtype)
        loss = (logits * ramp).sum() + logits.square().sum()
        self.input, *self.weights = torch.autograd.grad(loss, [x, *parameters])


def naive(
    network: SpikingNetwork,
    x: Tensor,
    neuron: NaiveNeuron,
    *,
    seed: int = 0,
    draws: torch.dtype = torch.float64,
) -> Result:
    """The network by naive loops."""
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    spikes: list[Tensor] = []
    outputs = walk(network.layers, encode(network.encoder, x, draws), neuron, spikes)
    logits = sum(outputs) / len(outputs)
    return Result(logits, x, list(network.parameters()), spikes)


def result(
    network: SpikingNetwork,
    x: Tensor,
    logits: Callable[[Tensor], Tensor] | None = None,
    *,
    seed: int = 0,
) -> Result:
    """The same of the package; `logits` maps encoded inputs to logits, default: network(x)."""
    x = x.detach().clone().requires_grad_()
    spikes: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _m, _a, out: spikes.append(out.detach()))
        for module in network.modules()
        if isinstance(module, Neuron)
    ]
    torch.manual_seed(seed)
    try:
        y = network(x) if logits is None else logits(network.encoder(x))
    finally:
        for hook in hooks:
            hook.remove()
    return Result(y, x, list(network.parameters()), spikes)


def relative(got: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value, which must not be zero."""
    assert got.shape == expected.shape
    largest = expected.abs().max().item()
    assert largest > 0, "a gradient of zero compares nothing"
    return (got.detach().double() - expected.double()).abs().max().item() / largest


def assert_close(got: Result, expected: Result, tolerance: float) -> None:
    """Same logits, same input gradient, same gradient of every weight."""
    assert relative(got.logits, expected.logits) < tolerance
    assert relative(got.input, expected.input) < tolerance
    scale = max(w.abs().max().item() for w in expected.weights)
    assert scale > 0
    for ours, theirs in zip(got.weights, expected.weights, strict=True):
        assert (ours.double() - theirs.double()).abs().max().item() / scale < tolerance


def assert_same_spikes(got: Result, expected: Result) -> None:
    """The spikes of every step agree, and some but not all neurons fire."""
    steps = expected.spikes[0].shape[0]
    recorded = [s for s in got.spikes if s.shape[0] == steps][: len(expected.spikes)]
    assert len(recorded) == len(expected.spikes)
    for ours, theirs in zip(recorded, expected.spikes, strict=True):
        assert torch.equal(ours.double(), theirs.double())
    assert 0 < torch.cat([s.flatten() for s in expected.spikes]).mean() < 1
