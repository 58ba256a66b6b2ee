"""Whether the white box behaves as an attack should: all checks of it."""

from collections.abc import Callable, Sequence

import numpy as np
from art.estimators.classification import PyTorchClassifier

from art_snn.attacks.balls import require_norm
from art_snn.attacks.plan import require_sources
from art_snn.checks import require_count, require_whole
from art_snn.findings import controls
from art_snn.findings.base import Finding
from art_snn.findings.examination import make_subject, native_gradient, run_checks
from art_snn.findings.gradients import gradients_cut
from art_snn.findings.white_box import WINDOW, WhiteBox

CHECKS_OF_STRENGTH: tuple[Callable[[WhiteBox], Finding | None], ...] = (
    controls.whole_range_survived,
    controls.noise_as_strong,
    controls.one_step_as_strong,
    controls.search_as_strong,
    controls.transfer_as_strong,
    controls.steps_still_help,
    controls.loss_still_rises,
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
    takes the gradient of the network's present rule, or its own gradient as in :func:`examine`.
    This costs some 4 max_iter gradients per surviving sample, max_iter more per source, and
    square_iter forward passes. Without any gradient, that is the one finding.

    The other parameters, and the errors, are those of :func:`examine`.

    :param norm: numpy.inf or 2.
    :param sources: other classifiers of the same samples, whose adversarials may carry over.
    :param max_iter: steps of the white box, 20 or more.
    :param square_iter: iterations of SquareAttack, which is left out where there are no clip_values
        or samples are no images.
    :return: the findings, in the order of CHECKS_OF_STRENGTH."""
    least, remedy = 2 * WINDOW, "A hundred steps are usual."
    settings = {
        "sources": require_sources(sources, estimator),
        "max_iter": require_whole("max_iter", max_iter, least=least, remedy=remedy),
        "square_iter": require_count("square_iter", square_iter, remedy="500 are usual."),
    }
    norm = require_norm(norm)
    subject = make_subject(WhiteBox, estimator, x, y, eps, norm, batch_size, seed, **settings)
    with native_gradient(subject):
        cut = run_checks((gradients_cut,), subject, "gradients")
        if not isinstance(subject.gradients, np.ndarray):
            return cut
        return run_checks(CHECKS_OF_STRENGTH, subject, "gradients", verbose)
