"""Findings about an attack that runs once and is watched, and about the outcome of a plan."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.balls import ROUNDING, SHIFT, distances, require_measure, rounding_of
from art_snn.attacks.outcome import Outcome, StageRecord
from art_snn.attacks.queries import margin, watching
from art_snn.checks import require, shown
from art_snn.classifier.inputs import lacks_preprocessing
from art_snn.findings.examination import make_subject, run_checks
from art_snn.findings.finding import UPPER_BOUND, Finding, Remedy, Subject
from art_snn.seeding import seeded

_ATTACK_BENCH = "AttackBench: Cinà et al., AAAI 2025"
_FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class _Attacked(Subject):
    """Samples with an untargeted attack on them, which runs once."""

    attack: EvasionAttack

    @cached_property
    def run(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Samples that the attack returns, and points on its way; which samples have one (N,).

        The point of a sample is that of its ball and range that was misclassified by the widest
        margin. A point in the balls of several samples is left out: nothing says for which of them
        the network computed it."""
        device = self.estimator.device
        centres = torch.as_tensor(self.x, dtype=torch.float64, device=device).flatten(1)
        classes, points = torch.as_tensor(self.y, device=device), centres.clone()
        low, high = (centres.new_tensor(end) for end in self.limits)
        # Best other logit minus that of the true class [N].
        margins = centres.new_zeros(len(centres))

        def take(inputs: Tensor, logits: Tensor) -> None:
            reached = inputs.to(centres).flatten(1)
            within = ((inputs >= low) & (inputs <= high)).flatten(1).all(1)
            exact = "donot_use_mm_for_euclid_dist"
            gaps = torch.cdist(reached, centres, p=float(self.norm), compute_mode=exact)
            slack = torch.as_tensor(rounding_of(reached), device=gaps.device)
            inside = gaps <= self.eps + slack[:, None]
            single = within & (inside.sum(1) == 1)
            rows, reached = inside[single].int().argmax(1), reached[single]
            values = margin(logits.detach()[single], classes[rows]).to(centres)
            # One by one, since a sample may have several points in a batch; few are misclassified.
            for index in (values > margins[rows]).nonzero()[:, 0]:
                row = rows[index]
                if values[index] > margins[row]:
                    points[row], margins[row] = reached[index], values[index]

        with seeded(self.seed), watching(self.estimator, take):
            returned = self.attack.generate(self.x.copy(), self.y.copy())
        array = isinstance(returned, np.ndarray)
        got = f"shape {returned.shape}" if array else shown(returned)
        fits = array and returned.shape == self.x.shape
        remedy = "Patches are no changes of samples within a ball."
        require(fits, "attack", "one that returns samples of x's shape", got, remedy)
        path = points.view(self.x.shape).cpu().numpy().astype(self.x.dtype)
        return returned, path, (margins > 0).cpu().numpy()

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values, rounding included; infinite without clip_values."""
        values, slack = self.estimator.clip_values, ROUNDING * self.span
        low, high = (-np.inf, np.inf) if values is None else values
        return np.asarray(low) - slack, np.asarray(high) + slack

    @cached_property
    def finite(self) -> np.ndarray:
        """Which of the returned samples are numbers throughout, bool (N,)."""
        rows = self.run[0].reshape(len(self.x), -1)
        return np.asarray(np.isfinite(rows).all(1))

    @cached_property
    def returned(self) -> np.ndarray:
        """The returned samples; where one is not finite, the original."""
        which = self.finite.reshape(-1, *(1,) * (self.x.ndim - 1))
        return np.where(which, self.run[0], self.x).astype(self.x.dtype)


def _not_numbers(subject: _Attacked) -> Finding | None:
    """Some returned samples are NaN or infinite."""
    count = int((~subject.finite).sum())
    if not count:
        return None
    return Finding(
        "returned-nan",
        "returned samples that are not numbers",
        {"samples": count, "of": len(subject.x)},
        "if any returned value is NaN or infinite (ours)",
        (Remedy("Look for a division by a gradient's length. Count such samples as not broken."),),
        sentence=f"The attack returned NaN or infinite values in {count} of {len(subject.x)} "
        "samples.",
        severity="error",
    )


def _out_of_ball(subject: _Attacked) -> Finding | None:
    """Some returned samples are farther than the budget from the originals."""
    x, returned = (torch.as_tensor(a, device="cpu").double() for a in (subject.x, subject.returned))
    far = distances(subject.norm, x, returned, 0)
    out = far > subject.eps + rounding_of(returned)
    if not out.any():
        return None
    count, largest = int(out.sum()), float(far.max())
    return Finding(
        "returned-beyond-budget",
        "returned samples beyond the budget",
        {"samples": count, "of": len(x), "largest": largest, "eps": subject.eps},
        f"if any change is longer than eps, by more than rounding ({_ATTACK_BENCH})",
        (Remedy("Give the attack the norm and the budget, or project what it returns."),),
        sentence=f"The attack changed {count} of {len(x)} samples by more than eps "
        f"{subject.eps:.4g} allows, by up to {largest:.4g}.",
        severity="error",
    )


def _out_of_range(subject: _Attacked) -> Finding | None:
    """Some returned samples have values that no sample can have."""
    low, high = subject.limits
    out = (subject.returned < low) | (subject.returned > high)
    if not out.any():
        return None
    count = int(out.reshape(len(out), -1).any(1).sum())
    lowest, highest = float(subject.returned.min()), float(subject.returned.max())
    return Finding(
        "returned-outside-range",
        "returned samples outside the range",
        {"samples": count, "of": len(out), "lowest value": lowest, "highest value": highest},
        f"if any value is outside clip_values, by more than rounding ({_ATTACK_BENCH})",
        (Remedy("Clip the returned samples, and check again whether they are misclassified."),),
        sentence=f"The attack gave {count} of {len(out)} samples values that none can have; "
        f"returned values reach from {lowest:.4g} to {highest:.4g}.",
        severity="error",
    )


def _silent_successes(subject: _Attacked) -> Finding | None:
    """The attack computed an adversarial of a sample, and returned something else."""
    _, points, held = subject.run
    # Once more, since logits of gradients may be no predictions.
    held = held & subject.wrong(points)
    silent = int((subject.correct & held & ~subject.wrong(subject.returned)).sum())
    correct = int(subject.correct.sum())
    if not silent:
        return None
    return Finding(
        "silent-success",
        "successes that are not returned",
        {"samples": silent, "that are right": correct},
        "if the attack found a valid adversarial example but returned something else (Pintor et "
        "al., NeurIPS 2022)",
        (Remedy("Return the first adversarial of the path, as art_snn.attacks.AutoPGD does."),),
        sentence=f"Within eps {subject.eps:.4g} the attack came across a misclassified version of "
        f"{silent} of {correct} samples, but returned one that is classified correctly.",
    )


CHECKS_OF_ATTACKS = (_not_numbers, _out_of_ball, _out_of_range, _silent_successes)
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
        another classifier or after preprocessing, or one that returns no such samples."""
    fits = isinstance(attack, EvasionAttack)
    remedy = "For instance AutoPGD(classifier), of art_snn.attacks."
    # The repr of ART's SquareAttack calls itself without end.
    require(fits, "attack", "an evasion attack", "" if fits else shown(attack), remedy)
    kind = type(attack.estimator)
    fits = issubclass(kind, PyTorchClassifier)
    require(fits, "attack", "one on a classifier of torch's", f"one on {kind.__name__}", remedy)
    remedy = "Any class but the true one counts here: build it with targeted=False."
    require(not attack.targeted, "attack", "an untargeted one", "a targeted one", remedy)
    remedy = "Put it into the network; after it, budget and range have another unit."
    expected, got = "one on a classifier without preprocessing", "one with it"
    require(lacks_preprocessing(attack.estimator), "attack", expected, got, remedy)
    remedy = "SpikeRetiming keeps its shifts by construction; art_snn.attacks.shifts measures them."
    fits = require_measure(norm) != SHIFT
    require(fits, "norm", "numpy.inf, 2 or 0", shown(norm), remedy)
    subject = make_subject(
        _Attacked, attack.estimator, x, y, eps, norm, batch_size, seed, attack=attack
    )
    return run_checks(CHECKS_OF_ATTACKS, subject, type(attack).__name__)


