"""Findings about the white box: something weaker, or only longer, breaks what it leaves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier

from art_snn.attacks.auto_pgd import AutoPGD
from art_snn.attacks.balls import Ball, require_norm
from art_snn.attacks.grids import SQUARE_ATTACK, OnwardPGD
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.plan import require_sources
from art_snn.attacks.randomness import uniform_noise
from art_snn.attacks.square_search import SquareSearch
from art_snn.checks import require_count
from art_snn.findings.examination import run_checks
from art_snn.findings.finding import OTHER_RULES, SEARCH, SOURCES, STEPS, Finding, Remedy, Subject
from art_snn.findings.gradients import gradients_vanish
from art_snn.metrics import SIGNIFICANT, Robustness, paired_difference, union
from art_snn.seeding import seeded

DRAWS = 10
"""Random points at the rim of the ball."""
BEYOND = 0.002
CERTAIN, POINT = 0.99, 0.01


@dataclass(frozen=True, kw_only=True)
class _WhiteBox(Subject):
    """Samples with AutoPGD on them: cross entropy, one random start, the network's rule."""

    sources: tuple[PyTorchClassifier, ...] = ()
    max_iter: int = 100
    square_iter: int = 500

    @cached_property
    def white(self) -> Robustness:
        """The white box."""
        return self.auto_pgd()

    def auto_pgd(self, **others: Any) -> Robustness:
        """The white box with other settings."""
        return self._outcome(AutoPGD(self.estimator, **self._settings(**others)))

    @cached_property
    def noise(self) -> Robustness:
        """Whichever of several random points at the rim of the ball is misclassified."""
        x = torch.as_tensor(self.x, device="cpu")
        limits = AutoPGD(self.estimator, **self._settings()).clip_range(x)
        ball = Ball(float(self.norm), self.eps, x, *(end.to(x) for end in limits))
        # The white box begins at draw 0.
        points = (ball.start(uniform_noise(x, self.seed, draw)) for draw in range(1, DRAWS + 1))
        return union([self._judged(point.numpy()) for point in points])

    @cached_property
    def square(self) -> Robustness:
        """SquareAttack."""
        settings = self._settings(max_iter=self.square_iter, **SQUARE_ATTACK)
        return self._outcome(SquareSearch(self.estimator, **settings))

    @cached_property
    def transfer(self) -> Robustness | None:
        """Adversarials crafted on every source, and shown to the network; None without sources."""
        attacks = [OnwardPGD(source, **self._settings()) for source in self.sources]
        return union([self._outcome(attack) for attack in attacks]) if attacks else None

    def _settings(self, **others: Any) -> dict[str, Any]:
        usual = {"norm": self.norm, "eps": self.eps, "max_iter": self.max_iter, "seed": self.seed}
        return usual | {"batch_size": self.batch_size, "verbose": False} | others

    def _outcome(self, attack: PerSampleAttack) -> Robustness:
        with seeded(self.seed):
            adversarial: np.ndarray = attack.generate(self.x, self.y)
        return self._judged(adversarial)

    def _judged(self, adversarial: np.ndarray) -> Robustness:
        return Robustness(self.correct, ~self.wrong(adversarial))


def _whole_range_survived(subject: _WhiteBox) -> Finding | None:
    """Samples survive although the attack may turn them into any other."""
    # A ball around every sample that holds the whole range.
    success = subject.auto_pgd(eps=subject.reach).attack_success
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
        f"{success.total} samples. A working attack breaks all of them.",
    )


def _one_step_as_strong(subject: _WhiteBox) -> Finding | None:
    """One step breaks other samples than all steps, and as many."""
    # FGSM: AutoPGD's first step is 2 eps long, and projected.
    control = subject.auto_pgd(max_iter=1, num_random_init=0)
    only_white, only_control, _ = paired_difference(subject.white, control)
    if not only_control or only_control < only_white:
        return None
    evidence, sentence = _compare(subject, control, "FGSM", "A single step (FGSM)")
    return Finding(
        "one-step-as-strong",
        "one step is as strong as many",
        evidence,
        "if FGSM breaks samples that the attack of all steps leaves, and at least as many (after "
        "Athalye et al., ICML 2018)",
        (OTHER_RULES,),
        sentence=sentence,
    )


def _noise_as_strong(subject: _WhiteBox) -> Finding | None:
    """Random points of the ball are misclassified that the white box does not find."""
    names = "noise-as-strong", "noise is as strong as the gradient", "noise"
    words = f"Random noise, best of {DRAWS} draws,"
    return _as_strong(subject, subject.noise, *names, words)


