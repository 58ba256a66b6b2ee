"""Findings about what an attack returns, and about what it held on its way."""

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier

from art_snn.attacks.distances import SHIFT, distances, require_measure
from art_snn.checks import require, shown
from art_snn.classifier.inputs import reaches_as_it_is
from art_snn.findings.attacked import Attacked
from art_snn.findings.base import Finding
from art_snn.findings.examination import make_subject, run_checks

ATTACK_BENCH = "AttackBench: Cinà et al., AAAI 2025"


def not_numbers(subject: Attacked) -> Finding | None:
    """Some returned samples are NaN or infinite."""
    count = int((~subject.finite).sum())
    if not count:
        return None
    return Finding(
        "returned samples that are not numbers",
        {"samples": count, "of": len(subject.x)},
        "if any returned value is NaN or infinite (ours)",
        "Look for a gradient of length 0 that is divided by its length. Count such samples as not "
        "broken.",
        sentence=f"The attack returned NaN or infinite values in {count} of {len(subject.x)} "
        "samples.",
        severity="error",
    )


def out_of_ball(subject: Attacked) -> Finding | None:
    """Some returned samples are farther than the budget from the originals."""
    x, returned = (torch.as_tensor(a, device="cpu").double() for a in (subject.x, subject.returned))
    far = distances(subject.norm, x, returned, 0)
    out = far > subject.eps + subject.slack
    if not out.any():
        return None
    count, largest = int(out.sum()), float(far.max())
    return Finding(
        "returned samples beyond the budget",
        {"samples": count, "of": len(x), "largest": largest, "eps": subject.eps},
        f"if any change is longer than eps, by more than rounding ({ATTACK_BENCH})",
        "Project the returned samples, or do not count them. Give the attack the norm and the "
        "budget.",
        sentence=f"The attack changed {count} of {len(x)} samples by more than eps "
        f"{subject.eps:.4g} allows, by up to {largest:.4g}.",
        severity="error",
    )


def out_of_range(subject: Attacked) -> Finding | None:
    """Some returned samples have values that no sample can have."""
    low, high = subject.limits
    out = (subject.returned < low) | (subject.returned > high)
    if not out.any():
        return None
    count = int(out.reshape(len(out), -1).any(1).sum())
    lowest, highest = float(subject.returned.min()), float(subject.returned.max())
    return Finding(
        "returned samples outside the range",
        {"samples": count, "of": len(out), "lowest value": lowest, "highest value": highest},
        f"if any value is outside clip_values, by more than rounding ({ATTACK_BENCH})",
        "Clip the returned samples, and check again whether they are misclassified.",
        sentence=f"The attack gave {count} of {len(out)} samples values that none can have; "
        f"returned values reach from {lowest:.4g} to {highest:.4g}.",
        severity="error",
    )


def silent_successes(subject: Attacked) -> Finding | None:
    """The attack computed an adversarial of a sample, and returned something else."""
    _, path = subject.run
    points = path.points.view(subject.x.shape).cpu().numpy().astype(subject.x.dtype)
    # Once more, since logits of gradients may be no predictions.
    held = path.held & subject.wrong(points)
    silent = int((subject.correct & held & ~subject.wrong(subject.returned)).sum())
    correct = int(subject.correct.sum())
    if not silent:
        return None
    return Finding(
        "successes that are not returned",
        {"samples": silent, "that are right": correct},
        "if the attack found a valid adversarial example but returned something else (Pintor et "
        "al., NeurIPS 2022)",
        "Return the first adversarial of the path, as art_snn.attacks.AutoPGD does.",
        sentence=f"Within eps {subject.eps:.4g} the attack came across a misclassified version of "
        f"{silent} of {correct} samples, but returned one that is classified correctly.",
    )


CHECKS_OF_ATTACKS = (not_numbers, out_of_ball, out_of_range, silent_successes)
"""Every check of an attack, one kind of finding each."""


def examine_attack(
    attack: EvasionAttack,
    x: np.ndarray,
    y: np.ndarray,
    *,
    eps: float,
    norm: float | str = np.inf,
    batch_size: int = 32,
    seed: int = 0,
) -> list[Finding]:
    """Look for reasons to doubt an attack: it runs once, and its path is watched.

    The check looks at each forward pass of the network: does it hold an adversarial of a sample,
    within eps of it and within clip_values? A point in the balls of several samples is left out.

    The other parameters are those of :func:`~art_snn.findings.examine`.

    :param attack: any evasion attack on a classifier of torch's, ours or ART's, with its settings;
        untargeted.
    :param eps: the budget that it is reported with, in the unit of the samples.
    :param norm: numpy.inf, 2, or 0, the number of values that change.
    :param batch_size: samples per pass of the predictions before and after the attack.
    :return: the findings, in the order of CHECKS_OF_ATTACKS.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, a bad setting, a targeted attack, one on
        another classifier or behind preprocessing, or one that returns no such samples."""
    estimator = _examinable(attack)
    remedy = "SpikeRetiming keeps its shifts by construction; art_snn.attacks.shifts measures them."
    fits = require_measure(norm) != SHIFT
    require(fits, "norm", "numpy.inf, 2 or 0", shown(norm), remedy)
    subject = make_subject(Attacked, estimator, x, y, eps, norm, batch_size, seed, attack=attack)
    return run_checks(CHECKS_OF_ATTACKS, subject, type(attack).__name__)


def _examinable(attack: EvasionAttack) -> PyTorchClassifier:
    """The classifier under attack."""
    fits = isinstance(attack, EvasionAttack)
    remedy = "For instance AutoPGD(classifier), of art_snn.attacks."
    # The repr of ART's SquareAttack calls itself without end.
    require(fits, "attack", "an evasion attack", "" if fits else shown(attack), remedy)
    kind = type(attack.estimator)
    fits = issubclass(kind, PyTorchClassifier)
    require(fits, "attack", "one on a classifier of torch's", f"one on {kind.__name__}", remedy)
    remedy = "Any class but the true one counts here: build it with targeted=False."
    require(not attack.targeted, "attack", "an untargeted one", "a targeted one", remedy)
    remedy = "Put it into the network; behind it, budget and range have another unit."
    expected, got = "one on a classifier without preprocessing", "one with it"
    require(reaches_as_it_is(attack.estimator), "attack", expected, got, remedy)
    return attack.estimator
