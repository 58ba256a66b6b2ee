"""Models with neurons of their own, as research code writes them: no rule knows their equations.

All spikes have the slope ``1 / (1 + 10 |z|)^2``, or none. Models map [T, N, F] to [T, N, K] unless
they say otherwise."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

FEATURES, HIDDEN, CLASSES = 12, 16, 4


class Fire(torch.autograd.Function):
    """1 where the distance from the threshold is at least 0."""

    @staticmethod
    def forward(ctx, distance):
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance)

    @staticmethod
    def backward(ctx, grad):
        (distance,) = ctx.saved_tensors
        return grad / (1 + 10 * distance.abs()).square()


class FireAt(torch.autograd.Function):
    """The same with the threshold as an argument; it saves its spikes alone, as STDB does."""

    @staticmethod
    def forward(ctx, potential, threshold, steepness):
        ctx.slope = (1 + steepness * (potential - threshold).abs()).square().reciprocal()
        return (potential >= threshold).to(potential)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.slope, None, None


class FireInside(torch.autograd.Function):
    """The same with a threshold of its own."""

    @staticmethod
    def forward(potential):
        return (potential > 1.0).to(potential)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (potential,) = ctx.saved_tensors
        return grad / (1 + 10 * (potential - 1).abs()).square()


def assign(u: Tensor) -> Tensor:
    spikes = torch.zeros_like(u)
    spikes[u >= 1] = 1
    return spikes


def hidden_from_autograd(u: Tensor) -> Tensor:
    soft = torch.sigmoid(4 * (u - 1))
    with torch.no_grad():
        gap = (u >= 1).to(u) - soft
    return soft + gap


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "function": lambda u: Fire.apply(u - 1),
    "threshold argument": lambda u: FireAt.apply(u, 1.0, 10.0),
    "threshold tensor": lambda u: FireAt.apply(u, torch.ones(HIDDEN), 10.0),
    "threshold inside": FireInside.apply,
}
ONE, NONE = torch.ones(()), torch.zeros(())
COMPARISONS: dict[str, Callable[[Tensor], Tensor]] = {
    "cast": lambda u: (u >= 1).float(),
    "turned": lambda u: (u >= 1.0).to(u.dtype),
    "product": lambda u: (u >= 1) * torch.ones_like(u),
    "number": lambda u: (u >= 1) * 1.0,
    "not below": lambda u: (~(u < 1)).type_as(u),
    "and": lambda u: ((u >= 1) & (u.detach() > -99)).float(),
    "where": lambda u: torch.where(u >= 1, 1.0, 0.0),
    "filled": lambda u: torch.zeros_like(u).masked_fill(u >= 1, 1.0),
    "assigned": assign,
    "heaviside": lambda u: torch.heaviside(u - 1, torch.ones(())),
    "sign": lambda u: (torch.sign(u - 1) + 1) / 2,
    "whole number": lambda u: (u >= 1).int().float(),
    "either": lambda u: ((u >= 1) | (u.detach() < -99)).float(),
    "one alone": lambda u: ((u >= 1) ^ (u.detach() < -99)).float(),
    "names": lambda u: torch.where(condition=torch.ge(other=ONE, input=u), other=NONE, input=ONE),
    "positive sign": lambda u: torch.sign(u - 1).relu(),
    "clamped sign": lambda u: torch.sign(u - 1).clamp(min=0),
    "view": lambda u: (u >= 1).unsqueeze(0)[0, :].float(),
}
SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gap": lambda hard, soft: (hard - soft).detach() + soft,
    "gap last": lambda hard, soft: soft + (hard - soft).detach(),
    "parts": lambda hard, soft: hard.detach() - soft.detach() + soft,
    "sum first": lambda hard, soft: soft + hard.detach() - soft.detach(),
    "soft first": lambda hard, soft: soft - soft.detach() + hard,
    "soft apart": lambda hard, soft: hard + (soft - soft.detach()),
    "taken": lambda hard, soft: soft - (soft - hard).detach(),
}


class Leaky(nn.Module):
    """Two layers of leaky neurons written into the forward; the reset is detached."""

    def __init__(self, spike: Callable[[Tensor], Tensor] = FUNCTIONS["function"]) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, HIDDEN)
        self.last = nn.Linear(HIDDEN, CLASSES)
        nn.init.normal_(self.first.weight)
        self.spike = spike

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros(x.shape[1], HIDDEN, dtype=x.dtype)
        outputs = []
        for step in x:
            u = 0.8 * v + self.first(step)
            spikes = self.spike(u)
            v = u - spikes.detach()
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class Recurrent(Leaky):
    """A synaptic current, recurrent weights and an adaptive threshold, as an LSNN has them."""

    def __init__(self) -> None:
        super().__init__()
        self.back = nn.Linear(HIDDEN, HIDDEN, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        v = i = b = spikes = torch.zeros(x.shape[1], HIDDEN, dtype=x.dtype)
        outputs = []
        for step in x:
            i = 0.7 * i + self.first(step) + self.back(spikes)
            v = 0.9 * v * (1 - spikes) + i
            b = 0.95 * b + 0.05 * spikes
            spikes = Fire.apply(v - (1 + 1.8 * b))
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class InPlace(Leaky):
    """It resets its potentials in place, after a spike that saves none."""

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros(x.shape[1], HIDDEN)
        outputs = []
        for step in x:
            v = 0.8 * v + self.first(step)
            spikes = FireAt.apply(v, 1.0, 10.0)
            v.sub_(spikes.detach())
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class RandomStart(Leaky):
    """It draws where its potentials start, in evaluation mode too, as sparch does."""

    def forward(self, x: Tensor) -> Tensor:
        v = torch.rand(x.shape[1], HIDDEN)
        spikes = torch.rand(x.shape[1], HIDDEN)
        outputs = []
        for step in x:
            v = 0.8 * (v - spikes) + 0.2 * self.first(step)
            spikes = Fire.apply(v - 1)
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class TwoCompartments(Leaky):
    """A dendrite and a soma, as in TC-LIF."""

    def forward(self, x: Tensor) -> Tensor:
        dendrite = soma = spikes = torch.zeros(x.shape[1], HIDDEN)
        outputs = []
        for step in x:
            dendrite = dendrite - 0.5 * soma + self.first(step) - 0.5 * spikes
            soma = soma + 0.5 * dendrite - spikes
            spikes = Fire.apply(soma - 1)
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class Complementary(nn.Module):
    """A step of CLIF: a module that keeps its state and changes it in place."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.v: Any = 0.0
        self.m: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        u = 0.5 * self.v + x
        self.m = self.m * torch.sigmoid_(0.5 * u)
        spikes = FireAt.apply(u, 1.0, 10.0)
        self.m = self.m + spikes
        self.v = u - spikes * (1 + torch.sigmoid(self.m))
        return spikes