def _search_as_strong(subject: _WhiteBox) -> Finding | None:
    """A search that asks for no gradient finds what the white box does not."""
    names = "search-as-strong", "a search without gradients is as strong", "SquareAttack"
    words = "SquareAttack, which needs no gradient,"
    return _as_strong(subject, subject.square, *names, words, SEARCH)


def _transfer_as_strong(subject: _WhiteBox) -> Finding | None:
    """Adversarials of other networks break samples that the white box does not."""
    names = "transfer-as-strong", "an attack on another network is as strong", "transfer"
    words = "An attack on another network"
    return _as_strong(subject, subject.transfer, *names, words, SOURCES)


def _as_strong(
    subject: _WhiteBox,
    control: Robustness | None,
    kind: str,
    title: str,
    by: str,
    words: str,
    *remedies: Remedy,
) -> Finding | None:
    """The finding of that kind where a control, if there is one, breaks what the white box leaves.

    :param by: the control in the evidence; words: in the sentence."""
    if control is None:
        return None
    only_white, only_control, p = paired_difference(subject.white, control)
    weaker = only_control < only_white and p < SIGNIFICANT
    if weaker or only_control <= BEYOND * len(subject.x):
        return None
    evidence, sentence = _compare(subject, control, by, words)
    all_remedies = (OTHER_RULES, *remedies)
    limit = (
        f"if {by} breaks more than {BEYOND:g} of all samples that the gradient attack leaves "
        "(AutoAttack: Croce and Hein, ICML 2020), and the gradient attack does not break more at "
        f"p < {SIGNIFICANT:g} (McNemar)"
    )
    return Finding(kind, title, evidence, limit, all_remedies, sentence=sentence)


def _compare(
    subject: _WhiteBox, control: Robustness, by: str, words: str
) -> tuple[dict[str, float], str]:
    """The samples that a control and the white box broke: the evidence, and a sentence."""
    _, missed, p = paired_difference(subject.white, control)
    broken, by_white = int(control.flipped.sum()), int(subject.white.flipped.sum())
    total = int(subject.correct.sum())
    evidence = {f"broken by {by}": broken, f"by {by} alone": missed}
    sentence = (
        f"{words} broke {broken} of {total} samples at eps {subject.eps:.4g}; "
        f"the gradient attack broke {by_white}, but missed {missed} of these."
    )
    return evidence | {"by the gradient attack": by_white, "of": total, "p": p}, sentence


def _steps_still_help(subject: _WhiteBox) -> Finding | None:
    """Twice as many steps break more samples."""
    right, steps = int(subject.correct.sum()), 2 * subject.max_iter
    longer = subject.auto_pgd(max_iter=steps)
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
        (STEPS,),
        sentence=f"The gradient attack broke {subject.white.flipped.sum()} of {right} samples at "
        f"eps {subject.eps:.4g}, and {longer.flipped.sum()} with {steps} steps instead of "
        f"{subject.max_iter}.",
    )


CHECKS_OF_STRENGTH: tuple[Callable[[_WhiteBox], Finding | None], ...] = (
    _whole_range_survived,
    _noise_as_strong,
    _one_step_as_strong,
    _search_as_strong,
    _transfer_as_strong,
    _steps_still_help,
)
"""Every check of the white box, one kind of finding each."""


def examine_strength(
    estimator: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    eps: float,
    norm: float | str = np.inf,
    sources: Sequence[PyTorchClassifier] = (),
    max_iter: int = 100,
    square_iter: int = 500,
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = False,
) -> list[Finding]:
    """Look for reasons to doubt the white-box attack, by other attacks and budgets.

    The white box is :class:`~art_snn.attacks.AutoPGD` with cross entropy from one random start. It
    takes the gradient of the network's present rule. This costs some 4 max_iter gradients per
    surviving sample, max_iter more per source, and square_iter forward passes. Without any
    gradient, that is the one finding.

    The other parameters, and the errors, are those of :func:`examine`.

    :param norm: numpy.inf or 2.
    :param sources: other classifiers of the same samples, whose adversarials may carry over.
    :param max_iter: steps of the white box.
    :param square_iter: iterations of SquareAttack, as a :class:`~art_snn.attacks.SquareSearch`.
    :return: the findings, in the order of the checks."""
    settings: dict[str, Any] = {
        "sources": require_sources(sources, estimator),
        "max_iter": require_count("max_iter", max_iter, remedy="A hundred are usual."),
        "square_iter": require_count("square_iter", square_iter, remedy="500 are usual."),
    }
    norm = require_norm(norm)
    subject = _WhiteBox(estimator, x, y, eps, norm, batch_size, seed, **settings)
    cut = run_checks((gradients_vanish,), subject, "gradients")
    if not isinstance(subject.gradients, np.ndarray):
        return cut
    return run_checks(CHECKS_OF_STRENGTH, subject, "gradients", verbose)
