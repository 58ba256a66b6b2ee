"""Engine of the rate rules: the gradient at a current is the gradient at the spikes times a slope.

The slope has no time axis, so where the layers between neurons are affine the whole backward pass
can be run on tensors averaged over time:

1. *record*: simulate all T steps without a graph; every neuron leaves its mean current, its rate
   and its slope on a tape;
2. *replay*: run the same layers once, with a graph, on the time-averaged input; every neuron
   answers with its recorded rate and multiplies by its recorded slope on the way back.

That costs about 1 + 2/T inferences and stores 1/T of the activations. It is right exactly where the
current that arrives in replay is the recorded mean current, so that is measured at every neuron, at
the logits, and at every call. Where it is not, the same rule runs *time-resolved*: one pass with a
graph over all time steps.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Differentiable, Execution, Gradient, Site

RELATIVE_TOLERANCE = 1e-3
"""Largest difference between replayed and recorded current, relative to the sample's largest."""

TF32_TOLERANCE = 1e-2
"""The same where CUDA rounds single precision to ten bits, as convolutions do by default."""

OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)

REMEMBERED = 64
"""Answers of the probe that a network keeps: one for every input shape and state of its weights."""

ABSOLUTE_TOLERANCE = 1e-6
"""Difference that always passes, in thresholds: rounding around a current of zero."""


@dataclass(frozen=True)
class Trace:
    """What a neuron leaves behind for a rate rule after one simulation.

    :param dynamics: the neuron's state equations.
    :param current: mean input current over time [1, N, ...].
    :param rate: mean of the spikes over time [1, N, ...].
    :param potential: u at every step [T, N, ...], only for rules with `uses_potential`.
    """

    dynamics: Dynamics
    current: Tensor
    rate: Tensor
    potential: Tensor | None


class RateGradient(Gradient):
    """A rule whose gradient at the current is (gradient at the spikes) x (slope without time).

    A new rule overrides :meth:`slope`, and sets `uses_potential` when it needs u at every step.
    """

    uses_potential: ClassVar[bool] = False

    @abstractmethod
    def slope(self, trace: Trace) -> Tensor:
        """Slope [1, N, ...] from the trace of one simulation."""

    def logits(self, network: Differentiable, encoded: Tensor) -> Tensor:
        reason, lasting = not_collapsible(network, encoded), False
        if reason is None:
            logits, reason, lasting = collapsed(self, network, encoded)
            if reason is None:
                network.execution = Execution("collapsed", "the layers between neurons are affine")
                return logits
        logits = time_resolved(self, network, encoded)
        network.execution = Execution("time-resolved", reason)
        if lasting:
            network.obstacles[_key(network, encoded)] = reason
        return logits


def not_collapsible(network: Differentiable, encoded: Tensor) -> str | None:
    """Why the network cannot be replayed on time averages, or None where it can.

    Whether its layers are affine is found out once for every shape of input and state of the
    network, by a probe with random numbers in place of input and spikes.
    """
    if encoded.shape[0] == 1:
        return "with one time step there is nothing to average"
    if encoded.shape[1] == 0:
        return "the batch is empty"
    layer = network.varying_layer()
    if layer is not None:
        return f"{layer} is in training mode: its output differs from call to call"
    if encoded.dtype.itemsize < 4 or torch.is_autocast_enabled(encoded.device.type):
        return "in half precision rounding hides whether the layers are affine"
    key = _key(network, encoded)
    if key not in network.obstacles:
        if len(network.obstacles) >= REMEMBERED:
            network.obstacles.clear()
        network.obstacles[key] = probe(network, encoded)
    return network.obstacles[key]


def _key(network: Differentiable, encoded: Tensor) -> Hashable:
    return (encoded.shape[0], *encoded.shape[2:], encoded.dtype, network.state_key())


