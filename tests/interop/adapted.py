"""Models as users write them by hand: their neurons are known by `register_neuron` alone."""

import warnings
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from art_snn import SpikingNetwork
from art_snn.dynamics import Dynamics
from art_snn.interop import adapt, register_neuron
from tests.interop import neurons
from tests.interop.neurons import Spike, Step, Steps

STEPS = 3
SHAPE = (1, 4, 4)


class Folded(neurons.Merged):
    steps = STEPS


class Loop(nn.Module):
    """A model that makes its time steps itself: [N, ...] -> [N, K]."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, 8), nn.Linear(8, classes)
        self.lif = Step()

    def forward(self, x: Tensor) -> Tensor:
        self.lif.reset()
        outputs = [self.second(self.lif(self.first(x.flatten(1)))) for _ in range(STEPS)]
        return torch.stack(outputs).mean(0)


class Both(Loop):
    """The same, returning spikes and potentials [T, N, K]."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.lif.reset()
        outputs = [self.second(self.lif(self.first(x.flatten(1)))) for _ in range(STEPS)]
        return Spike.apply(torch.stack(outputs) - 1), torch.stack(outputs)


class Delays(nn.Module):
    """Learnt delays [F] of up to so many steps: [T, N, F] -> [T + most, N, F].

    Between two steps a spike arrives in part at either."""

    def __init__(self, features: int, most: int = 2) -> None:
        super().__init__()
        self.delays = nn.Parameter(torch.linspace(0, most, features))
        self.most = most

    def forward(self, spikes: Tensor) -> Tensor:
        arrived: Any = 0
        for delay in range(self.most + 1):
            share = (1 - (self.delays - delay).abs()).clamp(min=0)
            before_and_after = (0, 0, 0, 0, delay, self.most - delay)
            arrived = arrived + nn.functional.pad(spikes * share, before_and_after)
        return arrived


class Delayed(nn.Module):
    """Layers of which every one makes more time steps than the one before: [N, ...] -> [N, K]."""

    def __init__(self, inputs: int, classes: int, hidden: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, classes)
        self.lif1, self.lif2 = Steps(), Steps()
        self.delays1, self.delays2 = Delays(hidden), Delays(hidden)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.lif1(self.first(x.flatten(1).expand(STEPS, -1, -1)))
        spikes = self.lif2(self.second(self.delays1(spikes)))
        return self.last(self.delays2(spikes)).mean(0)


class Inline(nn.Module):
    """Neurons written into its forward, so that none is recognised: [N, ...] -> [N, K]."""

    def __init__(self, inputs: int, classes: int, hidden: int = 8) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        current, spikes = self.first(x.flatten(1)), []
        v = torch.zeros_like(current)
        for _ in range(STEPS):
            u = torch.add(current, v, alpha=0.5)
            spikes.append(self.fire(u - 1))
            v = u - u * spikes[-1].detach()
        return torch.stack([self.second(s) for s in spikes]).mean(0)

    def fire(self, distance: Tensor) -> Tensor:
        return Spike.apply(distance)


class Threshold(nn.Module):
    """Spikes with the same slope as a sum, which torch.jit can compile."""

    def forward(self, distance: Tensor) -> Tensor:
        near = distance.clamp(-1, 1)
        soft = near - near * near.abs() / 2
        return (distance >= 0).to(distance.dtype) + (soft - soft.detach())


register_neuron(Threshold, dynamics=lambda module: Dynamics(0.0))


class Compiled(Inline):
    """The same with neurons that torch.jit compiled, so that no rule of ours applies."""

    def __init__(self, inputs: int, classes: int, hidden: int = 8) -> None:
        super().__init__(inputs, classes, hidden)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit")
            self.threshold = torch.jit.script(Threshold())

    def fire(self, distance: Tensor) -> Tensor:
        return self.threshold(distance)


class Merged(nn.Module):
    """A model whose layers take [T * N, ...]: [T, N, ...] -> [T, N, K]."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, 8), Folded(), nn.Linear(8, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.flatten(0, 1)).unflatten(0, (len(x), -1))


LOOPS = {
    "step": Loop,
    "both": Both,
    "merged": Merged,
    "delayed": Delayed,
    "inline": Inline,
    "compiled": Compiled,
}


def model(kind: str = "steps", shape: tuple[int, ...] = SHAPE, classes: int = 3) -> nn.Module:
    """A bare model whose neurons come near firing at values in [0, 1].

    :param kind: steps, merged, step, both, delayed (whose layers make more and more time steps),
        inline (whose neurons nobody recognises), compiled (to which no rule of ours applies),
        spiking (which ends in its neurons), or none (which has no neurons)."""
    inputs = prod(shape)
    if kind in LOOPS:
        made: nn.Module = LOOPS[kind](inputs, classes)
    else:
        neuron = nn.ReLU if kind == "none" else Steps
        ends = (Steps(0.9),) if kind == "spiking" else ()
        layers = nn.Linear(inputs, 8), neuron(), nn.Linear(8, classes)
        made = nn.Sequential(nn.Flatten(2), *layers, *ends)
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(3) if weight.ndim > 1 else weight.abs_()
    return made


def network(kind: str = "steps", **options: Any) -> SpikingNetwork:
    """The model, adapted as its kind wants it."""
    made = model(kind, **options)
    if kind in ("step", "delayed", "inline", "compiled"):
        return adapt(made, encoder=None)
    return adapt(made, steps=STEPS)


def own(folder: Path, kind: str = "steps", shape: tuple[int, ...] = SHAPE, classes: int = 3) -> str:
    """The name of a function that returns the bare model, or adapted where it must be."""
    file = folder / f"bare_{kind}.py"
    made = "network" if kind == "compiled" else "model"
    told = f"{kind!r}, shape={shape}, classes={classes}"
    file.write_text(
        f"from tests.interop.adapted import {made}\n\n\ndef build():\n    return {made}({told})\n"
    )
    return f"{file}:build"
