"""Engine of the rate rules: the gradient at a current is the gradient at the spikes times a slope.

The slope has no time axis. Where the layers between neurons are affine, the backward pass
can thus run on tensors averaged over time:

1. *record*: simulate all T steps without a graph; neurons leave rate and slope on a tape;
2. *replay*: run the same layers once, with a graph, on the time-averaged input; neurons answer with
   the recorded rate and multiply by the recorded slope on the way back.

That costs about 1 + 2/T inferences and stores 1/T of the activations. It is right exactly
where the current in replay is the recorded mean current, which is measured at each neuron
and at the logits. Otherwise the same rule runs *time-resolved*: one pass with a graph
over all time steps.

Where all layers are of torch or ours and known to be affine, the replay is for *shapes only*: one
graph for all passes of a network in that state, and nothing computed, for 1 + 1/T inferences.

Rules by conversion replay alone: neurons answer with the activation of an ANN."""

import contextlib
import math
from abc import abstractmethod
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from art_snn.dynamics import Dynamics, empty_steps, least, operand
from art_snn.gradients.base import Body, Execution, Gradient, NeuronRef
from art_snn.gradients.fixed import product_precisions
from art_snn.gradients.shared import (
    apply,
    attach_anchor,
    blocks,
    differentiable_once,
    mean_over_time,
    straight_through,
)
from art_snn.running.context import RUN, change_run

_RELATIVE_TOLERANCE = 1e-3
"""Largest difference between replayed and recorded current, relative to the sample's largest."""
_TF32_TOLERANCE = 1e-2
"""The same where CUDA rounds single precision to ten bits, as convolutions do by default."""
_ABSOLUTE_TOLERANCE = 1e-6
"""Difference that always passes, in thresholds: rounding around a current of zero."""

_REMEMBERED = 64
"""Answers of the probe that a network keeps: one for each input shape and state of its weights."""


@dataclass(frozen=True)
class Trace:
    """The record of a neuron after one simulation, for a rate rule.

    :param dynamics: the neuron's state equations; what a rule sees has no further parameters.
    :param current: mean current over time [1, N, ...] after the gain, with what a floor
        added to potentials, for `uses_current`.
    :param rate: mean of the spikes over time [1, N, ...], for `uses_rate`.
    :param potential: u at every step [T, N, ...], for `uses_potential`; a rule may change it."""

    dynamics: Dynamics
    current: Tensor
    rate: Tensor
    potential: Tensor | None


class RateGradient(Gradient):
    """A rule whose gradient at the current is (gradient at the spikes) x (slope without time).

    A new rule overrides :meth:`slope`. It sets `uses_potential` when it needs u at every
    step, and may set `uses_current` or `uses_rate` to False when it does not read these.
    One that averages (gradient at the spikes) x (slope of the step) over time sets
    `averages`, and may give a slope for every step."""

    uses_potential: ClassVar[bool] = False
    uses_current: ClassVar[bool] = True
    uses_rate: ClassVar[bool] = True
    averages: ClassVar[bool] = False

    @abstractmethod
    def slope(self, trace: Trace) -> Tensor:
        """Slope [1, N, ...] from the trace of one simulation, or [T, N, ...] if it averages."""

    def logits(self, body: Body, x: Tensor) -> Tensor:
        encoded = body.encode(x)
        objection = _collapse_objection(body, encoded)
        replays = objection is None
        if objection is None:
            logits = collapse(self, body, encoded)
            if isinstance(logits, Tensor):
                body.execution = Execution(
                    "collapsed", "the layers between neurons are affine"
                )
                return logits
            objection = logits
        logits = resolve_in_time(self, body, encoded)
        body.execution = Execution("time-resolved", objection)
        # An input that is not finite says nothing of the layers.
        if replays and encoded.isfinite().all():
            remember(body.probe_results, _key_of(body, encoded), objection)
        return logits


def curve_objection(dynamics: Dynamics) -> str | None:
    """Why a rule cannot read the rate-current curve off decay and threshold, or None."""
    if isinstance(dynamics.decay, tuple) and not dynamics.unknown:
        return "it uses the rate-current curve of LIF and IF, and these have a decay for every step"
    # The rate is a function of the current after a reset to below the threshold.
    if dynamics.obeys_equations and dynamics.reset != "none" and dynamics.resets_below:
        return None
    others = "it uses the rate-current curve of LIF and IF, and these neurons obey other equations"
    return dynamics.unknown or others