class InALoop(nn.Module):
    """It makes its time steps of [N, F] itself, with modules that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN), Complementary(), nn.Linear(HIDDEN, CLASSES)
        )
        nn.init.normal_(self.step[0].weight)

    def forward(self, x: Tensor) -> Tensor:
        self.step[1].reset()
        return sum(self.step(x) for _ in range(5)) / 5


class ReturnsState(nn.Module):
    """A cell that returns its spikes and its state, as event_flow's ConvLIF."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Conv1d(1, 4, 3, padding=1)
        nn.init.normal_(self.weights.weight)

    def forward(self, x: Tensor, state: Any) -> Any:
        v, spikes = (0.0, 0.0) if state is None else state
        v = v * 0.6 * (1 - spikes) + self.weights(x)
        spikes = FireAt.apply(v, 0.8, 10.0)
        return spikes, torch.stack([v, spikes])


class WithStates(nn.Module):
    """A loop that hands on the states of a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = ReturnsState()
        self.last = nn.Linear(4 * FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        outputs = []
        for step in x:
            spikes, state = self.cell(step[:, None], state)
            outputs.append(self.last(spikes.flatten(1)))
        return torch.stack(outputs)


def adaptive_step(x: Tensor, v: Tensor, spikes: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    """A step of an adaptive neuron without a class, as Yin et al. write it."""
    b = 0.9 * b + 0.1 * spikes
    threshold = 0.5 + 1.8 * b
    v = 0.8 * v + x - threshold * spikes
    return v, Fire.apply(v - threshold), b


class Functional(Leaky):
    """Adaptive neurons as functions of their state."""

    def forward(self, x: Tensor) -> Tensor:
        v = spikes = b = torch.zeros(x.shape[1], HIDDEN)
        outputs = []
        for step in x:
            v, spikes, b = adaptive_step(self.first(step), v, spikes, b)
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class Quantize(torch.autograd.Function):
    """Whole steps of 1/64, with the gradient passed on: no spikes."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(64 * x) / 64

    @staticmethod
    def backward(ctx, grad):
        return grad


