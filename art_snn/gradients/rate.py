"""Engine of the rate rules: the gradient at a current is the gradient at the spikes times a slope.

The slope has no time axis. Where the layers between neurons are affine, the backward pass can thus
run on tensors averaged over time:

1. *record*: simulate all T steps without a graph; neurons leave rate and slope on a tape;
2. *replay*: run the same layers once, with a graph, on the time-averaged input; neurons answer with
   the recorded rate and multiply by the recorded slope on the way back.

That costs about 1 + 2/T inferences and stores 1/T of the activations. It is right exactly where the
current in replay is the recorded mean current, which is measured at each neuron and at the logits.
Otherwise the same rule runs *time-resolved*: one pass with a graph over all time steps.

Where all operations of a first replay are known to be affine, later ones in the same state of the
network are for *shapes only*: the same graph, and nothing computed, for 1 + 1/T inferences."""

from abc import abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics, empty_steps, least, operand
from art_snn.gradients.affine import (
    OUT_OF_MEMORY,
    Mismatch,
    collapse_objection,
    excess_of,
    failure,
    first_mismatch,
    key_of,
    remember,
)
from art_snn.gradients.base import Differentiable, Execution, Gradient, Site
from art_snn.gradients.fixed import OpTrace, trace_on, weights_held
from art_snn.gradients.shared import (
    anchored,
    apply,
    blocks,
    mean_over_time,
    once,
    time_mean,
    valued,
)


@dataclass(frozen=True)
class Trace:
    """The record of a neuron after one simulation, for a rate rule.

    :param dynamics: the neuron's state equations; what a rule sees has no further parameters.
    :param current: mean current over time [1, N, ...] after the gain, for `uses_current`.
    :param rate: mean of the spikes over time [1, N, ...], for `uses_rate`.
    :param potential: u at every step [T, N, ...], for `uses_potential`."""

    dynamics: Dynamics
    current: Tensor
    rate: Tensor
    potential: Tensor | None


class RateGradient(Gradient):
    """A rule whose gradient at the current is (gradient at the spikes) x (slope without time).

    A new rule overrides :meth:`slope`. It sets `uses_potential` when it needs u at every step, and
    may set `uses_current` or `uses_rate` to False when it does not read these. One that averages
    (gradient at the spikes) x (slope of the step) over time sets `averages`, and may give a slope
    for every step."""

    uses_potential: ClassVar[bool] = False
    uses_current: ClassVar[bool] = True
    uses_rate: ClassVar[bool] = True
    averages: ClassVar[bool] = False

    @abstractmethod
    def slope(self, trace: Trace) -> Tensor:
        """Slope [1, N, ...] from the trace of one simulation, or [T, N, ...] if it averages."""

    def logits(self, network: Differentiable, x: Tensor) -> Tensor:
        encoded = network.encode(x)
        objection, lasting = collapse_objection(network, encoded), False
        if objection is None:
            logits = collapse(self, network, encoded)
            if isinstance(logits, Tensor):
                network.execution = Execution("collapsed", "the layers between neurons are affine")
                return logits
            objection, lasting = logits.reason, logits.lasting
        logits = resolve_in_time(self, network, encoded)
        network.execution = Execution("time-resolved", objection)
        if lasting:
            remember(network.obstacles, key_of(network, encoded), objection)
        return logits


def curve_objection(dynamics: Dynamics) -> str | None:
    """Why a rule cannot read the rate-current curve off decay and threshold, or None."""
    if dynamics.has_rate_curve:
        return None
    others = "it uses the rate-current curve of LIF and IF, and these neurons obey other equations"
    return dynamics.unknown or others


def collapse(rule: RateGradient, network: Differentiable, encoded: Tensor) -> Tensor | Mismatch:
    """Record and replay, for shapes only where that is known to be the same.

    :return: the exact logits [N, K] with the rule in their graph; or why the replay differs."""
    # With the batch size, since a layer may look at it.
    key = encoded.shape[1], key_of(network, encoded)
    shapes_only = weights_held() and network.matches.get(key, False) and network.plain
    if shapes_only:
        logits = _collapse_on(OpTrace(shapes_only=True), rule, network, encoded)
        if isinstance(logits, Tensor):
            return logits
    trace = OpTrace()
    logits = _collapse_on(trace, rule, network, encoded)
    if isinstance(logits, Tensor):
        # Not after one for shapes only that failed.
        remember(network.matches, key, trace.affine and not shapes_only)
    return logits


def _collapse_on(
    trace: OpTrace, rule: RateGradient, network: Differentiable, encoded: Tensor
) -> Tensor | Mismatch:
    recorder = _Recorder(rule, trace.shapes_only)
    with torch.no_grad():
        exact = network.run(encoded.detach(), recorder)
    replayer = _Replayer(rule, recorder.tape)
    try:
        with trace_on(trace):
            replayed = network.run(mean_over_time(encoded), replayer)
        if trace.shapes_only:
            total = exact.sum() + encoded.detach().sum(dtype=torch.float32)
            mismatch = replayer.mismatch(_check_of(total))
        else:
            # Logits are single precision also where the layers are not.
            got, expected = (x.detach().to(replayer.dtype)[None] for x in (replayed, exact))
            mismatch = replayer.mismatch(excess_of(got, expected, 1.0))
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        # A bug of the network would have shown in the recording, or shows again time-resolved.
        mismatch = failure("replay", error)
    return mismatch or valued(exact, replayed)


