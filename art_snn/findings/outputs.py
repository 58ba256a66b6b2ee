"""Findings about what a classifier puts out."""

import numpy as np
from scipy.special import log_softmax

from art_snn.attacks.randomness import DIFFERENCE, logit_spread
from art_snn.findings.base import Finding, Subject

OF_ONE = 1e-5
SATURATED = 0.1
RANDOM = "random network"


def random_network(subject: Subject) -> Finding | None:
    """Predictions of the same samples differ from draw to draw."""
    # A network that nobody resets differs from call to call as well, and not by chance.
    if not subject.random or subject.stateful:
        return None
    every = subject.evaluations
    counts = [int((logits.argmax(1) == subject.y).sum()) for logits in every]
    return Finding(
        RANDOM,
        {
            "largest difference of logits": logit_spread(every),
            "fewest right": min(counts),
            "most": max(counts),
        },
        f"where five evaluations differ by more than {DIFFERENCE:g} of the length of the logits, "
        "or in how many samples are right: AutoAttack (Croce and Hein, ICML 2020)",
        "Average gradients over draws by EOT, and let a majority of fresh draws decide what is "
        "broken.",
    )


def without_answer(count: int, of: int, **more: float) -> Finding:
    """Some samples have logits that are no numbers.

    :param more: of the evidence."""
    return Finding(
        "samples without an answer",
        {"samples": count, "of": of, **more},
        "at the first sample whose logits are NaN: ours",
        "Look for a division by 0 or an overflow in the network.",
    )


def unanswered(subject: Subject) -> Finding | None:
    """Logits of samples are NaN."""
    count = int((~subject.answered).sum())
    return without_answer(count, len(subject.x)) if count else None


def probabilities(subject: Subject) -> Finding | None:
    """The classifier gives probabilities, whose logarithms saturate, in the place of logits."""
    clean = subject.clean[subject.answered]
    off = float(np.abs(clean.sum(1) - 1).max(initial=0))
    inside = clean.min(initial=0) > -OF_ONE and clean.max(initial=0) < 1 + OF_ONE
    if not (len(clean) and inside and off < OF_ONE):
        return None
    return Finding(
        "probabilities in the place of logits",
        {"largest distance of their sum from 1": off},
        f"where all outputs lie in [0, 1] and sum to 1 within {OF_ONE:g}: AutoAttack",
        "Take the softmax out of the network, or attack before it.",
    )


def saturated(subject: Subject) -> Finding | None:
    """Cross entropy is 0 to rounding, and so is its gradient."""
    rows = np.arange(len(subject.y))
    clean = subject.clean.astype(np.float32)
    losses = -np.asarray(log_softmax(clean, axis=1))[rows, subject.y]
    chosen = losses[subject.correct]
    share = float((chosen <= np.finfo(np.float32).eps).mean()) if len(chosen) else 0.0
    if share <= SATURATED:
        return None
    return Finding(
        "saturated loss",
        {"share of samples whose cross entropy is 0": share},
        f"above {SATURATED:g} of the samples that are right, in single precision: ours, after the "
        "case of defensive distillation (Carlini and Wagner, 2017)",
        "Attack the margin of the logits instead: AutoPGD(loss_type='margin').",
    )
