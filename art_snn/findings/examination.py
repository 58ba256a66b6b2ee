"""How each examination begins and ends: arguments are checked, and the network is put back."""

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn

from art_snn.attacks import require_budget, require_measure
from art_snn.checks import require, require_count, require_seed
from art_snn.classifier.inputs import as_array, checked_samples, class_indices
from art_snn.findings.base import Finding, Subject
from art_snn.gradients import Native, short_name
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.progress import progress_over

AnySubject = TypeVar("AnySubject", bound=Subject)


def make_subject(
    kind: type[AnySubject],
    estimator: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
    norm: float | str,
    batch_size: int,
    seed: int,
    **others: Any,
) -> AnySubject:
    """The subject of an examination; `others` are fields that are checked already."""
    x = as_array(checked_samples(x, estimator.input_shape))
    remedy = "Take some of the samples that are attacked."
    require(len(x), "x", "at least one sample", "none", remedy)
    measure = require_measure(norm)
    return kind(
        estimator=estimator,
        x=x if x.dtype.kind == "f" else x.astype(np.float32),
        y=class_indices(y, len(x), estimator.nb_classes),
        eps=require_budget(measure, eps),
        norm=measure,
        batch_size=require_count("batch_size", batch_size, remedy="Batches of 32 are usual."),
        seed=require_seed("seed", seed),
        **others,
    )


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
def native_gradient(subject: Subject) -> Iterator[None]:
    """Within the block, the network's own gradient stands in for a rule that does not suit it."""
    network = subject.estimator.model
    spiking = isinstance(network, SpikingNetwork)
    objection = network.objection(network.rule, subject.x) if spiking else None
    if objection is None or network.objection(Native(), subject.x) is not None:
        yield
        return
    words = f"{short_name(network.rule)} does not suit the network: its own gradient is examined."
    warnings.warn(f"{words} {objection}", stacklevel=4)
    with network.using(Native()):
        yield


@contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    """Weights, buffers and modes are after the block what they were before; new buffers go."""
    modules = list(network.modules())
    buffers = [dict(module._buffers) for module in modules]
    before = [
        (tensor, tensor.detach().clone()) for tensor in (*network.parameters(), *network.buffers())
    ]
    try:
        with modes_kept(network):
            yield
    finally:
        with torch.no_grad():
            for tensor, values in before:
                if tensor.shape != values.shape:
                    tensor.resize_(values.shape)
                if not torch.equal(tensor, values):
                    tensor.copy_(values)
        for module, registered in zip(modules, buffers, strict=True):
            module._buffers.clear()
            module._buffers.update(registered)
