"""Findings about what a classifier predicts, and what one call does to the next."""

from contextlib import suppress

import numpy as np
from scipy.special import log_softmax
from torch import nn

from art_snn.attacks.randomness import DIFFERENCE, logit_spread
from art_snn.checks import ArgumentError
from art_snn.files import digest
from art_snn.findings.base import Finding, Subject
from art_snn.identity import values

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
    change = np.abs(np.nan_to_num(again) - np.nan_to_num(first)).max()
    return Finding(
        "state kept between calls",
        {
            "largest change of a logit": float(change),
            "share of classes that changed": float((again.argmax(1) != first.argmax(1)).mean()),
        },
        "if the same samples get other logits from the same seed, once others were predicted in "
        "between (ours)",
        "Reset the neurons before each call, or wrap the network with art_snn.interop.adapt. Let "
        "the network draw from the generators of torch or numpy, which attacks seed.",
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
        "statistics changed",
        {"tensors of the network that changed": len(changed), "of": len(after)},
        f"if a prediction or a gradient changes a weight or buffer (ours). First is {changed[0]}",
        "Evaluate in evaluation mode: in training mode batch norm learns from adversarials.",
    )


def _digests(network: nn.Module) -> dict[str, str]:
    tensors = (*network.named_parameters(), *network.named_buffers())
    return {name: digest("", values(tensor)) for name, tensor in tensors}


def random_network(subject: Subject) -> Finding | None:
    """Predictions of the same samples differ from draw to draw."""
    # A network that nobody resets differs from call to call as well, and not by chance.
    if not subject.random or subject.stateful:
        return None
    evaluations = subject.evaluations
    counts = [int((logits.argmax(1) == subject.y).sum()) for logits in evaluations]
    return Finding(
        RANDOM,
        {
            "largest difference of logits": logit_spread(evaluations),
            "fewest right": min(counts),
            "most": max(counts),
        },
        f"if five evaluations differ by more than {DIFFERENCE:g} of the length of the logits, or "
        "in how many samples are right (AutoAttack: Croce and Hein, ICML 2020)",
        "Average gradients over draws with EOT, and let a majority of fresh predictions decide "
        "what is broken.",
    )


def without_answer(count: int, of: int, **more: float) -> Finding:
    """Some samples have logits that are no numbers."""
    return Finding(
        "samples without an answer",
        {"samples": count, "of": of, **more},
        "if the logits of any sample are NaN (ours)",
        "Look for a division by 0 or an overflow in the network.",
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
        "probabilities in the place of logits",
        {"largest distance of their sum from 1": off},
        f"if all outputs lie in [0, 1] and sum to 1 within {OF_ONE:g} (AutoAttack)",
        "Take the softmax out of the network, or attack before it.",
    )


def saturated(subject: Subject) -> Finding | None:
    """Cross entropy is 0 to rounding, and so is its gradient."""
    rows = np.arange(len(subject.y))
    clean = subject.clean.astype(np.float32)
    losses = -np.asarray(log_softmax(clean, axis=1))[rows, subject.y][subject.correct]
    share = float((losses <= np.finfo(np.float32).eps).mean()) if len(losses) else 0.0
    if share <= SATURATED:
        return None
    return Finding(
        "saturated loss",
        {"share of samples whose cross entropy is 0": share},
        f"if it is 0 in single precision for more than {SATURATED:g} of the samples that are right "
        "(ours, after defensive distillation: Carlini and Wagner, 2017)",
        "Attack the margin of the logits instead: AutoPGD(loss_type='margin').",
    )