class Conversion(Gradient):
    """A rule that differentiates an ANN of the same weights, run once on the mean of the input.

    Its forward pass is the ANN's, so **its logits are not those of the spiking network**;
    predictions need no gradient, and still are. A new rule overrides :meth:`activation`."""

    exact_logits = False
    second_derivative = True

    @abstractmethod
    def activation(self, current: Tensor, dynamics: Dynamics) -> Tensor:
        """The neuron of the ANN: current [1, N, ...] -> activation [1, N, ...]."""

    def logits(self, body: Body, x: Tensor) -> Tensor:
        body.execution = Execution(
            "converted", "the gradient is that of an ANN, run once"
        )
        encoded = body.encode(x)
        with change_run(averaged=len(encoded)):
            return body.run(mean_over_time(encoded), self._activate)

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        return curve_objection(dynamics)

    def _activate(self, site: NeuronRef, current: Tensor) -> Tensor:
        dynamics = site.dynamics
        if not dynamics.is_standard:
            current, dynamics = dynamics.effective(current), dynamics.standard
        return self.activation(current, dynamics)


def collapse(rule: RateGradient, body: Body, encoded: Tensor) -> Tensor | str:
    """Record and replay, for shapes only where all layers are known to be affine.

    :return: the exact logits [N, K] with the rule in their graph; or why the replay differs."""
    shapes_only = RUN.get().constant_weights and body.affine
    mean = mean_over_time(encoded)
    exact, tape = _record(rule, body, encoded, shapes_only)
    try:
        return (_connect if shapes_only else _replay)(rule, body, mean, exact, tape)
    except Exception as error:
        # A bug of the network would have shown in the recording, or shows again time-resolved.
        return _failure("replay", error)


def _connect(
    rule: RateGradient, body: Body, mean: Tensor, exact: Tensor, tape: "_Tape"
) -> Tensor | str:
    """The exact logits on the graph that passes of this shape share; or what is not finite."""
    question = ("graph", mean.shape, mean.dtype, mean.device)
    graph = body.remembered(question, lambda: _Graph(body, mean))
    slopes = [entry.slope for entry in tape]
    if [slope.shape for slope in slopes] != graph.shapes:
        raise ValueError("other currents than in the recording")
    total = (exact.sum() + mean.detach().sum(dtype=torch.float32)).float()
    sums = torch.stack([*(entry.current for entry in tape), total])
    # Sums less themselves are 0 where these are finite, otherwise NaN.
    mismatch = _first_mismatch(sums - sums, [entry.site.name for entry in tape])
    return mismatch or apply(_Connected, mean, (exact,), graph, rule, *slopes)


def _replay(
    rule: RateGradient, body: Body, mean: Tensor, exact: Tensor, tape: "_Tape"
) -> Tensor | str:
    """The exact logits on the graph of a replay, whose calls are answered from the tape in order.

    Or why the replay is not the time average of the recording."""
    names = [entry.site.name for entry in tape]
    excesses = []

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        if not tape:
            raise ValueError("more neurons are called than in the recording")
        entry = tape.popleft()
        threshold = least(site.dynamics.threshold)
        excesses.append(_excess_of(current, entry.current, threshold))
        return apply(_Sloped, current, (entry.rate,), entry.slope, rule)

    replayed = body.run(mean, fire)
    if tape:
        return "the replay called fewer neurons than the recording"
    excesses.append(_excess_of(replayed[None], exact[None], 1.0))
    return _first_mismatch(torch.stack(excesses), names) or straight_through(
        exact, replayed
    )


class _Graph:
    """The graph of replays for shapes only, from a mean input [1, N, ...] to logits.

    Neurons pass gradients on times the slope of the pass that is differentiated."""

    def __init__(self, body: Body, mean: Tensor) -> None:
        self.shapes: list[torch.Size] = []
        self.mean = mean.new_zeros(()).expand(mean.shape).requires_grad_()
        with change_run(shapes_only=True):
            self.logits = body.run(self.mean, self._fire)

    def _fire(self, site: NeuronRef, current: Tensor) -> Tensor:
        place, fired = len(self.shapes), current.view_as(current)
        self.shapes.append(current.shape)

        def sloped(grad: Tensor) -> Tensor:
            return (grad * RUN.get().slopes[place]).to(grad.dtype)

        if fired.requires_grad:
            fired.register_hook(sloped)
        return fired

    def gradient(self, grad: Tensor, slopes: Sequence[Tensor]) -> Tensor:
        """The gradient at the mean input for one at the logits [N, K]."""
        # Its hooks run in the present thread, which may serve several backward passes.
        with change_run(slopes=slopes):
            (d,) = torch.autograd.grad(
                self.logits, self.mean, grad, retain_graph=True, materialize_grads=True
            )
        return d


