"""Small neurons, one class per layout, as users write them: `register_neuron` makes them known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from art_snn.dynamics import Dynamics
from art_snn.interop import register_neuron
from tests.interop.stacks import STEPS


class Spike(torch.autograd.Function):
    """A step forward, a triangle of its own backward."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grad * (1 - distance.abs()).clamp(min=0)


class Steps(nn.Module):
    """Takes all time steps [T, N, ...] in one call, and starts from rest."""

    def __init__(self, decay: float = 0.5, threshold: float = 1.0, *, reset: str = "hard") -> None:
        super().__init__()
        self.decay, self.threshold, self.kind = decay, threshold, reset

    def step(self, x: Tensor, v: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Spikes, and the potential before and after the reset."""
        u = torch.add(x, v, alpha=self.decay)
        s = self.fire(u - self.threshold)
        drop = {"hard": u, "soft": self.threshold, "none": 0.0}[self.kind]
        return s, u, u - drop * s

    def fire(self, distance: Tensor) -> Tensor:
        return Spike.apply(distance)

    def forward(self, x: Tensor) -> Tensor:
        v, spikes = torch.zeros_like(x[0]), []
        for current in x:
            s, _, v = self.step(current, v)
            spikes.append(s)
        return torch.stack(spikes)


class SamplesFirst(Steps):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


class TimeLast(Steps):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(-1, 0)).movedim(0, -1)


class Merged(Steps):
    """Takes [T * N, ...]."""

    steps = STEPS

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.unflatten(0, (self.steps, -1))).flatten(0, 1)


class SamplesMerged(Steps):
    """Takes [N * T, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.unflatten(0, (-1, STEPS)).transpose(0, 1)
        return super().forward(rows).transpose(0, 1).flatten(0, 1)


class Gated(Steps):
    """Has a surrogate gradient in training mode alone."""

    def fire(self, distance: Tensor) -> Tensor:
        return Spike.apply(distance) if self.training else (distance >= 0).to(distance.dtype)


class Learned(Steps):
    """Its settings are parameters: the decay one number, or [K] of every neuron."""

    def __init__(self, decay: Any = 0.5) -> None:
        super().__init__()
        del self.decay, self.threshold
        self.decay = nn.Parameter(torch.as_tensor(decay))
        self.threshold = nn.Parameter(torch.tensor(1.0))

    def step(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u = x + self.decay * v
        s = self.fire(u - self.threshold)
        return s, u, u - u * s


class Step(Steps):
    """Takes one time step [N, ...], and keeps its potential until it is reset."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.v: Any = 0.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Any:
        s, _, self.v = self.step(x, self.v)
        return s


class Output(Step):
    """Also returns its potential, before the reset."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, u, self.v = self.step(x, self.v)
        return s, u


class Handed(Steps):
    """One step: (spikes, potential after the reset), from the potential that is handed on."""

    def forward(self, x: Tensor, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s, _, after = self.step(x, 0.0 if v is None else v)
        return s, after


class Fed(nn.Module):
    """As in FEEL-SNN, [T * N, ...]: a learnt decay for every step, next to a number `tau`."""

    def __init__(self, decay: Sequence[float]) -> None:
        super().__init__()
        self.thresh, self.tau = 1.0, 1.0
        self.taus = nn.Parameter(torch.tensor(decay, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        mem, spikes, x = 0.0, [], x.unflatten(0, (len(self.taus), -1))
        for t in range(len(self.taus)):
            mem = mem * self.taus[t] + x[t, ...]
            spike = Spike.apply(mem - self.thresh)
            mem = (1 - spike) * mem
            spikes.append(spike)
        return torch.stack(spikes).flatten(0, 1)


class FedStep(Output):
    """The same one step at a time, with its potential before the reset."""

    def __init__(self, decay: Sequence[float], threshold: float = 1.0) -> None:
        super().__init__(list(decay), threshold)
        self.t = 0

    def reset(self) -> None:
        self.v, self.t = 0.0, 0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = self.decay[self.t] * self.v + x
        s = self.fire(u - self.threshold)
        self.v, self.t = u - u * s, self.t + 1
        return 0.75 * s, u


class Tall(Step):
    """Takes one time step, and its spikes are 1.5 high."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.5 * super().forward(x)


class Rated(torch.autograd.Function):
    """As in DSR: spikes of height V, which V itself is taken off; a slope at the mean current."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, vth: Tensor, alpha: float) -> Tensor:
        mem, spikes = torch.zeros_like(x[0]), torch.zeros_like(x)
        for t in range(len(x)):
            mem = mem + x[t]
            spikes[t] = (mem >= alpha * vth).to(x.dtype) * vth
            mem = mem - spikes[t]
        ctx.save_for_backward(x.mean(0), vth)
        return spikes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        mean, vth = ctx.saved_tensors
        return grad * ((mean > 0) & (mean < vth)), None, None


class High(nn.Module):
    """The neuron of DSR, with a learnt threshold."""

    def __init__(self, vth: float, alpha: float) -> None:
        super().__init__()
        self.vth = nn.Parameter(torch.tensor(vth, dtype=torch.float64), requires_grad=False)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return Rated.apply(x, self.vth, self.alpha)


class Round(torch.autograd.Function):
    """As in SpikeYOLO and Spike-driven Transformer V3: up to so many spikes in a step."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, most: int) -> Tensor:
        ctx.save_for_backward((u >= 0) & (u <= most))
        return torch.round(torch.clamp(u, min=0, max=most))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.saved_tensors[0], None


class Rounding(nn.Module):
    """The neuron of these, whose potential is rounded."""

    def __init__(self, decay: float = 0.25, most: int = 4) -> None:
        super().__init__()
        self.decay, self.most = decay, most

    def forward(self, x: Tensor) -> Tensor:
        spike, before, output = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
        for t in range(len(x)):
            mem = (before - spike.detach()) * self.decay + x[t] if t else x[t]
            spike = Round.apply(mem, self.most)
            before = mem.clone()
            output.append(spike)
        return torch.stack(output)


class Synaptic(nn.Module):
    """One step of a neuron that no rule knows: it has a synaptic current."""

    def reset(self) -> None:
        self.state: tuple[Any, Any] = (0.0, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        current, v = self.state
        current = 0.5 * current + x
        u = 0.5 * v + current
        s = Spike.apply(u - 1)
        self.state = current, u * (1 - s)
        return s


class SynapticSteps(Synaptic):
    """The same on [T, N, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        self.reset()
        return torch.stack([super(SynapticSteps, self).forward(current) for current in x])


class Sigmoid(nn.Module):
    """The surrogate of clock_driven of 2020, with a gradient in training mode alone."""

    def forward(self, x: Tensor) -> Tensor:
        return Spike.apply(x) if self.training else (x >= 0).to(x)


class LIFNode(Step):
    """Of spikingjelly.clock_driven of 2020, which many published networks use, and no index has."""

    __module__ = "spikingjelly.clock_driven.neuron"
    v_threshold, v_reset, tau = 1.0, 0.0, 2.0

    def __init__(self) -> None:
        super().__init__()
        self.surrogate_function = Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        u = self.charge(x)
        spikes = self.surrogate_function(u - self.v_threshold)
        self.v = (1 - spikes) * u + spikes * self.v_reset
        return spikes

    def charge(self, x: Tensor) -> Tensor:
        return self.v + (x - (self.v - self.v_reset)) / self.tau


class PLIFNode(LIFNode):
    __module__ = LIFNode.__module__

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.0))

    def charge(self, x: Tensor) -> Tensor:
        return self.v + (x - (self.v - self.v_reset)) * self.w.sigmoid()


def dynamics(module: Any) -> Dynamics:
    return Dynamics(module.decay, module.threshold, reset=module.kind)


def synaptic(module: Any) -> Dynamics:
    raise ValueError("it has a synaptic current")


def again(cls: type[nn.Module], **options: Any) -> type[nn.Module]:
    """A class of the same forward, registered otherwise."""
    other = type(f"Another{cls.__name__}", (cls,), {"forward": cls.forward})
    return register_neuron(other, **{"dynamics": dynamics, **options})


register_neuron(Steps, dynamics=dynamics)
register_neuron(SamplesFirst, dynamics=dynamics, layout="samples first")
register_neuron(TimeLast, dynamics=dynamics, layout="time last")
register_neuron(Merged, dynamics=dynamics, layout="merged")
register_neuron(SamplesMerged, dynamics=dynamics, layout="samples merged")
register_neuron(Step, dynamics=dynamics, layout="step")
register_neuron(Gated, dynamics=dynamics, gated=True)
register_neuron(Output, dynamics=dynamics, layout="step", returns="before reset")
register_neuron(Handed, dynamics=dynamics, layout="step", returns="after reset")
register_neuron(Fed, dynamics=lambda m: Dynamics(list(m.taus), m.thresh), layout="merged")
register_neuron(
    FedStep,
    dynamics=lambda m: Dynamics(m.decay, m.threshold, amplitude=0.75),
    layout="step",
    returns="before reset",
)
register_neuron(
    Tall, dynamics=lambda m: Dynamics(m.decay, m.threshold, m.kind, amplitude=1.5), layout="step"
)
register_neuron(
    High, dynamics=lambda m: Dynamics(1, m.alpha * m.vth, "soft", reset_by=m.vth, amplitude=m.vth)
)
register_neuron(Synaptic, dynamics=synaptic, layout="step")
register_neuron(SynapticSteps, dynamics=synaptic)
