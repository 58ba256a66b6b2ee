"""Engine of the rate rules: the gradient at a current is the gradient at the spikes times a slope.

The slope has no time axis, so where the layers between neurons are affine the whole backward pass
can be run on tensors averaged over time:

1. *record*: simulate all T steps without a graph; every neuron leaves its rate and its slope on a
   tape;
2. *replay*: run the same layers once, with a graph, on the time-averaged input; every neuron
   answers with its recorded rate and multiplies by its recorded slope on the way back.

That costs about 1 + 2/T inferences and stores 1/T of the activations. It is right exactly where the
current that arrives in replay is the recorded mean current, so that is measured at every neuron and
at the logits. Where it is not, the same rule runs *time-resolved*: one pass with a graph over all
time steps.

Where the first replay in a state of the network consisted of operations of torch's and our modules
that are known to be affine, later ones are *hollow*: they have the same graph, and compute nothing,
which costs 1 + 1/T inferences."""

from abc import abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics
from art_snn.gradients.affine import (
    OUT_OF_MEMORY,
    excess_of,
    first_excess,
    key_of,
    not_collapsible,
    refusal,
    remember,
)
from art_snn.gradients.base import Differentiable, Execution, Gradient, Site
from art_snn.gradients.fixed import Trail, on_trail, weights_held
from art_snn.gradients.shared import anchored, blocks, mean_over_time, once, time_mean
from art_snn.values import least, operand


@dataclass(frozen=True)
class Trace:
    """What a neuron leaves behind for a rate rule after one simulation.

    :param dynamics: the neuron's state equations; what a rule sees has no further parameters.
    :param current: mean input current over time [1, N, ...], as it arrives behind the gain; of no
        use for rules without `uses_current`.
    :param rate: mean of the spikes over time [1, N, ...]; of no use for rules without `uses_rate`.
    :param potential: u at every step [T, N, ...], only for rules with `uses_potential`."""

    dynamics: Dynamics
    current: Tensor
    rate: Tensor
    potential: Tensor | None


class RateGradient(Gradient):
    """A rule whose gradient at the current is (gradient at the spikes) x (slope without time).

    A new rule overrides :meth:`slope`, sets `uses_potential` when it needs u at every step, and may
    set `uses_current` or `uses_rate` to False when it does not read these. One that averages
    (gradient at the spikes) x (slope of the step) over time sets `averages`, and may give a slope
    for every step. That is the same where the gradient at the spikes is, as it is in replay,
    constant in time."""

    uses_potential: ClassVar[bool] = False
    uses_current: ClassVar[bool] = True
    uses_rate: ClassVar[bool] = True
    averages: ClassVar[bool] = False

    @abstractmethod
    def slope(self, trace: Trace) -> Tensor:
        """Slope [1, N, ...] from the trace of one simulation, or [T, N, ...] if it averages."""

    def logits(self, network: Differentiable, x: Tensor) -> Tensor:
        encoded = network.encode(x)
        reason, lasting = not_collapsible(network, encoded), False
        if reason is None:
            logits, reason, lasting = collapsed(self, network, encoded)
            if reason is None:
                network.execution = Execution("collapsed", "the layers between neurons are affine")
                return logits
        logits = time_resolved(self, network, encoded)
        network.execution = Execution("time-resolved", reason)
        if lasting:
            network.obstacles[key_of(network, encoded)] = reason
        return logits


def no_rate_curve(dynamics: Dynamics) -> str | None:
    """The objection of a rule that reads the rate-current curve off decay and threshold."""
    if dynamics.has_rate_curve:
        return None
    others = "it uses the rate-current curve of LIF and IF, and these neurons obey other equations"
    return dynamics.unknown or others


