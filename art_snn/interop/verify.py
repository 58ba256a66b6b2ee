"""Verify a model before its results are trusted.

* For every shape of input, mode and setting of its modules: a pass of ours, from the start of its
  neurons, computes what the model computes by itself.
* With the first batch of several samples, or for other weights: no logits depend on the other
  samples of the batch.
* Before a rule of ours, and on one sample for other weights: spikes are 0 or the height, and those
  of the dynamics that were read off the neurons, bit for bit. Again in some gradient passes at the
  input, as long as the network is used, since equations may agree on the first samples alone; of
  neurons that are called step by step in all of them, by the pass itself.
* Both again once logits differ for the first time, where all were alike: silence agrees with any
  equations.
* Once for every rule: the gradient passes through the model, which adds no autograd function of its
  own to the graph. A gradient of zero by the rule's own slope results in a warning."""

import re
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import ArgumentError
from art_snn.dynamics import operand
from art_snn.engine.body import VERIFIED, Traits
from art_snn.gradients import STBP, Gradient, Native
from art_snn.gradients.base import flatten, simulation
from art_snn.gradients.rate import remember
from art_snn.gradients.temporal import TemporalGradient
from art_snn.interop.body import ModelBody
from art_snn.interop.forward_pass import (
    Exchange,
    FiringPass,
    other_equations,
    require_spikes,
)
from art_snn.interop.gradient_checks import find_slopes, require_gradient
from art_snn.interop.neuron_state import versions
from art_snn.interop.refusals import (
    ALONE,
    EXCHANGE,
    NATIVE,
    MixedSamples,
    UnusableEquations,
    refusal,
    unusable,
)
from art_snn.interop.slopes import Slopes
from art_snn.interop.stateful_modules import Member
from art_snn.interop.steps import StepPass
from art_snn.interop.trial_passes import FORMS, find_traits
from art_snn.layers import varies
from art_snn.randomness import draws_numbers, mirror_samples
from art_snn.running.context import RUN, WATCHED, set_in_block
from art_snn.running.digests import count_writes, settings

_REMEMBERED = 256
"""States that a network remembers to be verified."""
_FIRST = (4, 8, 16)
"""Early gradient passes before which neurons are compared again."""
_EVERY = 32
"""Neurons are also compared again before one of so many later gradient passes."""
_DRAWS = (
    "the model draws random numbers in evaluation mode, so the same samples get other logits in "
    "every pass. F.dropout needs training=self.training. If the model is meant to be random, "
    "attack it by EOT, as by the rule eot(native), and report the accuracy over several draws."
)


def verify(
    body: ModelBody, rule: Gradient | None, x: Tensor, *, again: bool = False
) -> None:
    """Refuse, before a pass, a model that computes otherwise than is believed.

    Where the equations of its neurons cannot be used, and a temporal rule passes all checks without
    them, it exchanges the slope of spikes from then on.

    :param rule: that is to differentiate the pass; None for a prediction.
    :param again: whether to check again what silence has left open, after the pass."""
    try:
        _verify(body, rule, x, again)
    except UnusableEquations as error:
        # Passes that were verified have relied on the equations, but for those of silence.
        facts = body.verified.get(_setup(body, x), {})
        if rule is None or ("relied" in facts and not again):
            raise
        _exchange_instead(body, rule, x, error)

    slopes: Slopes | None = body.traits.slopes
    if rule is None or slopes is None or not slopes.calls or body.places:
        return
    if any(isinstance(one, TemporalGradient) for one in flatten(rule)):
        body.places |= slopes.describe()
        places = "; ".join(f"{place}: {what}" for place, what in body.places.items())
        words = "the rule knows no equations of some neurons, and exchanges the slope of their"
        costs = ""
        if body.unused:
            words = f"{body.unused[0]}. The rule exchanges slopes of"
            costs = " Rate rules, such as RGA, and bounds need the equations, and refuse the model."
        warnings.warn(f"{words} spikes alone: {places}.{costs}", stacklevel=2)


