"""All checks, in the order in which their findings matter."""

import numpy as np
from art.estimators.classification import PyTorchClassifier

from art_snn.attacks import require_budget, require_measure
from art_snn.findings.base import Check, Finding, Subject
from art_snn.findings.calls import batch_dependent, state_kept, statistics_changed
from art_snn.findings.data import odd_budget, range_left, range_unknown
from art_snn.findings.given import examined, given, native_gradient
from art_snn.findings.gradients import (
    gradients_cut,
    gradients_vanish,
    mixed_gradients,
    unstable_loss,
)
from art_snn.findings.outputs import probabilities, random_network, saturated, unanswered

CHECKS: tuple[Check, ...] = (
    range_unknown,
    range_left,
    odd_budget,
    statistics_changed,
    state_kept,
    batch_dependent,
    random_network,
    unanswered,
    probabilities,
    saturated,
    gradients_cut,
    gradients_vanish,
    mixed_gradients,
    unstable_loss,
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
    """What speaks against a robustness that is measured on these samples, before any attack.

    Costs some 110 forward passes and a gradient per sample, and some more of a few; the loss around
    the samples takes a hundred of them. Weights and buffers are afterwards what they were.

    :param estimator: any classifier of torch's; a spiking one is differentiated by its rule, or
        by its own gradient where that alone suits it, which a warning then says.
    :param x: samples ``(N, *input_shape)``; a hundred are enough.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: budget of the attacks, in the unit of the samples.
    :param norm: numpy.inf or 2; of event frames 0 or "shift", about whose budgets nothing is said.
    :param batch_size: samples per pass.
    :param seed: of what is drawn.
    :param verbose: show a progress bar.
    :return: the findings, in the order of CHECKS; none speaks for itself of a sound evaluation.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, or a bad setting."""
    measure = require_measure(norm)
    subject = given(
        Subject,
        estimator,
        x,
        y,
        eps=require_budget(measure, eps),
        norm=measure,
        batch_size=batch_size,
        seed=seed,
    )
    with native_gradient(subject):
        return examined(CHECKS, subject, verbose)
