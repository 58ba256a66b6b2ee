"""Findings about the white box: something weaker, or only longer, breaks what it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray

from art_snn.attacks.auto_pgd import AutoPGD, OnwardPGD
from art_snn.attacks.measures import FLIPS, SHIFT, Ball, Measure, Norm, require_measure
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming
from art_snn.attacks.square_search import SQUARE_ATTACK, SquareSearch
from art_snn.attacks.stages import Stage, require_sources
from art_snn.checks import require_count
from art_snn.findings.examination import gradients_vanish, run_checks
from art_snn.findings.finding import (
    BY_CHANCE,
    OTHER_RULES,
    SEARCH,
    Finding,
    Remedy,
    Subject,
    advise,
    exceeds,
    list_samples,
)
from art_snn.metrics import SIGNIFICANT, Robustness, paired_difference, union
from art_snn.seeding import fix_seed, uniform_noise

DRAWS = 10
"""Random points at the rim of the ball, or samples with as many random flips or shifts."""
CERTAIN = 0.99
POINT = 0.01


@dataclass(frozen=True, kw_only=True)
class _WhiteBox(Subject):
    """Samples, and the attack of the norm on them with the network's rule.

    It is AutoPGD with cross entropy and one random start, SparseDynamicAttack for flips,
    or SpikeRetiming for shifts."""

    sources: tuple[PyTorchClassifier, ...] = ()
    max_iter: int = 100
    square_iter: int = 500

    def attack(self, **options: Any) -> Robustness:
        """The white box with other settings."""
        attacks = {FLIPS: SparseDynamicAttack, SHIFT: SpikeRetiming}
        return self.run(attacks.get(self.measure, AutoPGD), self.estimator, **options)

    white = cached_property(attack)
    """The white box."""

    def run(
        self, kind: type[EvasionAttack], estimator: PyTorchClassifier, **options: Any
    ) -> Robustness:
        """The outcome of an attack of the budget, crafted on the classifier or on a source."""
        stage = Stage(kind, None, {"max_iter": self.max_iter, **options})
        attack = stage.instantiate(
            estimator, self.measure, self.eps, self.batch_size, self.seed
        )
        with fix_seed(self.seed):
            adversarials = attack.generate(self.x, self.y)
        return self.judge(adversarials)

    def judge(self, adversarials: ndarray) -> Robustness:
        """The outcome of an attack that made these of the samples."""
        return Robustness(self.correct, ~self.wrong(adversarials))

    def change_randomly(self, draw: int) -> ndarray:
        """The samples after a random change of the whole budget."""
        ball = (self.measure, self.eps, self.seed)
        return change_randomly(self.estimator, self.x, *ball, draw)


def change_randomly(
    estimator: PyTorchClassifier,
    samples: ndarray,
    measure: Measure,
    eps: float,
    seed: int,
    draw: int = 0,
) -> ndarray:
    """Change samples at random, by the whole budget.

    :return: points at the rim of the ball, or samples with random flips, or with random
        shifts."""
    x = torch.as_tensor(samples, device="cpu")
    noise = uniform_noise(x, seed, draw)
    if measure == SHIFT:
        return SpikeRetiming(estimator, int(eps), verbose=False).move(x, noise).numpy()

    low, high = [end.to(x) for end in AutoPGD(estimator, verbose=False).clip_range(x)]
    if measure == FLIPS:
        bits = noise.flatten(1).argsort(1)[:, : int(eps)]
        flipped = torch.zeros_like(x, dtype=torch.bool).flatten(1).scatter(1, bits, True)
        return torch.where(flipped.view_as(x), low + high - x, x).numpy()
    return Ball(measure, eps, x, low, high).start(noise).numpy()


def _whole_range_survived(subject: _WhiteBox) -> Finding | None:
    """Samples survive although the attack may turn them into any other."""
    # A ball around every sample that holds the whole range.
    outcome = subject.attack(eps=subject.reach)
    success = outcome.attack_success
    if not success.total or success.value >= CERTAIN:
        return None
    left = success.total - success.count
    return Finding(
        "unlimited-budget",
        "samples survive an unlimited budget",
        {"attack success": success.value, "samples": left},
        f"if success is below {CERTAIN:g} in a ball that holds the whole range: failure at an "
        "unbounded budget (Pintor et al., NeurIPS 2022; Athalye et al., ICML 2018)",
        (OTHER_RULES,),
        sentence=f"Even where any change is allowed, the gradient attack missed {left} of "
        f"{success.total} samples. {list_samples(outcome.correct & outcome.robust)}",
    )


def _one_step_as_strong(subject: _WhiteBox) -> Finding | None:
    """One step breaks other samples than all steps, and as many."""
    # FGSM: AutoPGD's first step is 2 eps long, and projected.
    control = subject.attack(max_iter=1, num_random_init=0)
    only_white, only_control, _ = paired_difference(subject.white, control)
    if not only_control or only_control < only_white:
        return None
    return _compare(
        subject,
        control,
        (
            "one-step-as-strong",
            "one step is as strong as many",
            "FGSM",
            "A single step (FGSM)",
        ),
        "if FGSM breaks samples that the attack of all steps leaves, and at least as many (after "
        "Athalye et al., ICML 2018)",
    )


def _noise_as_strong(subject: _WhiteBox) -> Finding | None:
    """Random changes of the whole budget are misclassified that the white box does not find."""
    # The white box begins at draw 0.
    points = (subject.change_randomly(draw) for draw in range(1, DRAWS + 1))
    control = union([subject.judge(point) for point in points])
    names = (
        "noise-as-strong",
        "noise is as strong as the gradient",
        "noise",
        f"Random noise, best of {DRAWS} draws,",
    )
    return _as_strong(subject, control, names)


def _search_as_strong(subject: _WhiteBox) -> Finding | None:
    """A search that asks for no gradient finds what the white box does not."""
    options = {"max_iter": subject.square_iter, **SQUARE_ATTACK}
    control = subject.run(SquareSearch, subject.estimator, **options)
    names = (
        "search-as-strong",
        "a search without gradients is as strong",
        "SquareAttack",
        "SquareAttack, which needs no gradient,",
    )
    return _as_strong(subject, control, names, SEARCH)


def _transfer_as_strong(subject: _WhiteBox) -> Finding | None:
    """Adversarials that were crafted on sources break samples that the white box does not."""
    if not subject.sources:
        return None
    control = union([subject.run(OnwardPGD, source) for source in subject.sources])
    names = (
        "transfer-as-strong",
        "an attack on another network is as strong",
        "transfer",
        "An attack on another network",
    )
    return _as_strong(
        subject, control, names, Remedy("Also hand the sources to SpikingAutoAttack.")
    )


def _as_strong(
    subject: _WhiteBox, control: Robustness, names: Sequence[str], *remedies: Remedy
) -> Finding | None:
    """The finding where a control breaks what the white box leaves."""
    only_white, only_control, p = paired_difference(subject.white, control)
    weaker = only_control < only_white and p < SIGNIFICANT
    if weaker or not exceeds(only_control, len(subject.x)):
        return None
    return _compare(
        subject,
        control,
        names,
        f"if {names[2]} breaks {BY_CHANCE} that the gradient attack leaves, and the gradient "
        f"attack does not break more at p < {SIGNIFICANT:g} (McNemar)",
        *remedies,
    )


def _compare(
    subject: _WhiteBox,
    control: Robustness,
    names: Sequence[str],
    limit: str,
    *remedies: Remedy,
) -> Finding:
    """The finding with the samples that a control and the white box broke.

    :param names: id and title of the finding; the control in the evidence, and in the sentence."""
    kind, title, by, words = names
    _, missed, p = paired_difference(subject.white, control)
    broken = int(control.flipped.sum())
    by_white = int(subject.white.flipped.sum())
    total = int(subject.correct.sum())
    return Finding(
        kind,
        title,
        {
            f"broken by {by}": broken,
            f"by {by} alone": missed,
            "by the gradient attack": by_white,
            "of": total,
            "p": p,
        },
        limit,
        (OTHER_RULES, *remedies),
        sentence=f"{words} broke {broken} of {total} samples at eps {subject.eps:.4g}; "
        f"the gradient attack broke {by_white}, but missed {missed} of these. "
        f"{list_samples(control.flipped & ~subject.white.flipped)}",
        broken=subject.broken(control.flipped | subject.white.flipped),
    )


def _steps_still_help(subject: _WhiteBox) -> Finding | None:
    """Twice as many steps break more samples."""
    if subject.measure == FLIPS:  # SparseDynamicAttack ends by itself.
        return None
    right = int(subject.correct.sum())
    steps = 2 * subject.max_iter
    longer = subject.attack(max_iter=steps)
    only_longer, only_white, p = paired_difference(longer, subject.white)
    gain = (only_longer - only_white) / max(1, right)
    if gain <= POINT or p >= SIGNIFICANT:
        return None
    return Finding(
        "more-steps",
        "more steps break more samples",
        {"gain of attack success": gain, "steps": steps, "p": p},
        f"if twice the steps gain more than {POINT:g}, at p < {SIGNIFICANT:g} (McNemar; ours, "
        "after Carlini et al., 2019)",
        advise("Take more steps, until they break no more samples."),
        sentence=f"The gradient attack broke {subject.white.flipped.sum()} of {right} samples at "
        f"eps {subject.eps:.4g}, and {longer.flipped.sum()} with {steps} steps instead of "
        f"{subject.max_iter}. {list_samples(longer.flipped & ~subject.white.flipped)}",
        broken=subject.broken(longer.flipped | subject.white.flipped),
    )


CHECKS_OF_STRENGTH = (
    _whole_range_survived,
    _noise_as_strong,
    _one_step_as_strong,
    _search_as_strong,
    _transfer_as_strong,
    _steps_still_help,
)
"""Every check of the white box, one kind of finding each."""
CHECKS_OF_FRAMES = (_noise_as_strong, _steps_still_help)
"""Those of event frames."""


def examine_strength(
    estimator: PyTorchClassifier,
    x: ndarray,
    y: ndarray,
    *,
    eps: float,
    norm: Norm = np.inf,
    sources: Sequence[PyTorchClassifier] = (),
    max_iter: int | None = None,
    square_iter: int = 500,
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = False,
) -> list[Finding]:
    """Look for reasons to doubt the white-box attack, by other attacks and budgets.

    The white box is :class:`~art_snn.attacks.AutoPGD` with cross entropy from one random
    start; in norm 0 :class:`~art_snn.attacks.SparseDynamicAttack`, under shifts
    :class:`~art_snn.attacks.SpikeRetiming`. It takes the gradient of the network's
    present rule. This costs some 4 max_iter gradients per surviving sample, max_iter more
    per source, and square_iter forward passes; less of event frames. Without any
    gradient, that is the one finding.

    The other parameters, and the errors, are those of :func:`examine`.

    :param norm: numpy.inf or 2; of event frames 0 or "shift", which know no sources.
    :param sources: other classifiers of the same samples, whose adversarials may carry over.
    :param max_iter: steps of the white box [100; under shifts 40].
    :param square_iter: iterations of SquareAttack, as a :class:`~art_snn.attacks.SquareSearch`.
    :return: the findings, in the order of the checks."""
    measure = require_measure(norm)
    if max_iter is None:
        max_iter = 40 if measure == SHIFT else 100
    subject = _WhiteBox(
        estimator,
        x,
        y,
        eps,
        measure,
        batch_size,
        seed,
        sources=require_sources(sources, estimator),
        max_iter=require_count("max_iter", max_iter, remedy="A hundred are usual."),
        square_iter=require_count("square_iter", square_iter, remedy="500 are usual."),
    )
    cut = run_checks((gradients_vanish,), subject, "gradients")
    if not isinstance(subject.gradients, ndarray):
        return cut
    checks = CHECKS_OF_FRAMES if measure.counted else CHECKS_OF_STRENGTH
    return run_checks(checks, subject, "gradients", verbose)
