"""Findings about an attack that runs once and is watched, and about the outcome of a plan."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from torch import Tensor

from art_snn.attacks.measures import SHIFT, Norm, require_measure, rounding_of
from art_snn.attacks.outcome import Outcome
from art_snn.attacks.persample import BestMargin
from art_snn.attacks.queries import margin, watching
from art_snn.checks import quote, require
from art_snn.classifier.inputs import as_array, as_tensor, lacks_preprocessing
from art_snn.findings.examination import run_checks
from art_snn.findings.finding import UPPER_BOUND, Finding, Remedy, Subject, advise
from art_snn.seeding import fix_seed

_FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class _Attacked(Subject):
    """Samples with an untargeted attack on them, which runs once."""

    attack: EvasionAttack

    @cached_property
    def run(self) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        """Samples that the attack returns, and which of them are finite (N,).

        The original stands for a sample that is not. Then come points on the way of the
        attack, and which samples have one (N,). The point of a sample is that of its ball
        and range that was misclassified by the widest margin. A point in the balls of
        several samples is left out: nothing says for which of them the network computed
        it."""
        device = self.estimator.device
        centres = torch.as_tensor(self.x, dtype=torch.float64, device=device).flatten(1)
        classes = torch.as_tensor(self.y, device=device)
        low, high = (centres.new_tensor(end) for end in self.limits)
        best = BestMargin(centres)

        def take(inputs: Tensor, logits: Tensor) -> None:
            reached = inputs.to(centres).flatten(1)
            within = ((inputs >= low) & (inputs <= high)).flatten(1).all(1)
            order = float(self.measure.norm)
            gaps = torch.cdist(
                reached, centres, order, compute_mode="donot_use_mm_for_euclid_dist"
            )
            slack = torch.as_tensor(rounding_of(reached), device=gaps.device)
            inside = gaps <= self.eps + slack[:, None]
            single = within & (inside.sum(1) == 1)
            rows = inside[single].int().argmax(1)
            margins = margin(logits.detach()[single], classes[rows]).to(centres)
            # One by one, since a sample may have several points in a batch; few are misclassified.
            for index in (margins > best.margins[rows].clamp_min(0)).nonzero():
                best.take(rows[index], reached[single][index], margins[index])

        with fix_seed(self.seed), watching(self.estimator, take):
            returned = self.attack.generate(self.x.copy(), self.y.copy())
        array = isinstance(returned, ndarray)
        require(
            array and returned.shape == self.x.shape,
            "attack",
            "one that returns samples of x's shape",
            f"shape {returned.shape}" if array else quote(returned),
            "Patches are no changes of samples within a ball.",
        )
        finite = np.isfinite(returned).all(tuple(range(1, returned.ndim)))
        returned = returned.astype(self.x.dtype)
        returned[~finite] = self.x[~finite]
        path = as_array(best.points.view(self.x.shape)).astype(self.x.dtype)
        return returned, finite, path, as_array(best.margins > 0)


def _invalid(subject: _Attacked) -> Finding | None:
    """Some returned samples are no numbers, beyond the budget, or have impossible values."""
    samples, finite, *_ = subject.run
    x = as_tensor(subject.x).double()
    returned = as_tensor(samples).double()
    far = subject.measure.distances(x, returned, 0)
    low, high = subject.limits
    outside = (samples < low) | (samples > high)
    counts = {
        "with NaN or infinite values": int((~finite).sum()),
        "beyond the budget": int((far > subject.eps + rounding_of(returned)).sum()),
        "outside the range": int(outside.reshape(len(outside), -1).any(1).sum()),
    }
    if not any(counts.values()):
        return None
    invalid = " and ".join(f"{count} {words}" for words, count in counts.items() if count)
    return Finding(
        "returned-invalid",
        "returned samples that are not allowed",
        counts | {"of": len(x), "largest change": float(far.max()), "eps": subject.eps},
        "if any value is NaN or infinite (ours), or any change is longer than eps or any value "
        "outside clip_values, by more than rounding (AttackBench: Cinà et al., AAAI 2025)",
        advise(
            "Give the attack the norm and the budget; project and clip what it returns.",
            "NaN often comes from a division by a gradient's length.",
        ),
        sentence=f"Among the {len(x)} samples that the attack returned are {invalid}. At eps "
        f"{subject.eps:.4g}, the largest change is {float(far.max()):.4g}.",
        severity="error",
    )


def _silent_successes(subject: _Attacked) -> Finding | None:
    """The attack computed an adversarial of a sample, and returned something else."""
    returned, _, points, held = subject.run
    # Once more, since logits of gradients may be no predictions.
    held = held & subject.wrong(points) & subject.correct
    silent = int((held & ~subject.wrong(returned)).sum())
    correct = int(subject.correct.sum())
    if not silent:
        return None
    return Finding(
        "silent-success",
        "successes that are not returned",
        {"samples": silent, "that are right": correct},
        "if the attack found a valid adversarial example but returned something else (Pintor et "
        "al., NeurIPS 2022)",
        advise(
            "Return the first adversarial of the path, as art_snn.attacks.AutoPGD does."
        ),
        sentence=f"Within eps {subject.eps:.4g} the attack came across a misclassified version of "
        f"{silent} of {correct} samples, but returned one that is classified correctly.",
        broken=subject.broken(held),
    )


CHECKS_OF_ATTACKS = (_invalid, _silent_successes)
"""Every check of an attack, one kind of finding each."""


def examine_attack(
    attack: EvasionAttack,
    x: ndarray,
    y: ndarray,
    *,
    eps: float,
    norm: Norm = np.inf,
    batch_size: int = 32,
    seed: int = 0,
) -> list[Finding]:
    """Look for reasons to doubt an attack: it runs once, and its path is watched.

    The check looks at each forward pass of the network: does it hold an adversarial of a
    sample, within eps of it and within clip_values? A point in the balls of several
    samples is left out.

    The other parameters are those of :func:`~art_snn.findings.examine`.

    :param attack: any evasion attack on a classifier of torch's, ours or ART's, with its
        settings; untargeted.
    :param eps: the budget that it is reported with, in the unit of the samples.
    :param norm: numpy.inf, 2, or 0, the number of values that change.
    :param batch_size: samples per pass of the predictions before and after the attack.
    :return: the findings, in the order of the checks.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, a bad setting, a targeted attack, one on
        another classifier or after preprocessing, or one that returns no such samples."""
    evades = isinstance(attack, EvasionAttack)
    # The repr of ART's SquareAttack calls itself without end.
    require(
        evades and isinstance(attack.estimator, PyTorchClassifier),
        "attack",
        "an evasion attack on a classifier of torch's",
        type(attack).__name__ if evades else quote(attack),
        "For instance AutoPGD(classifier), of art_snn.attacks.",
    )
    require(
        not attack.targeted,
        "attack",
        "an untargeted one",
        "a targeted one",
        "Any class but the true one counts here: build it with targeted=False.",
    )
    require(
        lacks_preprocessing(attack.estimator),
        "attack",
        "one on a classifier without preprocessing",
        "one with it",
        "Put it into the network; after it, budget and range have another unit.",
    )
    require(
        require_measure(norm) != SHIFT,
        "norm",
        "numpy.inf, 2 or 0",
        quote(norm),
        "SpikeRetiming keeps its shifts by construction; art_snn.attacks.shifts measures them.",
    )
    subject = _Attacked(
        attack.estimator, x, y, eps, norm, batch_size, seed, attack=attack
    )
    return run_checks(CHECKS_OF_ATTACKS, subject, type(attack).__name__)


def examine_outcome(outcome: Outcome) -> list[Finding]:
    """Look for stages with a gradient that a plan could not run; repetitions do not count.

    :param outcome: of :class:`~art_snn.attacks.SpikingAutoAttack`.
    :return: one finding, or none."""
    ran = [one for one in outcome.stages if one.status != "submitted"]
    planned = [*ran, *outcome.skipped]
    skipped = [one for one in outcome.skipped if one.gradient and one.status == "skipped"]
    followed, total = (sum(one.gradient for one in stages) for stages in (ran, planned))
    # Plans of a single stage, as for some norms, ask for one; searches alone for none.
    if not skipped and (not total or followed >= min(_FEWEST, len(planned))):
        return []
    remedy = "art-snn inspect lists the rules that suit the network."
    if skipped:
        remedy = f"{remedy} Skipped was {skipped[0].description}: {skipped[0].reason.rstrip('.')}. "
        remedy += "interop.register_neuron makes neurons known that are not recognised."
    finding = Finding(
        "few-gradients",
        "too few attacks with a gradient",
        {"stages with a gradient": followed, "that were planned": total},
        f"if any stage with a gradient does not run, fewer than {_FEWEST} stages have one, or the "
        "only stage of a plan has none (ours)",
        (Remedy(remedy), UPPER_BOUND),
        about="plan",
        sentence=f"{followed} of {total} planned attacks that follow a gradient ran on this "
        "network.",
    )
    return [finding]
