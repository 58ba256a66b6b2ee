"""All checks before any attack, and what every examination begins and ends with."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn

from art_snn.findings.finding import Finding, Subject
from art_snn.findings.gradients import CHECKS_OF_GRADIENTS
from art_snn.findings.predictions import CHECKS_OF_PREDICTIONS
from art_snn.passes import modes_kept
from art_snn.progress import progress_over

AnySubject = TypeVar("AnySubject", bound=Subject)


def run_checks(
    checks: Collection[Callable[[AnySubject], Finding | None]],
    subject: AnySubject,
    about: str = "network",
    verbose: bool = False,
) -> list[Finding]:
    """The findings of the checks; the network is afterwards what it was."""
    with _restored(subject.estimator.model):
        shown = progress_over(checks, f"Findings: {about}", unit="checks", verbose=verbose)
        findings = [check(subject) for check in shown]
    return [replace(finding, about=about) for finding in findings if finding is not None]


@contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    """Weights, buffers and modes are after the block what they were before; new buffers go."""
    registered = [(module._buffers, dict(module._buffers)) for module in network.modules()]
    tensors = (*network.parameters(), *network.buffers())
    before = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        with modes_kept(network):
            yield
    finally:
        with torch.no_grad():
            for tensor, values in before:
                if not torch.equal(tensor, values):
                    tensor.copy_(values)
        for buffers, former in registered:
            buffers.clear()
            buffers.update(former)


CHECKS = CHECKS_OF_PREDICTIONS + CHECKS_OF_GRADIENTS
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

    :param estimator: any classifier of torch's. A spiking one is differentiated with its rule.
    :param x: samples ``(N, *input_shape)``; a hundred are enough.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: budget of the attacks, in the unit of the samples.
    :param norm: numpy.inf or 2; of event frames 0 or "shift", about whose budgets nothing is said.
    :param batch_size: samples per pass; seed: of what is drawn; verbose: show progress.
    :return: the findings, in the order of the checks; none are no proof of a sound evaluation.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, or a bad setting."""
    subject = Subject(estimator, x, y, eps, norm, batch_size, seed)
    return run_checks(CHECKS, subject, verbose=verbose)