class _Connected(Function):
    """Logits of a recording forward; backward the gradient of a graph with its slopes."""

    @staticmethod
    def forward(
        ctx: Any,
        mean: Tensor,
        exact: tuple[Tensor],
        graph: _Graph,
        rule: RateGradient,
        *slopes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.graph = graph
        return attach_anchor(ctx, rule, *exact, *slopes)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *slopes, _ = ctx.saved_tensors
        return ctx.graph.gradient(grad, slopes), *[None] * (3 + len(slopes))


def resolve_in_time(rule: RateGradient, body: Body, encoded: Tensor) -> Tensor:
    """Logits [N, K] of one pass in which every step's gradient is multiplied by the slope."""

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        spikes = empty_steps(current)
        with torch.no_grad():
            slope, _ = _simulate(rule, site, current, spikes)
        return apply(_Sloped, current, (spikes,), slope, rule)

    return body.run(encoded, fire)


def _simulate(
    rule: RateGradient, site: NeuronRef, current: Tensor, spikes: Tensor
) -> tuple[Tensor, Tensor]:
    """The slope and the mean current, or the last one, of a simulation that writes the spikes."""
    dynamics = site.dynamics
    mean = mean_over_time(current) if rule.uses_current else current[-1:]

    lifts = rule.uses_current and dynamics.floor is not None
    potential = torch.empty_like(spikes) if rule.uses_potential or lifts else None
    dynamics.simulate(current, potential, spikes)
    rate = mean_over_time(spikes) if rule.uses_rate else spikes[:1]
    if dynamics.is_standard:
        return rule.slope(Trace(dynamics, mean, rate, potential)), mean

    # The rule sees what arrives after the gain, and potentials above the rest.
    effective = dynamics.effective(mean)
    if potential is not None and lifts:
        lacking = dynamics.above_floor(potential).neg_().clamp_(min=0)
        effective.add_(mean_over_time(lacking))
    if potential is not None and dynamics.origin != 0:
        potential = potential - dynamics.origin
    slope = rule.slope(Trace(dynamics.standard, effective, rate, potential))
    return slope.mul(operand(dynamics.gain, mean)), mean


class _Entry(NamedTuple):
    """The entry of a neuron on the tape: slope, mean rate and mean current, all [1, N, ...].

    For shapes only the rate is empty, and the current a sum [] that is finite where all are."""

    site: NeuronRef
    slope: Tensor
    rate: Tensor
    current: Tensor


_Tape = deque[_Entry]


@torch.no_grad()
def _record(
    rule: RateGradient, body: Body, encoded: Tensor, shapes_only: bool
) -> tuple[Tensor, _Tape]:
    """Logits of plain simulation, and one tape entry per call of a neuron, less for shapes only."""
    tape = _Tape()

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        spikes, slope = empty_steps(current), empty_steps(current[:1])
        sums = [
            record(site, current[:, part], spikes[:, part], slope[:, part])
            for part in blocks(spikes, 2 * len(spikes))
        ]
        if shapes_only:
            # Nothing of all time steps, of which a view would be enough to keep it.
            entry = _Entry(site, slope, spikes.new_empty(0), torch.stack(sums).sum())
        else:
            entry = _Entry(site, slope, mean_over_time(spikes), mean_over_time(current))
        tape.append(entry)
        return spikes

    def record(site: NeuronRef, current: Tensor, spikes: Tensor, slope: Tensor) -> Tensor:
        """Write spikes and slope of a block; a sum that is finite where its currents are."""
        steps, mean = _simulate(rule, site, current, spikes)
        slope.copy_(mean_over_time(steps))
        return mean.sum(dtype=torch.float32)

    return body.run(encoded.detach(), fire), tape


class _Sloped(Function):
    """Spikes or a rate forward; backward the gradient times the slope."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        output: tuple[Tensor],
        slope: Tensor,
        rule: RateGradient,
    ) -> tuple[Tensor, Tensor]:
        ctx.averages = rule.averages
        # In a tuple: a view of an argument could not be changed in place, as SEW-ResNet does.
        return attach_anchor(ctx, rule, *output, slope)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        slope, _ = ctx.saved_tensors
        d = (grad * slope).to(grad.dtype)
        return mean_over_time(d).expand_as(d) if ctx.averages else d, None, None, None


def _collapse_objection(body: Body, encoded: Tensor) -> str | None:
    """Why the network cannot be replayed on time averages, or None where it can.

    Layers that are not known are probed once for every shape of input and state of the network."""
    objection = body.averaging_objection()
    if objection is not None:
        return objection
    filtered = [site.name for site in body.neurons() if site.dynamics.has_synapse]
    if filtered:
        return f"the synapse of neuron {filtered[0]} filters its current over time"
    if encoded.shape[0] == 1:
        return "with one time step there is nothing to average"
    if encoded.shape[1] == 0:
        return "the batch is empty"
    if encoded.dtype.itemsize < 4 or torch.is_autocast_enabled(encoded.device.type):
        return "in half precision rounding hides whether the layers are affine"
    if body.affine:
        return None
    key = _key_of(body, encoded)
    # Not looked up twice: another thread may clear them in between.
    with contextlib.suppress(KeyError):
        return body.probe_results[key]
    with body.observe_writes():
        objection = probe(body, encoded)
    # Without what the probe has written.
    remember(body.probe_results, _key_of(body, encoded), objection)
    return objection


def remember(
    answers: dict[Hashable, Any], key: Hashable, answer: object, most: int = _REMEMBERED
) -> None:
    """Keep one answer more, and not too many."""
    if len(answers) >= most and key not in answers:
        answers.clear()
    answers[key] = answer


def _key_of(body: Body, encoded: Tensor) -> Hashable:
    """A key of all that an answer of the probe depends on."""
    form = (encoded.shape[0], *encoded.shape[2:], encoded.dtype)
    return (*form, _tolerance(encoded), body.version_key(exact=False))


@torch.no_grad()
def probe(body: Body, encoded: Tensor) -> str | None:
    """Why the layers between neurons are not affine, or None where they are.

    Spikes do not show it: a ReLU changes none of them and still cuts gradients. So
    neurons and input are random numbers a, b and (a + b) / 2, and the third current must
    be the mean."""
    # A separate generator: the probe must not disturb the user's random state.
    generator = torch.Generator(encoded.device).manual_seed(0)
    names = []
    excesses = []

    def draw(like: Tensor) -> Tensor:
        """a, b and (a + b) / 2 of one sample [3, 1, ...]."""
        a, b = torch.randn(
            (2, 1, *like.shape[2:]),
            dtype=like.dtype,
            device=like.device,
            generator=generator,
        )
        return torch.stack([a, b, (a + b) / 2])

    def judge(current: Tensor, threshold: float) -> None:
        a, b, middle = current
        excesses.append(_excess_of(middle[None], (a + b)[None] / 2, threshold))

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        judge(current, least(site.dynamics.threshold))
        names.append(site.name)
        return draw(current)

    # No synapse filters steps that are none.
    apart = change_run(averaged=-1)
    try:
        with apart:
            judge(body.outputs(draw(encoded), fire), 1.0)
        return _first_mismatch(torch.stack(excesses), names)
    except Exception as error:
        return _failure("probe", error)


def _first_mismatch(excesses: Tensor, names: list[str]) -> str | None:
    """The mismatch at the first positive or NaN excess, at a neuron or at last at the logits."""
    places = [*(f"neuron {name}" for name in names), "the logits"]
    for place, excess in zip(places, excesses.tolist(), strict=True):
        if not math.isfinite(excess):
            return f"the input of {place} is not finite"
        if excess > 0:
            return (
                f"the layers before {place} are not affine: "
                "their output on averages differs"
            )
    return None


def _failure(stage: str, error: Exception) -> str:
    """The mismatch that an exception of a probe or replay shows."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        raise error
    return f"the {stage} failed ({type(error).__name__}: {error})"


def _excess_of(replayed: Tensor, recorded: Tensor, threshold: float) -> Tensor:
    """Largest difference of any sample beyond what rounding may cause; <= 0 when all match."""
    if replayed.shape != recorded.shape:
        raise ValueError(
            f"shape {list(replayed.shape)} instead of {list(recorded.shape)}"
        )
    dims = tuple(range(2, recorded.ndim)) or (0,)
    difference = torch.sub(replayed.detach(), recorded).abs_().amax(dims)
    allowed = recorded.abs().amax(dims) * _tolerance(recorded)
    return (difference - allowed - _ABSOLUTE_TOLERANCE * threshold).amax()


def _tolerance(recorded: Tensor) -> float:
    """Largest relative difference that rounding may cause between a replay and its recording."""
    single = recorded.is_cuda and recorded.dtype == torch.float32
    rounds = single and "tf32" in product_precisions(recorded)
    return _TF32_TOLERANCE if rounds else _RELATIVE_TOLERANCE