def collapsed(
    rule: RateGradient, network: Differentiable, encoded: Tensor
) -> tuple[Tensor, str | None, bool]:
    """Record and replay.

    :return: the exact logits [N, K] with the rule in their graph, and None; or, where the replay
        did not reproduce the recorded currents, the logits without a graph and the reason; and
        whether that reason will last, which values that are not finite do not.
    """
    recorder = _Recorder(rule)
    with torch.no_grad():
        exact = network.run(encoded.detach(), recorder)
    replayer = _Replayer(recorder.tape)
    try:
        replayed = network.run(mean_over_time(encoded), replayer)
        reason, lasting = replayer.mismatch(replayed, exact)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        # A layer that refuses the averaged input is merely not replayable. A defect of the
        # network itself would have shown in the recording, or shows again time-resolved.
        if replayer.in_rule:
            raise
        reason, lasting = _refusal("replay", error), True
    if reason is None:
        return exact + (replayed - replayed.detach()), None, True
    return exact, reason, lasting


def _refusal(stage: str, error: Exception) -> str:
    return f"the {stage} failed ({type(error).__name__}: {error})"


def time_resolved(rule: RateGradient, network: Differentiable, encoded: Tensor) -> Tensor:
    """Logits [N, K] of one pass in which every step's gradient is multiplied by the slope."""

    def fire(site: Site, current: Tensor) -> Tensor:
        spikes: Tensor = _EveryStep.apply(current, rule, site)  # type: ignore[no-untyped-call]
        return spikes

    return network.run(encoded, fire)


def mean_over_time(x: Tensor) -> Tensor:
    """Mean over axis 0, kept as an axis of size 1; free for a view that repeats one step."""
    repeated = x.stride(0) == 0 and not (x.is_leaf and x.requires_grad)
    return x[:1] if repeated else x.mean(0, keepdim=True)


def _trace(rule: RateGradient, site: Site, current: Tensor) -> tuple[Tensor, Trace]:
    potential = torch.empty_like(current.contiguous()) if rule.uses_potential else None
    spikes = site.dynamics.simulate(current, potential)
    rate = spikes.mean(0, keepdim=True)
    return spikes, Trace(site.dynamics, mean_over_time(current), rate, potential)


class _Entry:
    """A trace on the tape. Where the potential is not needed the slope waits for the replay."""

    def __init__(self, site: Site, rule: RateGradient, trace: Trace) -> None:
        self.site, self.rule = site, rule
        self.early = rule.slope(trace) if rule.uses_potential else None
        self.trace = replace(trace, potential=None)

    def slope(self) -> Tensor:
        return self.rule.slope(self.trace) if self.early is None else self.early


class _Recorder:
    """Fires by plain simulation and writes one tape entry per call."""

    def __init__(self, rule: RateGradient) -> None:
        self.rule = rule
        self.tape: list[_Entry] = []

    def __call__(self, site: Site, current: Tensor) -> Tensor:
        spikes, trace = _trace(self.rule, site, current)
        self.tape.append(_Entry(site, self.rule, trace))
        return spikes


class _Replayer:
    """Answers the calls of a replay from the tape, in order, and measures how well they match."""

    def __init__(self, tape: list[_Entry]) -> None:
        self.tape = deque(tape)
        self.names = [entry.site.name for entry in tape]
        self.excesses: list[Tensor] = []
        self.in_rule = False
        tape.clear()

    def __call__(self, site: Site, current: Tensor) -> Tensor:
        if not self.tape:
            raise ValueError("more neurons are called than in the recording")
        entry = self.tape.popleft()
        self.in_rule = True
        trace, slope = entry.trace, entry.slope()
        self.in_rule = False
        self.excesses.append(_excess(current, trace.current, site.dynamics.threshold))
        rate: Tensor = _Replay.apply(current, trace.rate, slope)  # type: ignore[no-untyped-call]
        return rate

    def mismatch(self, replayed: Tensor, exact: Tensor) -> tuple[str | None, bool]:
        """Why the replay is not the time average of the recording, and whether that will last."""
        if self.tape:
            return "the replay called fewer neurons than the recording", True
        excesses = [*self.excesses, _excess(replayed[None], exact[None], 1.0)]
        return _first_excess(excesses, self.names)