def collapsed(
    rule: RateGradient, network: Differentiable, encoded: Tensor
) -> tuple[Tensor, str | None, bool]:
    """Record and replay.

    :return: the exact logits [N, K] with the rule in their graph, and None; or, where the replay
        did not reproduce the recorded currents, the logits without a graph and the reason; and
        whether that reason will last, which values that are not finite do not."""
    # With the batch size, since a layer may look at it.
    key = encoded.shape[1], key_of(network, encoded)
    transparent = weights_held() and network.matches.get(key, False) and network.plain
    if transparent:
        logits = _hollow(rule, network, encoded)
        if logits is not None:
            return logits, None, True
    exact, tape = _record(rule, network, encoded)
    replayer, trail = _Replayer(rule, tape), Trail()
    try:
        with on_trail(trail):
            replayed = network.run(mean_over_time(encoded), replayer)
        reason, lasting = replayer.mismatch(replayed, exact)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        # A layer that refuses the averaged input is merely not replayable. A defect of the
        # network itself would have shown in the recording, or shows again time-resolved.
        return exact, refusal("replay", error), True
    if reason is not None:
        return exact, reason, lasting
    # Not after a hollow one that failed.
    remember(network.matches, key, trail.transparent and not transparent)
    return _Exact.apply(exact, replayed), None, True  # type: ignore[no-untyped-call]


def _record(
    rule: RateGradient, network: Differentiable, encoded: Tensor, *, hollow: bool = False
) -> tuple[Tensor, "list[_Entry]"]:
    """Logits [N, K] without a graph, and the tape."""
    recorder = _Recorder(rule, hollow)
    with torch.no_grad():
        return network.run(encoded.detach(), recorder), recorder.tape


def _hollow(rule: RateGradient, network: Differentiable, encoded: Tensor) -> Tensor | None:
    """Record, and a replay that has the graph alone; None where that cannot be after all.

    Values that are not finite are left to the other way, which tells of them."""
    exact, tape = _record(rule, network, encoded, hollow=True)
    sums = [exact.sum(), encoded.detach().sum(dtype=torch.float32)]
    sums += [entry.current for entry in tape]
    if not torch.stack([one.float() for one in sums]).isfinite().all():
        return None
    try:
        with on_trail(Trail(hollow=True)):
            replayed = network.run(mean_over_time(encoded), _Replayer(rule, tape))
    except OUT_OF_MEMORY:
        raise
    except Exception:
        return None
    logits: Tensor = _Exact.apply(exact, replayed)  # type: ignore[no-untyped-call]
    return logits


def time_resolved(rule: RateGradient, network: Differentiable, encoded: Tensor) -> Tensor:
    """Logits [N, K] of one pass in which every step's gradient is multiplied by the slope."""

    def fire(site: Site, current: Tensor) -> Tensor:
        spikes: Tensor
        spikes, _ = _EveryStep.apply(current, rule, site)  # type: ignore[no-untyped-call]
        return spikes

    return network.run(encoded, fire)


def _trace(
    rule: RateGradient,
    site: Site,
    current: Tensor,
    mean: Tensor,
    spikes: Tensor,
    rates: bool = False,
) -> Trace:
    """What a simulation that writes the spikes leaves behind.

    :param mean: mean current over time, or whatever for rules that do not read it.
    :param rates: whether the rate is wanted although the rule does not read it."""
    potential = torch.empty_like(spikes) if rule.uses_potential else None
    site.dynamics.simulate(current, potential, spikes)
    rate = time_mean(spikes) if rates or rule.uses_rate else spikes[:1]
    return Trace(site.dynamics, mean, rate, potential)


def _mean_current(rule: RateGradient, current: Tensor) -> Tensor:
    return mean_over_time(current) if rule.uses_current else current[:1]


def _spikes_for(current: Tensor) -> Tensor:
    return torch.empty(current.shape, dtype=current.dtype, device=current.device)


@dataclass(frozen=True)
class _Entry:
    """What a neuron leaves on the tape.

    :param site: the neuron.
    :param slope: [1, N, ...].
    :param rate: mean of its spikes over time [1, N, ...]; None for a hollow replay.
    :param current: mean current over time [1, N, ...]; for a hollow replay a sum of currents [],
        which is finite where they are."""

    site: Site
    slope: Tensor
    rate: Tensor | None
    current: Tensor