def _exchange_instead(
    body: ModelBody, rule: Gradient, x: Tensor, error: UnusableEquations
) -> None:
    """Use no equations of neurons from now on, if the rule needs none, and all checks pass.

    Otherwise the error is raised, with those of its last remedies that pass all checks."""
    twin = body.share()
    twin.verified = body.verified
    reason, _, _ = error.complaint.partition(". ")
    twin.unused = [f"no equations of neurons can be used: {reason}"]

    def passes(other: Gradient) -> bool:
        with suppress(ValueError, RuntimeError), twin.opened():
            twin.require_applicable(other, "gradient")
            _verify(twin, other, x)
            return True
        return False

    if passes(rule):
        body.unused += twin.unused
        body.places.clear()
        body.traits = twin.traits
        body.change(members=twin.members)
        return
    complaint = error.complaint
    for other, remedy in (STBP(), EXCHANGE), (Native(), NATIVE):
        if not passes(other):
            complaint = complaint.replace(f" {remedy}", "")
    raise ArgumentError(error.argument, complaint) from None


def _verify(
    body: ModelBody, rule: Gradient | None, x: Tensor, again: bool = False
) -> None:
    """Refuse a model as :func:`verify` does, but for equations that cannot be used."""
    if RUN.get().constant_weights and not x.requires_grad:
        rule = None  # Nothing is differentiated.
    if not len(x):
        return

    # The traits of the model and all else that is known of its present setup.
    facts: dict[Hashable, Any] = body.verified.get(_setup(body, x), {})
    samples = _Samples(x.detach()[: VERIFIED if again else None])
    if "traits" not in facts:
        # A twin, since passes of other threads may rely on the traits of their setup.
        twin = body.share()
        twin.traits = facts["traits"] = Traits()
        with _isolated(x):
            find_traits(twin, samples.x)
        with _isolated(x):
            _observe_runs(twin, samples.few())
        # What passes change by themselves is known now, and no part of the setup.
        remember(body.verified, _setup(body, x), facts, _REMEMBERED)
        if twin.traits.draws and not body.layers.training:
            warnings.warn(_DRAWS, stacklevel=2)
    body.traits = facts["traits"]
    if again:
        facts.pop("rows", None)
        facts.pop("spikes", None)

    # A module that computes something else at every call, in training mode, is not verified.
    changing = any(
        varies(m) or (m.training and re.search("Dropout|DropPath", type(m).__name__))
        for m in body.layers.modules()
    )
    for one in (None,) if rule is None else flatten(rule):
        if not changing:
            _verify_setup(body, one, x, samples, facts)
        elif isinstance(one, TemporalGradient) and "slopes" not in facts:
            with _isolated(x), body.restoring():
                find_slopes(body, x.detach()[:VERIFIED])
            facts["slopes"] = True