def _first_excess(excesses: list[Tensor], names: list[str]) -> tuple[str | None, bool]:
    """The reason behind the first positive or NaN excess, and whether it is about the layers."""
    values = torch.stack(excesses).tolist()
    over = [not value <= 0 for value in values]
    if not any(over):
        return None, True
    first = over.index(True)
    place = f"neuron {names[first]}" if first < len(names) else "the logits"
    if not math.isfinite(values[first]):
        return f"the input of {place} is not finite", False
    return f"the layers before {place} are not affine: their output on averages differs", True


def _excess(replayed: Tensor, recorded: Tensor, threshold: float) -> Tensor:
    """Largest difference of any sample beyond what rounding may cause; <= 0 when all match."""
    if replayed.shape != recorded.shape:
        raise ValueError(f"shape {list(replayed.shape)} instead of {list(recorded.shape)}")
    dims = tuple(range(2, recorded.ndim)) or (0,)
    difference = torch.sub(replayed.detach(), recorded).abs_().amax(dims)
    relative = TF32_TOLERANCE if _rounds_to_tf32(recorded) else RELATIVE_TOLERANCE
    allowed = recorded.abs().amax(dims) * relative + ABSOLUTE_TOLERANCE * threshold
    return (difference - allowed).amax()


def _rounds_to_tf32(x: Tensor) -> bool:
    backends = torch.backends
    tf32 = backends.cudnn.allow_tf32 or backends.cuda.matmul.allow_tf32
    return x.is_cuda and x.dtype == torch.float32 and tf32


@torch.no_grad()
def probe(network: Differentiable, encoded: Tensor) -> str | None:
    """Why the layers between neurons are not affine, or None where they are.

    Equal values on the spikes of one call do not show it: a ReLU on spikes changes none of them and
    still cuts gradients. So the network runs once on three steps in which every neuron answers with
    random numbers a, b and (a + b) / 2, and the third current must be the mean of the others.

    :param encoded: input [T, N, ...], of which shape, dtype and device are used.
    """
    prober = _Prober(encoded.device)
    try:
        prober.judge(network.outputs(prober.draw(encoded), prober), 1.0)
        return _first_excess(prober.excesses, prober.names)[0]
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        return _refusal("probe", error)


class _Prober:
    """Answers every current with random numbers, and measures how affine the layers are."""

    def __init__(self, device: torch.device) -> None:
        # A generator of its own: the probe must not disturb the user's random state.
        self.generator = torch.Generator(device).manual_seed(0)
        self.names: list[str] = []
        self.excesses: list[Tensor] = []

    def __call__(self, site: Site, current: Tensor) -> Tensor:
        self.judge(current, site.dynamics.threshold)
        self.names.append(site.name)
        return self.draw(current)

    def draw(self, like: Tensor) -> Tensor:
        """Three steps a, b and (a + b) / 2 of one sample [3, 1, ...]."""
        shape = (2, 1, *like.shape[2:])
        a, b = torch.empty(shape, dtype=like.dtype, device=like.device).normal_(
            generator=self.generator
        )
        return torch.stack([a, b, (a + b) / 2])

    def judge(self, current: Tensor, threshold: float) -> None:
        a, b, middle = current
        self.excesses.append(_excess(middle[None], (a + b)[None] / 2, threshold))


class _Replay(torch.autograd.Function):
    """The recorded rate forward, the recorded slope backward."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, rate: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return rate.view_as(rate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rate: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad_rate * slope, None, None


class _EveryStep(torch.autograd.Function):
    """The spikes forward, the slope at every time step backward."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, rule: RateGradient, site: Site) -> Tensor:
        spikes, trace = _trace(rule, site, current)
        ctx.save_for_backward(rule.slope(trace))
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad_spikes * slope, None, None