def _few_gradients(outcome: Outcome) -> Finding | None:
    """Hardly a stage followed a gradient of the network."""
    ran, total = (sum(one.gradient for one in stages) for stages in _planned(outcome))
    # Plans of a single stage, as for some norms, ask for one.
    if not total or ran >= min(_FEWEST, len(_planned(outcome)[1])):
        return None
    return Finding(
        "few-gradients",
        "too few attacks with a gradient",
        {"stages with a gradient": ran, "that were planned": total},
        f"if fewer than {_FEWEST} stages have one, or the only stage of a plan has none (ours)",
        (
            Remedy("art-snn inspect lists the rules that suit the network."),
            Remedy("Where its own gradient is cut, look for detach, no_grad or rounding."),
        ),
        sentence=f"{ran} of {total} planned attacks that follow a gradient ran on this network.",
    )


def _planned(outcome: Outcome) -> tuple[list[StageRecord], list[StageRecord]]:
    """The stages of the plan that ran, and all of them."""
    ran = [one for one in outcome.stages if one.status != "submitted"]
    return ran, [*ran, *outcome.skipped]


def _stages_skipped(outcome: Outcome) -> Finding | None:
    """Stages that follow a gradient did not run; those that would repeat another do not count."""
    skipped = [one for one in outcome.skipped if one.gradient and one.status == "skipped"]
    if not skipped:
        return None
    first, total = skipped[0], sum(one.gradient for one in _planned(outcome)[1])
    return Finding(
        "stages-skipped",
        "attacks skipped",
        {"stages skipped": len(skipped), "of": total},
        "if any stage with a gradient does not run (ours)",
        (
            Remedy(
                f"The first is {first.description}: {first.reason.rstrip('.')}. Where neurons are "
                "not recognised, art_snn.interop.register_neuron makes them known."
            ),
            UPPER_BOUND,
        ),
        sentence=f"{len(skipped)} of {total} planned attacks that follow a gradient did not run "
        "on this network.",
    )


CHECKS_OF_OUTCOMES = (_few_gradients, _stages_skipped)
"""Every check of an outcome, one kind of finding each."""


def examine_outcome(outcome: Outcome) -> list[Finding]:
    """Look for reasons to doubt the robustness that a plan of attacks leaves.

    :param outcome: of :class:`~art_snn.attacks.SpikingAutoAttack`.
    :return: the findings, in the order of CHECKS_OF_OUTCOMES."""
    findings = (check(outcome) for check in CHECKS_OF_OUTCOMES)
    return [replace(finding, about="plan") for finding in findings if finding is not None]
