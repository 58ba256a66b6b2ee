"""Whether the white box behaves as an attack should: all checks of it."""

from collections.abc import Sequence

import numpy as np
from art.estimators.classification import PyTorchClassifier

from art_snn.attacks.balls import require_norm
from art_snn.attacks.plan import require_sources
from art_snn.checks import require_count, require_number, require_whole
from art_snn.findings.base import Finding
from art_snn.findings.controls import (
    noise_as_strong,
    one_step_as_strong,
    search_as_strong,
    transfer_as_strong,
)
from art_snn.findings.given import examined, given, native_gradient
from art_snn.findings.gradients import gradients_cut
from art_snn.findings.progress import loss_still_rises, steps_still_help, whole_range_survived
from art_snn.findings.white_box import WINDOW, Check, WhiteBox

CHECKS_OF_STRENGTH: tuple[Check, ...] = (
    whole_range_survived,
    noise_as_strong,
    one_step_as_strong,
    search_as_strong,
    transfer_as_strong,
    steps_still_help,
    loss_still_rises,
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
    """What speaks against believing the white box, by what other attacks and budgets come to.

    The white box is :class:`~art_snn.attacks.AutoPGD` with cross entropy from one random start, by
    the rule that the network has at present, or by its own gradient as in :func:`examine`. Costs
    some 4 max_iter gradients per sample that stands, max_iter more per source, and square_iter
    forward passes. Where autograd finds no gradient at all, that is the one finding. Weights and
    buffers are afterwards what they were.

    :param estimator: any classifier of torch's; a spiking one is differentiated by its rule.
    :param x: samples ``(N, *input_shape)``; a hundred or more.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: budget of the attacks, in the unit of the samples.
    :param norm: numpy.inf or 2.
    :param sources: other classifiers of the same samples, whose adversarials may carry over.
    :param max_iter: steps of the white box, 20 or more.
    :param square_iter: iterations of SquareAttack, which is left out where there are no clip_values
        or samples are no images.
    :param batch_size: samples per pass.
    :param seed: of what is drawn.
    :param verbose: show a progress bar.
    :return: the findings, in the order of CHECKS_OF_STRENGTH.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, or a bad setting."""
    remedy = "A hundred steps are usual."
    subject = given(
        WhiteBox,
        estimator,
        x,
        y,
        eps=require_number("eps", eps, above=0, remedy="A usual budget is 8/255."),
        norm=require_norm(norm),
        batch_size=batch_size,
        seed=seed,
        sources=require_sources(sources, estimator),
        max_iter=require_whole("max_iter", max_iter, least=2 * WINDOW, remedy=remedy),
        square_iter=require_count("square_iter", square_iter, remedy="500 are usual."),
    )
    with native_gradient(subject):
        cut = examined((gradients_cut,), subject)
        return cut if subject.gradients is None else examined(CHECKS_OF_STRENGTH, subject, verbose)
