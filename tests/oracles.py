"""Naive implementations that share no code with the package: one time step at a time."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from art_snn import Ablation, Direct, Frames, Frequency, Poisson, TimeDistributed
from art_snn.dynamics import Dynamics
from art_snn.models import Residual as Branches
from art_snn.modulation import Gains, Gates, Noise
from art_snn.neurons import Neuron
from tests.architectures import Residual, Switch

Steps = list[Tensor]
NaiveNeuron = Callable[[Dynamics, Steps], Steps]


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


def triangle(z: Tensor) -> Tensor:
    """A spike at z >= 0 with the slope max(1 - |z|, 0)."""
    fired: Tensor = _Scaled.apply(z, (z >= 0).to(z.dtype), torch.clamp(1 - z.detach().abs(), min=0))
    return fired


def stbp_neuron(dynamics, xs, *, detach_reset=False, fire=triangle):
    """Plain autograd through the state equations; `fire` gives the spikes at u - threshold."""
    return _run(dynamics, xs, fire, detach_reset)[0]


def _run(dynamics, xs, fire=triangle, detach_reset=False):
    """Spikes by the state equations, and the mean charge that a floor added."""
    decays = dynamics.decay if isinstance(dynamics.decay, tuple) else (dynamics.decay,) * len(xs)
    v, spikes, added = torch.zeros_like(xs[0]) + dynamics.v_start, [], 0.0
    # Where there may be any number, more than there are.
    thresholds = range(1, 1 + (dynamics.max_spikes or 60))
    for x, decay in zip(xs, decays, strict=True):
        u = w = decay * v + dynamics.gain * x + dynamics.constant
        # The least number below zero makes a threshold strict.
        z = u - 1e-15 if dynamics.strict else u
        first, *more = (fire(z - j * dynamics.threshold) for j in thresholds)
        spikes.append(sum(more, first))
        s = first if dynamics.reset == "hard" else spikes[-1]
        s = s.detach() if detach_reset else s
        if dynamics.reset == "hard":
            w = u * (1 - s) + dynamics.v_reset * s
        elif dynamics.reset == "soft":
            w = u - (dynamics.reset_by or dynamics.threshold) * s
        v = w if dynamics.floor is None else torch.where(w > dynamics.floor, w, dynamics.floor)
        added = added + (v - w).detach() / len(xs)
    return spikes, added


def _plain(dynamics, xs, added=0.0):
    """A plain neuron at rest zero, and the mean current at which it fires as often."""
    origin = dynamics.v_reset
    if dynamics.reset == "soft":
        origin = dynamics.threshold - (dynamics.reset_by or dynamics.threshold)
    plain = Dynamics(dynamics.decay, dynamics.threshold - origin, max_spikes=dynamics.max_spikes)
    mean = dynamics.gain * sum(xs) / len(xs) + dynamics.constant + added
    return plain, mean - (1 - dynamics.decay) * origin


def straight_through(z: Tensor) -> Tensor:
    """A spike at z >= 0 with the slope 1, by the arithmetic of autograd alone."""
    return (z >= 0).to(z.dtype) + (z - z.detach())


def exponential(z: Tensor, gamma: float = 1.0, height: float = 1.0) -> Tensor:
    """A spike at z >= 0 with the slope height exp(-gamma |z|)."""
    slope = height * torch.exp(-gamma * z.detach().abs())
    fired: Tensor = _Scaled.apply(z, (z >= 0).to(z.dtype), slope)
    return fired


def rga_slope(dynamics: Dynamics, mean: Tensor, beta: float = 2.0, gamma: float = 0.2) -> Tensor:
    """Equation S8; the curve of several spikes ends at all their thresholds."""
    knee, most = (1 - dynamics.decay) * dynamics.threshold, dynamics.max_spikes or math.inf
    end = (beta if most == 1 else most) * dynamics.threshold
    slope = 1 / dynamics.threshold if most == math.inf else (most - gamma * knee) / (end - knee)
    below, above = (mean >= 0) & (mean <= knee), (mean > knee) & (mean <= end)
    return gamma * below.to(mean.dtype) + slope * above.to(mean.dtype)


def rga_neuron(dynamics: Dynamics, xs: Steps) -> Steps:
    """Every step's gradient times the slope at the mean current."""
    return _at_every_step(dynamics, xs, lambda _, added: rga_slope(*_plain(dynamics, xs, added)))