def _check_of(total: Tensor) -> Tensor:
    """0 where a sum of values is finite, otherwise NaN."""
    return (total - total).float()


def resolve_in_time(rule: RateGradient, network: Differentiable, encoded: Tensor) -> Tensor:
    """Logits [N, K] of one pass in which every step's gradient is multiplied by the slope."""

    def fire(site: Site, current: Tensor) -> Tensor:
        with torch.no_grad():
            spikes, mean = _spikes_and_mean(rule, current)
            slope = _slope(rule, _trace(rule, site, current, mean, spikes, rates=False))
        return apply(_Sloped, current, spikes, slope, rule)

    return network.run(encoded, fire)


def _trace(
    rule: RateGradient, site: Site, current: Tensor, mean: Tensor, spikes: Tensor, rates: bool
) -> Trace:
    """The trace of a simulation that writes the spikes; `rates`: with the rate in any case."""
    potential = torch.empty_like(spikes) if rule.uses_potential else None
    site.dynamics.simulate(current, potential, spikes)
    rate = time_mean(spikes) if rates or rule.uses_rate else spikes[:1]
    return Trace(site.dynamics, mean, rate, potential)


def _spikes_and_mean(rule: RateGradient, current: Tensor) -> tuple[Tensor, Tensor]:
    """Memory for the spikes, and the mean current over time where the rule reads it."""
    spikes = empty_steps(current)
    return spikes, mean_over_time(current) if rule.uses_current else current[:1]


def _slope(rule: RateGradient, trace: Trace) -> Tensor:
    """The rule's slope at the input current, of which it sees what arrives after the gain."""
    dynamics, potential = trace.dynamics, trace.potential
    if dynamics.is_standard:
        return rule.slope(trace)
    if potential is not None and dynamics.origin != 0:
        potential = potential - dynamics.origin
    current = dynamics.effective(trace.current)
    slope = rule.slope(Trace(dynamics.standard, current, trace.rate, potential))
    return slope.mul(operand(dynamics.gain, trace.current))


@dataclass(frozen=True)
class _Entry:
    """The entry of a neuron on the tape: slope, mean rate and mean current, all [1, N, ...].

    For shapes only the rate is None, and the current a sum [] that is finite where all are."""

    site: Site
    slope: Tensor
    rate: Tensor | None
    current: Tensor


class _Recorder:
    """Fires by plain simulation and writes one tape entry per call, less for shapes only."""

    def __init__(self, rule: RateGradient, shapes_only: bool) -> None:
        self.rule, self.shapes_only = rule, shapes_only
        self.tape: list[_Entry] = []

    def __call__(self, site: Site, current: Tensor) -> Tensor:
        rule, full = self.rule, not self.shapes_only
        spikes, mean = _spikes_and_mean(rule, current)
        rate, slope = torch.empty_like(spikes[:1]), torch.empty_like(spikes[:1])
        # With the potential in blocks that fit the cache.
        for part in blocks(spikes, len(spikes)) if rule.uses_potential else [slice(None)]:
            trace = _trace(rule, site, current[:, part], mean[:, part], spikes[:, part], full)
            slopes = _slope(rule, trace)
            slope[:, part] = slopes if slopes.shape[0] == 1 else time_mean(slopes)
            if full:
                rate[:, part] = trace.rate
        if self.shapes_only:
            measured = (mean if rule.uses_current else current[-1]).sum(dtype=torch.float32)
        else:
            measured = mean if rule.uses_current else mean_over_time(current)
        self.tape.append(_Entry(site, slope, rate if full else None, measured))
        return spikes


class _Replayer:
    """Answers the calls of a replay from the tape, in order, and measures how well they match."""

    def __init__(self, rule: RateGradient, tape: list[_Entry]) -> None:
        self.rule, self.tape = rule, deque(tape)
        self.names = [entry.site.name for entry in tape]
        self.excesses: list[Tensor] = []
        self.dtype = torch.float64
        tape.clear()

    def __call__(self, site: Site, current: Tensor) -> Tensor:
        if not self.tape:
            raise ValueError("more neurons are called than in the recording")
        entry = self.tape.popleft()
        if current.shape != entry.slope.shape:
            raise ValueError(f"shape {list(current.shape)} instead of {list(entry.slope.shape)}")
        self.dtype, rate = current.dtype, entry.rate
        if rate is None:
            rate, excess = current.detach(), _check_of(entry.current)
        else:
            excess = excess_of(current, entry.current, least(site.dynamics.threshold))
        self.excesses.append(excess)
        return apply(_Sloped, current, rate, entry.slope, self.rule)

    def mismatch(self, excess: Tensor) -> Mismatch | None:
        """Why the replay is not the time average of the recording; `excess` is of the logits."""
        if self.tape:
            return Mismatch("the replay called fewer neurons than the recording")
        return first_mismatch([*self.excesses, excess], self.names)


class _Sloped(torch.autograd.Function):
    """Spikes or a rate forward; backward the gradient times the slope."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, output: Tensor, slope: Tensor, rule: RateGradient
    ) -> tuple[Tensor, Tensor]:
        ctx.averages = rule.averages
        return anchored(ctx, rule, output.view_as(output), slope)

    @staticmethod
    @once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        slope, _ = ctx.saved_tensors
        d = (grad * slope).to(grad.dtype)
        return time_mean(d).expand_as(d) if ctx.averages else d, None, None, None
