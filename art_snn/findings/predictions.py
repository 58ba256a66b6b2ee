"""Findings about what a classifier predicts, and what one call does to the next."""

from contextlib import suppress

import numpy as np
from scipy.special import log_softmax
from torch import nn

from art_snn.attacks.randomness import DIFFERENCE, logit_spread
from art_snn.checks import ArgumentError
from art_snn.files import digest
from art_snn.findings.base import Finding, Subject
from art_snn.findings.remedies import DRAWS, MARGIN

RANDOM = "random network"
ALONE = 1e-3
"""Relative change of logits between a sample alone and in a batch."""
CALLED = 8
"""Samples that are predicted one by one."""
OF_ONE = 1e-5
SATURATED = 0.1


def state_kept(subject: Subject) -> Finding | None:
    """A prediction depends on what was predicted before it."""
    if not subject.stateful:
        return None
    first, again = subject.again
    change = float(np.abs(np.nan_to_num(again) - np.nan_to_num(first)).max())
    classes = again.argmax(1) != first.argmax(1)
    return Finding(
        "state kept between calls",
        {
            "largest change of a logit": change,
            "share of classes that changed": float(classes.mean()),
        },
        "if the same samples get other logits from the same seed, once others were predicted in "
        "between (ours)",
        "Reset the neurons before each call, or wrap the network with art_snn.interop.adapt. Let "
        "the network draw from the generators of torch or numpy, which attacks seed.",
        sentence=f"Predicted again after others, the same samples gave outputs that differ by up "
        f"to {change:.3g}, and another class for {classes.sum()} of {len(classes)}.",
        severity="error",
    )


def batch_dependent(subject: Subject) -> Finding | None:
    """A prediction depends on what else is in the batch."""
    if subject.random or subject.stateful:
        return None
    x = subject.x[:CALLED]
    single = np.concatenate([subject.logits(x[i : i + 1]) for i in range(len(x))])
    together, alone = (np.nan_to_num(logits) for logits in (subject.logits(x), single))
    lengths = np.linalg.norm(together, axis=1)
    change = np.linalg.norm(alone - together, axis=1) / np.where(lengths > 0, lengths, 1)
    median = float(np.median(change))
    if median <= ALONE:
        return None
    return Finding(
        "predictions depend on the batch",
        {"median relative change of the logits": median, "samples": len(x)},
        f"if the median change between a sample alone and in a batch is above {ALONE:g} (ours; "
        "rounding changes a few spikes)",
        "Put batch norm into evaluation mode, and look for means over the batch.",
        sentence=f"The outputs for a sample alone and in a batch of {len(x)} differ by "
        f"{100 * median:.2g} % of their length (median).",
        severity="error",
    )


def statistics_changed(subject: Subject) -> Finding | None:
    """Predictions or gradients change what the network has learnt."""
    before = _digests(subject.estimator.model)
    subject.logits(subject.x)
    with suppress(RuntimeError, ArgumentError):  # Where there is no gradient: a finding of its own.
        subject.gradient(subject.x[: subject.batch_size], subject.y[: subject.batch_size])
    after = _digests(subject.estimator.model)
    changed = [name for name in after if after[name] != before.get(name)]
    if not changed:
        return None
    return Finding(
        "predictions change the network",
        {"tensors of the network that changed": len(changed), "of": len(after)},
        "if a prediction or a gradient changes a weight or buffer (ours)",
        "Evaluate in evaluation mode: in training mode batch norm learns from adversarials.",
        sentence=f"A prediction and a gradient changed {len(changed)} of {len(after)} weights and "
        f"buffers of the network, first {changed[0]}.",
        severity="error",
    )


def _digests(network: nn.Module) -> dict[str, str]:
    tensors = (*network.named_parameters(), *network.named_buffers())
    return {name: digest("", tensor) for name, tensor in tensors}


def random_network(subject: Subject) -> Finding | None:
    """Predictions of the same samples differ from draw to draw."""
    # A network that nobody resets differs from call to call as well, and not by chance.
    if not subject.random or subject.stateful:
        return None
    evaluations = subject.evaluations
    counts = [int((logits.argmax(1) == subject.y).sum()) for logits in evaluations]
    fewest, most = min(counts), max(counts)
    return Finding(
        RANDOM,
        {
            "largest difference of logits": logit_spread(evaluations),
            "fewest right": fewest,
            "most": most,
        },
        f"if five evaluations differ by more than {DIFFERENCE:g} of the length of the logits, or "
        "in how many samples are right (AutoAttack: Croce and Hein, ICML 2020)",
        DRAWS,
        sentence=f"Five predictions of the same {len(subject.y)} samples have different outputs; "
        f"{fewest if fewest == most else f'{fewest} to {most}'} of them are right each time.",
    )


def without_answer(count: int, of: int) -> Finding:
    """Some samples have logits that are no numbers."""
    return Finding(
        "predictions that are not numbers",
        {"samples": count, "of": of},
        "if the logits of any sample are NaN (ours)",
        "Look for a division by 0 or an overflow in the network.",
        sentence=f"The outputs for {count} of {of} samples are not numbers (NaN). They count as "
        "classified wrongly.",
        severity="error",
    )


def unanswered(subject: Subject) -> Finding | None:
    """Logits of samples are NaN."""
    count = int((~subject.answered).sum())
    return without_answer(count, len(subject.x)) if count else None


def probabilities(subject: Subject) -> Finding | None:
    """The classifier returns probabilities, whose logarithms saturate, instead of logits."""
    clean = subject.clean[subject.answered]
    off = float(np.abs(clean.sum(1) - 1).max(initial=0))
    inside = clean.min(initial=0) > -OF_ONE and clean.max(initial=0) < 1 + OF_ONE
    if not (len(clean) and inside and off < OF_ONE):
        return None
    return Finding(
        "probabilities instead of logits",
        {"largest distance of their sum from 1": off},
        f"if all outputs lie in [0, 1] and sum to 1 within {OF_ONE:g} (AutoAttack)",
        "Take the softmax out of the network, or attack before it.",
        sentence="All outputs lie between 0 and 1 and sum to 1. Such probabilities hardly change "
        "where the network is sure, so gradients are lost.",
    )


def saturated(subject: Subject) -> Finding | None:
    """Cross entropy is 0 to rounding, and so is its gradient."""
    rows = np.arange(len(subject.y))
    clean = subject.clean.astype(np.float32)
    losses = -np.asarray(log_softmax(clean, axis=1))[rows, subject.y][subject.correct]
    zero = losses <= np.finfo(np.float32).eps
    share = float(zero.mean()) if len(zero) else 0.0
    if share <= SATURATED:
        return None
    return Finding(
        "loss that rounds to 0",
        {"share of samples whose cross entropy is 0": share},
        f"if it is 0 in single precision for more than {SATURATED:g} of the samples that are right "
        "(ours, after defensive distillation: Carlini and Wagner, 2017)",
        MARGIN,
        sentence=f"The loss (cross entropy) rounds to 0 for {zero.sum()} of {len(zero)} correctly "
        "classified samples, so its gradient gives no direction.",
    )
