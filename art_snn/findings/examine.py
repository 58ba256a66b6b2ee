"""All checks, in the order in which their findings matter."""

from collections.abc import Callable

import numpy as np
from art.estimators.classification import PyTorchClassifier

from art_snn.findings import gradients, predictions, samples
from art_snn.findings.base import Finding, Subject
from art_snn.findings.examination import make_subject, native_gradient, run_checks

CHECKS: tuple[Callable[[Subject], Finding | None], ...] = (
    samples.range_unknown,
    samples.range_left,
    samples.odd_budget,
    predictions.statistics_changed,
    predictions.state_kept,
    predictions.batch_dependent,
    predictions.random_network,
    predictions.unanswered,
    predictions.probabilities,
    predictions.saturated,
    gradients.gradients_cut,
    gradients.gradients_vanish,
    gradients.mixed_gradients,
    gradients.unstable_loss,
)
"""Every check, one kind of finding each."""


def examine(
    estimator: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    eps: float,
    norm: float | str = np.inf,
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = False,
) -> list[Finding]:
    """Look for reasons to doubt a robustness measured on these samples, before any attack.

    This costs some 110 forward passes and a gradient per sample, and some more of a few. The loss
    around the samples takes a hundred of them. Weights and buffers are afterwards what they were.

    :param estimator: any classifier of torch's. A spiking one is differentiated with its rule, or,
        with a warning, with its own gradient where that alone suits it.
    :param x: samples ``(N, *input_shape)``; a hundred are enough.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: budget of the attacks, in the unit of the samples.
    :param norm: numpy.inf or 2; of event frames 0 or "shift", about whose budgets nothing is said.
    :param batch_size: samples per pass; seed: of what is drawn; verbose: show progress.
    :return: the findings, in the order of CHECKS; having none is no proof of a sound evaluation.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, or a bad setting."""
    subject = make_subject(Subject, estimator, x, y, eps, norm, batch_size, seed)
    with native_gradient(subject):
        return run_checks(CHECKS, subject, verbose=verbose)
