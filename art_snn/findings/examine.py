"""All checks, in the order in which their findings matter."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn
from tqdm.auto import tqdm

from art_snn.attacks.balls import require_norm
from art_snn.checks import require, require_count, require_number, require_seed
from art_snn.classifier.inputs import check_labels, checked_samples
from art_snn.findings.base import Check, Finding, Subject
from art_snn.findings.calls import batch_dependent, state_kept, statistics_changed
from art_snn.findings.data import budget, range_left, range_unknown
from art_snn.findings.gradients import gradients_cut, gradients_vanish, unstable_loss
from art_snn.findings.outputs import probabilities, random_network, saturated
from art_snn.passes import modes_kept

CHECKS: tuple[Check, ...] = (
    range_unknown,
    range_left,
    budget,
    statistics_changed,
    state_kept,
    batch_dependent,
    random_network,
    probabilities,
    saturated,
    gradients_cut,
    gradients_vanish,
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

    :param estimator: any classifier of torch's; a spiking one is differentiated by its rule.
    :param x: samples ``(N, *input_shape)``; a hundred are enough.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: budget of the attacks, in the unit of the samples.
    :param norm: numpy.inf or 2.
    :param batch_size: samples per pass.
    :param seed: of what is drawn.
    :param verbose: show a progress bar.
    :return: the findings, in the order of CHECKS; none speaks for itself of a sound evaluation.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, or a bad setting."""
    x = np.asarray(checked_samples(x, estimator.input_shape))
    remedy = "Take some of the samples that are attacked."
    require(len(x), "x", "at least one sample", "none", remedy)
    check_labels(y, len(x), estimator.nb_classes)
    y = np.asarray(y)
    subject = Subject(
        estimator,
        x,
        (y.reshape(len(y)) if y.size == len(y) else y.argmax(1)).astype(np.int64),
        require_number("eps", eps, above=0, remedy="A usual budget is 8/255."),
        require_norm(norm),
        require_count("batch_size", batch_size, remedy="Batches of 32 are usual."),
        require_seed("seed", seed),
    )
    with _restored(estimator.model):
        every = tqdm(CHECKS, desc="Checks", disable=not verbose)
        return [finding for check in every if (finding := check(subject)) is not None]


@contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    """Weights, buffers and modes are after the block what they were before."""
    before = {name: value.detach().clone() for name, value in _tensors(network).items()}
    try:
        with modes_kept(network):
            yield
    finally:
        with torch.no_grad():
            for name, value in _tensors(network).items():
                if not torch.equal(value, before[name]):
                    value.copy_(before[name])


def _tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())