class _Samples:
    """A batch x [N, ...] on which a model is verified, and its logits there, once computed.

    Checks are made one after the other, each from the random state that the caller has."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.logits: Tensor | None = None
        self.compared = False
        """True once the logits are known to be those of the model by itself."""

    def few(self) -> "_Samples":
        """The first of them."""
        return self if len(self.x) <= VERIFIED else _Samples(self.x[:VERIFIED])

    def run(self, body: ModelBody) -> Tensor:
        """Logits [N, K] of the model in a pass of ours, without a rule."""
        if self.logits is None:
            with body.restoring(), _same_draws(self.x):
                self.logits = body.run_by_itself(body.encode(self.x))
        return self.logits


@torch.no_grad()
def _observe_runs(body: ModelBody, samples: _Samples) -> None:
    """Find out whether the model draws, and whether it reads the state of its neurons.

    It reads the state if it computes something else where modules do not show theirs."""
    traits = body.traits
    traits.reads = False
    try:
        encoded = body.encode(samples.x)
        # The model itself may write on neurons, as init_leaky of snnTorch does.
        inside = [part for module in body.members for part in module.children()]

        def run() -> None:
            samples.logits = body.run_by_itself(encoded)

        with body.restoring():
            with _same_draws(encoded):
                before = list(map(versions, inside))
                traits.draws = draws_numbers(run, encoded.device)
                after = list(map(versions, inside))
            # Later, since a state that is kept from run to run has changed by now.
            alone = _run_alone(body, encoded)
        _require_same(alone, samples.run(body), rounded=False)
        samples.compared = True
        # Modules inside of neurons keep what they write, in whatever pass.
        traits.reads = before != after
    except Exception:  # It fails again in the pass, where it is reported.
        traits.reads = True
    if traits.reads:
        samples.logits = None
        samples.compared = False


def _verify_setup(
    body: ModelBody,
    rule: Gradient | None,
    x: Tensor,
    samples: _Samples,
    facts: dict[Hashable, Any],
) -> None:
    def once(
        depends: Hashable, check: Callable[[], object], state: Hashable = True
    ) -> None:
        """Check what depends on setup, this and a state, and remember that it holds."""
        if facts.get(depends) != state:
            with _isolated(x):
                check()
            remember(facts, depends, state, _REMEMBERED)

    traits = body.traits
    inputs = samples.x
    few = samples.few()
    native = isinstance(rule, Native)
    once(("logits", native), lambda: _compare_logits(body, samples, native=native))
    # Training alone changes weights all the time.
    if len(x) > 1 and (rule is None or x.requires_grad or "rows" not in facts):
        weights = count_writes(body.layers.parameters())
        rows = few if "rows" in facts else samples
        once("rows", lambda: _compare_rows(body, rows), weights)
    if rule is None:
        return
    if not native:
        once("slopes", lambda: find_slopes(body, few.x))
        later = "spikes" in facts

        def compare_spikes() -> None:
            alone = samples.run(body)
            _require_same(alone, _compare_spikes(body, inputs), rounded=False)

        once("spikes", compare_spikes)
        if x.requires_grad:
            version = body.version_key(exact=False)
            once(version, lambda: not later or _compare_spikes(body, inputs[:1]))
        traits.passes += x.requires_grad
        again = traits.passes in _FIRST or traits.passes % _EVERY == 0
        # Neurons that are called step by step are compared in every pass anyway.
        if x.requires_grad and again and not body.members.steps_alone:
            with _isolated(x):
                _compare_spikes(body, inputs)
    once(
        (repr(rule), x.requires_grad), lambda: require_gradient(body, rule, x[:VERIFIED])
    )
    if not native:
        facts["relied"] = True


def _same_draws(x: Tensor) -> AbstractContextManager[None]:
    """A block after which torch's generators draw what they would have drawn without it."""
    return torch.random.fork_rng([x.device] if x.is_cuda else [])


@contextmanager
def _isolated(x: Tensor) -> Iterator[None]:
    """A block whose passes draw no random numbers from the caller's and are not watched."""
    # In half precision, as training may run, two ways of computing neurons differ.
    exact = torch.autocast(x.device.type, enabled=False)
    with _same_draws(x), set_in_block(WATCHED, ()), exact:
        yield


def _setup(body: ModelBody, x: Tensor) -> Hashable:
    """A key that changes with the input's shape and the model's modules and settings."""
    modules = list(body.layers.named_modules())
    kinds = tuple((name, type(module), module.training) for name, module in modules)
    equations = tuple(
        (layer.layout, type(layer.site.dynamics), layer.site.dynamics.reset)
        for layer in body.neuron_layers()
    )
    plain = frozenset(settings(modules, body.volatile).items())
    form = (x.shape[1:], x.dtype, x.device, str(body.encoder))
    return *form, kinds, equations, bool(body.unused), plain


@torch.no_grad()
def _compare_logits(body: ModelBody, samples: _Samples, *, native: bool) -> None:
    """Compare a pass of ours with the model as it is."""
    if samples.compared and not native:
        return
    encoded = body.encode(samples.x)
    with body.restoring():
        try:
            alone = _run_alone(body, encoded)
        except (RuntimeError, IndexError) as error:
            if hasattr(error, "add_note"):  # From Python 3.11 on.
                given = encoded[0] if body.loops_itself else encoded
                error.add_note(
                    f"The model was given a batch of shape {list(given.shape)}. {FORMS}"
                    f"{body.traits.failed}"
                )
            raise
        ours = body.run_by_itself(encoded, native=native)
    # In training mode some versions of frameworks add in another order.
    _require_same(alone, ours, rounded=native)
    if not native:
        samples.logits = ours


def _run_alone(body: ModelBody, encoded: Tensor) -> Tensor:
    """Logits [N, K] of the model as it is, from the start of its neurons.

    States that are known begin again in a later run, and others do not."""
    for member in body.members.values():
        member.kind.refresh(member.module, body.steps_of(encoded))
    with _same_draws(encoded):
        return body.logits(encoded)


_SAME = "one that computes the same in a pass of ours"
_REMEDY = (
    "It keeps a state from call to call, sets that of a neuron from outside, or draws by "
    "another generator than torch's. Recognised neurons start from rest at every pass; let "
    "others do so as well. Encoders such as Poisson draw spikes."
)