def bptr_neuron(dynamics: Dynamics, xs: Steps) -> Steps:
    """Every step's gradient as it is, where the neuron fired at all."""
    return _at_every_step(dynamics, xs, lambda spikes, _: (sum(spikes) != 0).to(xs[0].dtype))


def static_neuron(dynamics: Dynamics, xs: Steps, *, limit: float = 2.0) -> Steps:
    """Every step's gradient times the derivative of the static curve at the mean current."""
    slope = partial(static_slope, limit=limit)
    return _at_every_step(dynamics, xs, lambda _, added: slope(*_plain(dynamics, xs, added)))


def static_slope(dynamics: Dynamics, mean: Tensor, limit: float = 2.0) -> Tensor:
    """The derivative of the static curve, element by element."""
    slopes = [_static_slope_at(dynamics, current, limit) for current in mean.flatten().tolist()]
    return torch.tensor(slopes, dtype=mean.dtype).view(mean.shape)


def _static_slope_at(dynamics: Dynamics, current: float, limit: float) -> float:
    """Derivative of ln(decay) / ln(1 - knee / I), by the chain rule, and not above the limit."""
    decay, threshold = dynamics.decay, dynamics.threshold
    if decay == 1:
        return (0 <= current <= threshold * (dynamics.max_spikes or math.inf)) / threshold
    knee = threshold * (1 - decay)
    if not knee < current <= threshold:
        return 0.0
    inner = 1 - knee / current
    outer = -math.log(decay) / math.log(inner) ** 2
    return min(outer / inner * knee / current**2, limit / (threshold * decay))


def hart_neuron(dynamics: Dynamics, xs: Steps, *, width: float = 1.0) -> Steps:
    """At every step the mean over all steps of the gradient times the triangle's slope."""
    slopes: Steps = []

    def fire(z: Tensor) -> Tensor:
        slopes.append(dynamics.gain * torch.clamp(width - z.abs(), min=0) / width**2)
        return (z >= 0).to(z.dtype)

    with torch.no_grad():
        spikes = stbp_neuron(dynamics, xs, fire=fire)
    of_steps = torch.stack(slopes).unflatten(0, (len(xs), -1)).sum(1)
    mean = sum(xs) / len(xs)
    return [_Scaled.apply(mean, s, slope) for s, slope in zip(spikes, of_steps, strict=True)]


def pdsg_neuron(dynamics, xs, *, per_sample=False, detach_reset=False):
    """Autograd through the state equations, with a slope from all potentials so far."""
    past: Steps = []

    def fire(z: Tensor) -> Tensor:
        past.append(z.detach() + dynamics.threshold)
        sigma = deviation(past, per_sample)
        power = -((z.detach() - sigma / 2) ** 2) / (2 * sigma**2)
        slope = torch.exp(power) / (math.sqrt(2 * math.pi) * sigma)
        fired: Tensor = _Scaled.apply(z, (z >= 0).to(z.dtype), slope)
        return fired

    return stbp_neuron(dynamics, xs, detach_reset=detach_reset, fire=fire)


def deviation(past: Steps, per_sample: bool) -> Tensor:
    """torch.std of each channel of all tensors [N, C, ...], 1 where it is 0 or undefined."""
    whole = torch.stack(past)
    sigma = torch.ones_like(past[0])
    for n in range(whole.shape[1]):
        for c in range(whole.shape[2]):
            values = whole[:, n, c] if per_sample else whole[:, :, c]
            # The deviation of equal numbers may come out as one rounding instead of 0.
            if values.max() > values.min():
                sigma[n, c] = values.std()
    return sigma


def ann_neuron(dynamics: Dynamics, xs: Steps, *, levels: int = 8) -> Steps:
    """Plain autograd through a clipped line, quantised behind the graph's back."""
    lines = [line.clamp(0, dynamics.max_spikes) for line in _lines(dynamics, xs)]
    steps = [torch.floor(levels * line.detach() + 0.5) / levels for line in lines]
    return [line + (step - line.detach()) for line, step in zip(lines, steps, strict=True)]


