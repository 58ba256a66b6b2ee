"""All checks before any attack: of samples and their range, of predictions and of gradients."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from scipy.special import log_softmax
from torch.nn import Module

from art_snn.attacks.measures import EUCLIDEAN, Norm
from art_snn.attacks.queries import margin
from art_snn.checks import ArgumentError, quote, require
from art_snn.classifier.inputs import as_tensor
from art_snn.files import digest
from art_snn.findings.finding import (
    OTHER_RULES,
    SEARCH,
    Finding,
    Remedy,
    Subject,
    advise,
    list_samples,
)
from art_snn.gradients import Gradient, spell
from art_snn.network import SpikingNetwork
from art_snn.progress import progress_over
from art_snn.randomness import DIFFERENCE, logit_spread
from art_snn.running.context import keep_modes
from art_snn.seeding import uniform_noise

AnySubject = TypeVar("AnySubject", bound=Subject)

NARROW = 1 / 16
"""The share of the range that samples use at least."""
LARGE = 0.5
SMALL = 1e-3
"""Shares of the range from which on a budget is too large, and below which too small."""

RANDOM = "random-network"
_ALONE = 1e-3
"""Relative change of logits between a sample alone and in a batch."""
_CALLED = 8
"""Samples that are predicted one by one."""
_OF_ONE = 1e-5
_SATURATED = 0.1
_UNSTABLE = 0.5
_DIRECTIONS = 100
_RADIUS = 8 / 255
"""In the width of the range of the samples."""
_TINY = 1e-6


def run_checks(
    checks: Collection[Callable[[AnySubject], Finding | None]],
    subject: AnySubject,
    about: str = "network",
    verbose: bool = False,
) -> list[Finding]:
    """The findings of the checks; the network is afterwards what it was."""
    with _restore_after(subject.estimator.model):
        shown = progress_over(
            checks, f"Findings: {about}", unit="checks", verbose=verbose
        )
        findings = [check(subject) for check in shown]
    return [replace(finding, about=about) for finding in findings if finding is not None]


@contextmanager
def _restore_after(network: Module) -> Iterator[None]:
    """Weights, buffers and modes are after the block what they were before; new buffers go."""
    # What torch.jit compiled gains no buffers.
    registered = [
        (module._buffers, dict(module._buffers))
        for module in network.modules()
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    tensors = (*network.parameters(), *network.buffers())
    before = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        with keep_modes(network):
            yield
    finally:
        with torch.no_grad():
            for tensor, values in before:
                if not torch.equal(tensor, values):
                    tensor.copy_(values)
        for buffers, former in registered:
            buffers.clear()
            buffers.update(former)


def _range_unknown(subject: Subject) -> Finding | None:
    """Nothing says which values a sample may have."""
    if subject.estimator.clip_values is not None:
        return None
    low, high = float(subject.x.min()), float(subject.x.max())
    return Finding(
        "range-unknown",
        "range of values unknown",
        {"lowest value": low, "highest value": high},
        "if there are no clip_values (ours)",
        advise("Give the classifier the range of its samples as clip_values."),
        sentence=f"The samples lie between {low:.4g} and {high:.4g}. The classifier has no "
        "clip_values, so attacks may return values that no sample can have.",
    )


def _range_left(subject: Subject) -> Finding | None:
    """Samples have values that the range excludes, or use next to none of it."""
    values = subject.estimator.clip_values
    if values is None:
        return None
    low, high = values
    least, most = subject.limits
    outside = float(((subject.x < least) | (subject.x > most)).mean())
    used = float(np.ptp(subject.x)) / subject.span
    if outside == 0 and used >= NARROW:
        return None
    extent = f"the range of clip_values, {np.min(low):.4g} to {np.max(high):.4g}"
    words = f"The samples use {100 * used:.2g} % of"
    if outside:
        words = f"{100 * outside:.3g} % of the values lie outside"
    return Finding(
        "range-left",
        "samples that do not fit their range",
        {
            "share of values outside": outside,
            "share of the range in use": used,
            "highest value": float(subject.x.max()),
        },
        f"if any value lies outside clip_values, or less than {NARROW:g} of the range is in use, "
        "as of images of 0..1 in a range of 0..255 (ours)",
        advise("Scale the samples or correct clip_values. Normalise inside the network."),
        sentence=f"{words} {extent}.",
        severity="error",
    )


def odd_budget(subject: Subject) -> Finding | None:
    """The budget is as wide as the range, or too small to matter."""
    if subject.measure.counted or not subject.span:
        return None
    share = subject.eps / subject.reach
    if SMALL <= share < LARGE:
        return None
    extent = "diagonal" if subject.measure == EUCLIDEAN else "width"
    meaning = (
        "too little to matter" if share < SMALL else "every image may become plain grey"
    )
    return Finding(
        "odd-budget",
        "budget that does not fit the range",
        {"eps": subject.eps, f"{extent} of the range": subject.reach, "share": share},
        f"if eps is {LARGE:g} of the range or more, where all images can become grey, or less "
        f"than {SMALL:g} (ours)",
        advise(
            "Give it in the unit of the samples: 8/255 for images in [0, 1], 8 for 0..255."
        ),
        sentence=f"eps {subject.eps:.4g} is {share:.3g} times the range's {extent}: {meaning}.",
        severity="error",
        eps=subject.eps,
    )


def _state_kept(subject: Subject) -> Finding | None:
    """A prediction depends on what was predicted before it."""
    if not subject.stateful:
        return None
    first, again = subject.again
    change = float(np.abs(np.nan_to_num(again) - np.nan_to_num(first)).max())
    classes = again.argmax(1) != first.argmax(1)
    return Finding(
        "state-kept",
        "state kept between calls",
        {
            "largest change of a logit": change,
            "share of classes changed": float(classes.mean()),
        },
        "if the same samples get other logits from the same seed, once others were predicted in "
        "between (ours)",
        advise(
            "Reset the neurons before each call, or wrap the network with interop.adapt.",
            "Draw from the generators of torch or numpy, which attacks seed.",
        ),
        sentence=f"Predicted again after others, the same samples gave outputs that differ by up "
        f"to {change:.3g}, and another class for {classes.sum()} of {len(classes)}.",
        severity="error",
    )


def _batch_dependent(subject: Subject) -> Finding | None:
    """A prediction depends on what else is in the batch."""
    if subject.random or subject.stateful:
        return None
    x = subject.x[:_CALLED]
    single = np.concatenate([subject.logits(one[None]) for one in x])
    together, alone = (np.nan_to_num(logits) for logits in (subject.logits(x), single))
    lengths = np.linalg.norm(together, axis=1)
    change = np.linalg.norm(alone - together, axis=1) / np.where(lengths > 0, lengths, 1)
    median = float(np.median(change))
    if median <= _ALONE:
        return None
    return Finding(
        "batch-dependent",
        "predictions depend on the batch",
        {"median relative change of the logits": median, "samples": len(x)},
        f"if the median change between a sample alone and in a batch is above {_ALONE:g} (ours; "
        "rounding changes a few spikes)",
        advise("Put batch norm into evaluation mode, and look for means over the batch."),
        sentence=f"The outputs for a sample alone and in a batch of {len(x)} differ by "
        f"{100 * median:.2g} % of their length (median).",
        severity="error",
    )


def _statistics_changed(subject: Subject) -> Finding | None:
    """Predictions or gradients change what the network has learnt."""
    before = _digests(subject.estimator.model)
    subject.logits(subject.x)
    with suppress(
        RuntimeError, ArgumentError
    ):  # Where there is no gradient: a finding of its own.
        subject.gradient(subject.x[: subject.batch_size], subject.y[: subject.batch_size])
    after = _digests(subject.estimator.model)
    changed = [name for name in after if after[name] != before.get(name)]
    if not changed:
        return None
    return Finding(
        "network-changed",
        "predictions change the network",
        {"tensors of the network that changed": len(changed), "of": len(after)},
        "if a prediction or a gradient changes a weight or buffer (ours)",
        advise(
            "Keep it in evaluation mode: in training mode batch norm learns from attacks."
        ),
        sentence=f"A prediction and a gradient changed {len(changed)} of {len(after)} weights and "
        f"buffers of the network, first {changed[0]}.",
        severity="error",
    )


def _digests(network: Module) -> dict[str, str]:
    tensors = (*network.named_parameters(), *network.named_buffers())
    return {name: digest("", tensor) for name, tensor in tensors}


def _random_network(subject: Subject) -> Finding | None:
    """Predictions of the same samples differ from draw to draw."""
    # A network that is not reset differs from call to call as well, and not by chance.
    if not subject.random or subject.stateful:
        return None
    evaluations = subject.evaluations
    counts = [int((logits.argmax(1) == subject.y).sum()) for logits in evaluations]
    fewest, most = min(counts), max(counts)
    return Finding(
        RANDOM,
        "random network",
        {
            "largest difference of logits": logit_spread(evaluations),
            "fewest right": fewest,
            "most": most,
        },
        f"if five evaluations differ by more than {DIFFERENCE:g} of the length of the logits, or "
        "in how many samples are right (AutoAttack: Croce and Hein, ICML 2020)",
        advise(
            "Average gradients over draws (EOT), and let a majority decide, as plans do."
        ),
        sentence=f"Five predictions of the same {len(subject.y)} samples have different outputs; "
        f"{fewest if fewest == most else f'{fewest} to {most}'} of them are right each time.",
    )


def without_answer(count: int, of: int) -> Finding:
    """Some samples have logits that are no numbers."""
    return Finding(
        "unanswered",
        "predictions that are not numbers",
        {"samples": count, "of": of},
        "if the logits of any sample are NaN (ours)",
        advise("Look for a division by 0 or an overflow in the network."),
        sentence=f"The outputs for {count} of {of} samples are not numbers (NaN). They count as "
        "classified wrongly.",
        severity="error",
    )


def _unanswered(subject: Subject) -> Finding | None:
    """Logits of samples are NaN."""
    count = int((~subject.answered).sum())
    return without_answer(count, len(subject.x)) if count else None


def _probabilities(subject: Subject) -> Finding | None:
    """The classifier returns probabilities, whose logarithms saturate, instead of logits."""
    clean = subject.clean[subject.answered]
    off = float(np.abs(clean.sum(1) - 1).max(initial=0))
    inside = clean.min(initial=0) > -_OF_ONE and clean.max(initial=0) < 1 + _OF_ONE
    # Rates of a spiking output sum to 1 where one neuron fires at every step.
    steps = getattr(getattr(subject.estimator.model, "encoder", None), "steps", None)
    counts = clean * (steps or 1)
    spikes = np.allclose(counts, np.rint(counts), rtol=0, atol=_OF_ONE)
    if spikes or not (len(clean) and inside and off < _OF_ONE):
        return None
    return Finding(
        "probabilities",
        "probabilities instead of logits",
        {"largest distance of their sum from 1": off},
        f"if all outputs lie in [0, 1] and sum to 1 within {_OF_ONE:g} (AutoAttack)",
        advise("Take the softmax out of the network, or attack before it."),
        sentence="All outputs lie between 0 and 1 and sum to 1. Such probabilities hardly change "
        "where the network is sure, so gradients are lost.",
    )


def _saturated(subject: Subject) -> Finding | None:
    """Cross entropy is 0 to rounding, and so is its gradient."""
    rows = np.arange(len(subject.y))
    clean = subject.clean.astype(np.float32)
    losses = -np.asarray(log_softmax(clean, axis=1))[rows, subject.y][subject.correct]
    zero = losses <= np.finfo(np.float32).eps
    share = float(zero.mean()) if len(zero) else 0.0
    if share <= _SATURATED:
        return None
    return Finding(
        "saturated-loss",
        "loss that rounds to 0",
        {"share of samples whose cross entropy is 0": share},
        f"if it is 0 in single precision for more than {_SATURATED:g} of the samples that are "
        "right (ours, after defensive distillation: Carlini and Wagner, 2017)",
        advise("Attack the margin of the logits: AutoPGD(loss_type='margin')."),
        sentence=f"The loss (cross entropy) rounds to 0 for {zero.sum()} of {len(zero)} correctly "
        "classified samples, so its gradient gives no direction.",
    )


def gradients_vanish(subject: Subject) -> Finding | None:
    """Some gradients, or all, are 0 throughout, not finite, cut, or refused.

    Where another rule that attacks the same samples has a gradient at each, it is a note."""
    model = subject.estimator.model
    right = int(subject.correct.sum())
    zero, infinite = _lose(subject.gradients, right)
    lost = zero | infinite
    if not lost.any():
        return None
    others = {}
    for rule in subject.rules:
        with model.using(rule):
            others[spell(rule)] = np.any(_lose(subject.differentiate(), right), axis=0)
    everywhere = np.all([lost, *others.values()], axis=0)
    samples = np.zeros(len(subject.x), bool)
    samples[subject.correct] = everywhere if everywhere.any() else lost
    remedy = OTHER_RULES
    if isinstance(subject.gradients, ArgumentError):
        remedy = Remedy(f"Change the network as it says: {subject.gradients}")
    elif everywhere.all():
        remedy = Remedy(
            "Look for detach, rounding or numpy between the input and the loss."
        )
    by = f" by {spell(model.rule)}" if isinstance(model, SpikingNetwork) else ""
    shares = {
        "share that are 0": float(zero.mean()),
        "share not finite": float(infinite.mean()),
    }
    counts = {f"samples by {name}": int(mask.sum()) for name, mask in others.items()}
    words = ", where gradient attacks have no direction"
    if others:
        words = f"; at {everywhere.sum()} all {1 + len(others)} rules have none"
    return Finding(
        "vanished-gradients",
        "vanished gradients",
        shares | counts,
        "if any correctly classified sample has none by any rule that attacks it (AutoAttack: "
        "Croce and Hein, ICML 2020), as where the loss does not depend on its input (Pintor et "
        "al., NeurIPS 2022); a note if only some rules have none",
        (remedy,),
        sentence=f"The gradient{by} is 0 for {zero.sum()} and not finite for {infinite.sum()} of "
        f"{right} correctly classified samples{words}. {list_samples(samples)}",
        severity="warning" if everywhere.any() else "note",
    )


def _lose(gradients: object, count: int) -> tuple[ndarray, ndarray]:
    """Which of the gradients, of that count of samples, are 0 throughout, and not finite."""
    rows = gradients if isinstance(gradients, ndarray) else np.zeros((count, 1))
    values = tuple(range(1, rows.ndim))
    return ~rows.any(values), ~np.isfinite(rows).all(values)  # type: ignore[return-value]  # numpy gives Any.


def _exchanged_slopes(subject: Subject) -> Finding | None:
    """Temporal rules know no more of some neurons than the slope of their spikes."""
    network = subject.estimator.model
    places = isinstance(network, SpikingNetwork) and network.body.places
    if not places:
        return None
    lines = "; ".join(f"{place}, {what}" for place, what in places.items())
    unused = "".join(f" And {why}." for why in network.body.unused[:1])
    return Finding(
        "exchanged-slopes",
        "neurons whose equations are not used",
        {"places where spikes are made": len(places)},
        "if a model makes spikes in a way of its own (ours)",
        advise("Register neurons that are not known: rate rules and bounds apply then."),
        sentence=f"Temporal rules exchange the slope of spikes at {lines}. "
        f"Everything else is the model's own.{unused}",
        severity="note",
    )


def _unstable_loss(subject: Subject) -> Finding | None:
    """The outputs change near the sample by far more than the gradient says."""
    x, y = subject.x[subject.correct], subject.y[subject.correct]
    if not len(x):
        return None
    here = _margins(subject, x, y)
    radius = _RADIUS * subject.span
    if not subject.measure.counted:
        radius = min(radius, subject.eps)
    values = subject.estimator.clip_values
    changes = []
    for draw in range(_DIRECTIONS):
        near = x + radius * uniform_noise(as_tensor(x), subject.seed, draw).numpy()
        if values is not None:
            near = np.clip(near, *values)
        there = _margins(subject, near.astype(x.dtype), y)
        relative = np.abs(there - here) / np.maximum(np.abs(here), _TINY)
        changes.append(np.nan_to_num(relative, nan=1.0))
    change = float(np.median(np.minimum(np.mean(changes, axis=0), 1)))
    if change <= _UNSTABLE:
        return None
    return Finding(
        "unstable-outputs",
        "unstable outputs",
        {"median relative change of the margin": change, "radius": radius},
        f"if it is above {_UNSTABLE:g} over {_DIRECTIONS} random directions (after the second "
        "indicator of Pintor et al., NeurIPS 2022, whose limit of 0.1 spikes exceed by themselves)",
        (Remedy("Average gradients over noise of that radius."), SEARCH),
        sentence=f"Random changes of at most {radius:.3g} alter the lead of the true class by "
        f"{100 * change:.0f} % (median). A gradient then says little about the surroundings.",
    )


def _margins(subject: Subject, x: ndarray, y: ndarray) -> ndarray:
    """Best other logit minus that of the true class [N]."""
    return margin(as_tensor(subject.logits(x)), as_tensor(y)).numpy()


CHECKS = (
    _range_unknown,
    _range_left,
    odd_budget,
    _statistics_changed,
    _state_kept,
    _batch_dependent,
    _random_network,
    _unanswered,
    _probabilities,
    _saturated,
    gradients_vanish,
    _exchanged_slopes,
    _unstable_loss,
)
"""Every check, one kind of finding each."""


def examine(
    estimator: PyTorchClassifier,
    x: ndarray,
    y: ndarray,
    *,
    eps: float,
    norm: Norm = np.inf,
    rules: Sequence[Gradient] = (),
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = False,
) -> list[Finding]:
    """Look for reasons to doubt a robustness measured on these samples, before any attack.

    This costs some 110 forward passes and a gradient per sample, and some more of a few.
    The loss around the samples takes a hundred of them. Weights and buffers are
    afterwards what they were.

    :param estimator: any classifier of torch's. A spiking one is differentiated with its rule.
    :param x: samples ``(N, *input_shape)``; a hundred are enough.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: budget of the attacks, in the unit of the samples.
    :param norm: numpy.inf or 2; of event frames 0 or "shift", about whose budgets nothing is said.
    :param rules: other rules of a spiking network, with which all of these samples are
        attacked. Where one of them has a gradient, that of the present rule may vanish.
    :param batch_size: samples per pass; seed: of what is drawn; verbose: show progress.
    :return: the findings, in the order of the checks; none are no proof of a sound evaluation.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, or a bad setting."""
    require(
        not rules or isinstance(estimator.model, SpikingNetwork),
        "rules",
        "none, since the network is not spiking",
        quote(rules),
        "Leave them out.",
    )
    subject = Subject(estimator, x, y, eps, norm, batch_size, seed, tuple(rules))
    return run_checks(CHECKS, subject, verbose=verbose)