def _require_same(
    alone: Tensor,
    ours: Tensor,
    expected: str = _SAME,
    *remedies: str,
    rounded: bool,
    kind: type[ArgumentError] = ArgumentError,
) -> None:
    """Refuse logits in a pass of ours that are not those of the model by itself.

    To rounding on a GPU, where sums change from call to call."""
    if rounded or alone.is_cuda:
        same = torch.allclose(alone, ours, rtol=1e-3, atol=1e-5, equal_nan=True)
    else:
        same = torch.equal(alone.nan_to_num(), ours.nan_to_num())
    if not same:
        got = f"one whose logits then differ by {(alone - ours).abs().max().item():.3g}"
        raise refusal(expected, got, *(remedies or [_REMEDY]), kind=kind)


@torch.no_grad()
def _compare_rows(body: ModelBody, samples: _Samples) -> None:
    """Refuse a model whose logits of a sample depend on the other samples of its batch."""
    x = samples.x
    others = x.clone()  # Of the same shape, which rounding depends on.
    others[1::2] = mirror_samples(x)[1::2]
    logits = samples.run(body)
    again = _Samples(others).run(body)
    _require_same(
        logits[::2],
        again[::2],
        "one whose logits of a sample are the same whatever else is in its batch",
        "Which of its axes is the batch? A layer, a neuron (in another step mode?) or the readout "
        "takes samples for time steps or features: a model [N, T, K] is read by "
        "readout=lambda out: out.mean(1).",
        ALONE,
        rounded=True,
        kind=MixedSamples,
    )
    if torch.equal(logits[1::2], again[1::2]):
        _note_silence(body, logits)


@torch.no_grad()
def _compare_spikes(body: ModelBody, x: Tensor) -> Tensor:
    """Compare the spikes of all neurons with those of their dynamics; returned are the logits."""
    encoded = body.encode(x)
    kind = _ComparingSteps if body.members.steps_alone else _ComparingExchange
    this = kind(body, encoded, simulation)
    logits = body.run_in(this, body.logits, encoded)
    body.traits.silent = [name for name in this.sites if not this.calls[name]]
    if this.sites.keys() - body.traits.silent - this.lively:
        _note_silence(body, logits)
    return logits


def _note_silence(body: ModelBody, logits: Tensor) -> None:
    """Note that samples have shown little, if all have the same logits [N, K]."""
    if (logits == logits[:1]).all():
        body.traits.silence = logits[:1]


def _compare(this: FiringPass, name: str, spikes: Tensor, ours: Tensor) -> None:
    """Refuse spikes [T, N, ...] of a neuron that are not those of its dynamics."""
    site = this.sites[name]
    height = site.dynamics.amplitude
    odd = spikes[(spikes != 0) & (spikes != operand(height, spikes))]
    if len(odd) and site.dynamics.max_spikes == 1:
        raise unusable(
            f"neurons whose outputs are 0 or {height:g}",
            f"{name}, which gave {odd[0].item():g}",
            "Dynamics(amplitude=...) says how high all spikes are, and max_spikes=... how many "
            "a step may have.",
        )
    if (spikes != ours).any():
        raise other_equations(site, spikes, ours)
    if spikes.any() and not spikes.all():
        this.lively.add(name)


class _ComparingExchange(Exchange):
    """Fires by the dynamics, and compares with the neuron itself."""

    def answer(self, member: Member, x: Tensor, current: Tensor) -> Tensor:
        ours = super().answer(member, x, current)
        spikes = self.run_alone(member, current)[0]
        require_spikes(member.name, spikes, current)
        several = self.calls[member.name] > 1
        if several and not torch.equal(spikes, self.run_alone(member, current)[0]):
            raise unusable(
                "neurons that start from rest at every place",
                f"{member.name}, which has several places and keeps a state",
                "One neuron cannot be at two places: give every place one of its own.",
            )
        spikes = member.to_steps(spikes, self.steps)
        _compare(self, member.name, spikes, ours)
        return ours


class _ComparingSteps(StepPass):
    """Runs the neurons themselves, and compares with the dynamics at the end."""

    def compare(self) -> None:
        for name, calls in self.made.items():
            spikes = torch.stack(calls.spikes).detach()
            _compare(self, name, spikes, calls.fired)
            calls.compare_potentials()