class Quantized(Leaky):
    """Currents and potentials in whole steps, as on a chip; lava computes so."""

    def forward(self, x: Tensor) -> Tensor:
        i = v = torch.zeros(x.shape[1], HIDDEN)
        outputs = []
        for step in x:
            i = Quantize.apply(0.5 * i + self.first(step))
            v = Quantize.apply(0.75 * v + i)
            spikes = FireAt.apply(v, 1.0, 10.0)
            v = v * (1 - spikes)
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class KeepsPotentials(nn.Module):
    """All steps in one call; what it leaves on itself is read out."""

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x[0])
        spikes, potentials = [], []
        for step in x:
            v = 0.8 * v + step
            spikes.append(Fire.apply(v - 1))
            v = v * (1 - spikes[-1].detach())
            potentials.append(v)
        self.v_seq = torch.stack(potentials)
        return torch.stack(spikes)


class Delayed(nn.Module):
    """Delays by a convolution over time, and a readout of potentials."""

    def __init__(self) -> None:
        super().__init__()
        self.delays = nn.Conv1d(FEATURES, HIDDEN, 3, dilation=2)
        nn.init.normal_(self.delays.weight)
        self.hidden = KeepsPotentials()
        self.weights = nn.Linear(HIDDEN, CLASSES)
        self.last = KeepsPotentials()

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.permute(1, 2, 0), (4, 0))
        spikes = self.hidden(self.delays(padded).permute(2, 0, 1))
        self.last(self.weights(spikes))
        return self.last.v_seq


class Feedforward(nn.Module):
    """A part that torch.jit compiles, without neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.weights(x)) + x


class Language(Leaky):
    """Neurons between compiled parts."""

    def __init__(self) -> None:
        super().__init__()
        self.part = torch.jit.script(Feedforward())

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.part(Fire.apply(self.part(self.first(x)) - 0.5)))


class Levels(torch.autograd.Function):
    """0 to 4 spikes in a step: round(clamp(u, 0, 4))."""

    @staticmethod
    def forward(ctx, u):
        ctx.inside = (u >= 0) & (u <= 4)
        return u.clamp(0, 4).round()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.inside


class Ternary(torch.autograd.Function):
    """-1, 0 and 1."""

    @staticmethod
    def forward(ctx, u):
        return (u >= 1).to(u) - (u <= -1).to(u)

    @staticmethod
    def backward(ctx, grad):
        return grad


class OneStep(nn.Sequential):
    """A model of one time step [N, F], whose neurons keep their state and can be reset."""

    def __init__(self) -> None:
        first = nn.Linear(FEATURES, HIDDEN)
        nn.init.normal_(first.weight)
        super().__init__(first, Complementary(), nn.Linear(HIDDEN, CLASSES))


class Hidden(torch.autograd.Function):
    """A whole layer of neurons in one function: what it gives are potentials, no spikes."""

    @staticmethod
    def forward(ctx, x):
        v = torch.zeros_like(x[0])
        potentials = []
        for step in x:
            v = 0.8 * v + step
            potentials.append(v)
            v = v * (v < 1)
        return torch.stack(potentials)

    @staticmethod
    def backward(ctx, grad):
        return grad


def staircase(u: Tensor, rises: tuple[float, ...]) -> Tensor:
    """A sum of spikes, for the gradient of several levels."""
    return sum(Fire.apply(u - rise) for rise in rises)


STEPS = 6