def relu_neuron(dynamics: Dynamics, xs: Steps) -> Steps:
    """Plain autograd through a rectifier over the threshold."""
    return [torch.where(line > 0, line, 0.0) for line in _lines(dynamics, xs)]


def _lines(dynamics: Dynamics, xs: Steps) -> Steps:
    """What arrives at every step, in thresholds."""
    seen = [_plain(dynamics, [x]) for x in xs]
    return [current / plain.threshold for plain, current in seen]


def _at_every_step(dynamics: Dynamics, xs: Steps, slope: Callable[..., Tensor]) -> Steps:
    """The spikes, with every step's gradient times a slope that follows from them."""
    with torch.no_grad():
        spikes, added = _run(dynamics, xs)
        factor = dynamics.gain * slope(spikes, added)
    return [_Scaled.apply(x, s, factor) for x, s in zip(xs, spikes, strict=True)]


def encode(encoder: Any, x: Tensor, dtype: torch.dtype) -> Steps:
    """Time steps as the encoders make them, with their draws in `dtype`."""
    if isinstance(encoder, Ablation):
        mask = torch.rand(x.shape, dtype=torch.float32) < encoder.keep
        return [a * b for a, b in zip(x.unbind(1), mask.unbind(1), strict=True)]
    if isinstance(encoder, Frames):
        return list(x.unbind(1))
    if isinstance(encoder, Frequency):
        return list(encoder(x))  # Its gradient is compared elsewhere.
    if isinstance(encoder, Direct):
        return [x.clone() for _ in range(encoder.steps)]
    assert isinstance(encoder, Poisson)
    draws = torch.rand((encoder.steps, *x.shape), dtype=dtype)
    below = (encoder.levels * x.detach().to(dtype)).floor()
    up = draws < encoder.levels * x.detach().to(dtype) - below
    return [s + (x - x.detach()) for s in ((below + up) / encoder.levels).to(x.dtype)]


def walk(module: nn.Module, xs: Steps, neuron: NaiveNeuron, spikes: list[Tensor]) -> Steps:
    """The module applied step by step; the spikes of every neuron call are appended."""
    if isinstance(module, Neuron):
        out = neuron(module.dynamics, xs)
        spikes.append(torch.stack(out).detach())
        return out
    if isinstance(module, TimeDistributed):
        return [module.module(x) for x in xs]
    if isinstance(module, Residual | Branches):
        body = walk(module.body, xs, neuron, spikes)
        others = walk(module.shortcut, xs, neuron, spikes) if isinstance(module, Branches) else xs
        return [a + b for a, b in zip(body, others, strict=True)]
    if isinstance(module, Gains):
        gains = module.gain if len(xs) > 1 else [sum(module.gain) / len(module.gain)]
        return [gain * x for gain, x in zip(gains, xs, strict=True)]
    if isinstance(module, Gates):
        draws = torch.rand((len(xs), *xs[0].shape), dtype=xs[0].dtype)
        return [x * (u > 1.001 - module.rho) for u, x in zip(draws, xs, strict=True)]
    if isinstance(module, Switch | Noise):
        return xs
    assert isinstance(module, nn.Sequential), module
    for child in module:
        xs = walk(child, xs, neuron, spikes)
    return xs


class Result:
    """Logits [N, K], gradients of one fixed loss at input and weights, and all spikes."""

    def __init__(self, logits, x, parameters, spikes):
        self.logits, self.spikes = logits.detach(), spikes
        ramp = torch.arange(1, 1 + logits.shape[1], dtype=logits.dtype)
        loss = (logits * ramp).sum() + logits.square().sum()
        self.input, *self.weights = torch.autograd.grad(loss, [x, *parameters])


def naive(network, x, neuron, *, seed=0, draws=torch.float64, averaged=False):
    """The network by naive loops; `averaged` runs it once, on the mean of its time steps."""
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    spikes: list[Tensor] = []
    steps = encode(network.encoder, x, draws)
    steps = [sum(steps) / len(steps)] if averaged else steps
    outputs = walk(network.layers, steps, neuron, spikes)
    logits = sum(outputs) / len(outputs)
    return Result(logits, x, list(network.parameters()), spikes)


def result(network, x, logits=None, *, seed=0):
    """The same of the package; `logits` maps encoded inputs to logits, default: network(x).

    Gradients at the weights are among what is compared."""
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