def _slope(rule: RateGradient, trace: Trace) -> Tensor:
    """The rule's slope at the input current, of which it sees what arrives behind the gain."""
    own, potential = trace.dynamics, trace.potential
    if own.plain:
        return rule.slope(trace)
    if potential is not None and own.origin != 0:
        potential = potential - own.origin
    seen = Trace(own.standard, own.effective(trace.current), trace.rate, potential)
    return rule.slope(seen).mul(operand(own.gain, trace.current))


def _mean_slope(rule: RateGradient, trace: Trace) -> Tensor:
    slope = _slope(rule, trace)
    return slope if slope.shape[0] == 1 else time_mean(slope)


class _Recorder:
    """Fires by plain simulation and writes one tape entry per call.

    :param hollow: whether the replay is, which reads no rates and no currents."""

    def __init__(self, rule: RateGradient, hollow: bool) -> None:
        self.rule, self.hollow = rule, hollow
        self.tape: list[_Entry] = []

    def __call__(self, site: Site, current: Tensor) -> Tensor:
        rule, full = self.rule, not self.hollow
        spikes, mean = _spikes_for(current), _mean_current(self.rule, current)
        rate, slope = torch.empty_like(spikes[:1]), torch.empty_like(spikes[:1])
        # With the potential in parts that fit the cache.
        parts = blocks(spikes, steps=len(spikes)) if rule.uses_potential else [slice(None)]
        for part in parts:
            x = current[:, part]
            trace = _trace(rule, site, x, mean[:, part], spikes[:, part], rates=full)
            slope[:, part] = _mean_slope(rule, trace)
            if full:
                rate[:, part] = trace.rate
        told = self._told(current, mean)
        self.tape.append(_Entry(site, slope, rate if full else None, told))
        return spikes

    def _told(self, current: Tensor, mean: Tensor) -> Tensor:
        if not self.hollow:
            return mean if self.rule.uses_current else mean_over_time(current)
        return (mean if self.rule.uses_current else current[-1]).sum(dtype=torch.float32)


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
        if entry.rate is not None:
            threshold = least(site.dynamics.threshold)
            self.excesses.append(excess_of(current, entry.current, threshold))
        self.dtype = current.dtype
        rate = current.detach() if entry.rate is None else entry.rate
        answer: Tensor
        answer, _ = _Replay.apply(current, rate, entry.slope, self.rule)  # type: ignore[no-untyped-call]
        return answer

    def mismatch(self, replayed: Tensor, exact: Tensor) -> tuple[str | None, bool]:
        """Why the replay is not the time average of the recording, and whether that will last."""
        if self.tape:
            return "the replay called fewer neurons than the recording", True
        # Logits are single precision also where the layers are not.
        told = replayed.detach().to(self.dtype)[None], exact.to(self.dtype)[None]
        excesses = [*self.excesses, excess_of(*told, 1.0)]
        return first_excess(excesses, self.names)


class _Replay(torch.autograd.Function):
    """The recorded rate forward, the recorded slope backward."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, rate: Tensor, slope: Tensor, rule: RateGradient
    ) -> tuple[Tensor, Tensor]:
        return anchored(ctx, rule, rate.view_as(rate), slope)

    @staticmethod
    @once
    def backward(ctx: Any, grad_rate: Tensor) -> tuple[Tensor, None, None, None]:
        slope, _ = ctx.saved_tensors
        return (grad_rate * slope).to(grad_rate.dtype), None, None, None


class _Exact(torch.autograd.Function):
    """The recorded logits forward, the gradient of the replayed ones backward."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, replayed: Tensor) -> Tensor:
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


class _EveryStep(torch.autograd.Function):
    """The spikes forward, the slope at every time step backward."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, rule: RateGradient, site: Site) -> tuple[Tensor, Tensor]:
        spikes = _spikes_for(current)
        trace = _trace(rule, site, current, _mean_current(rule, current), spikes)
        ctx.averages = rule.averages
        return anchored(ctx, rule, spikes, _slope(rule, trace))

    @staticmethod
    @once
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None, None]:
        slope, _ = ctx.saved_tensors
        d = grad_spikes * slope
        return time_mean(d).expand_as(d) if ctx.averages else d, None, None
