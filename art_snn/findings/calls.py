"""Findings about what one call of a classifier does to another, and one sample to another."""

import hashlib
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.checks import ArgumentError
from art_snn.findings.base import Finding, Subject

DIFFERENCE = 1e-3
CALLED = 8
"""Samples that are predicted one by one."""


def state_kept(subject: Subject) -> Finding | None:
    """A prediction depends on what was predicted before it."""
    if not subject.stateful:
        return None
    first, again = subject.again
    change = np.abs(np.nan_to_num(again) - np.nan_to_num(first)).max()
    return Finding(
        "state kept between calls",
        {
            "largest change of a logit": float(change),
            "share of classes that changed": float((again.argmax(1) != first.argmax(1)).mean()),
        },
        "where the same samples give other logits from the same seed, after other samples came "
        "between: ours",
        "Reset the neurons before every call, or wrap the network by art_snn.interop.adapt; what "
        "it draws, it should draw from torch's or numpy's own generator, which attacks seed.",
    )


def batch_dependent(subject: Subject) -> Finding | None:
    """A prediction depends on what else is in the batch."""
    if subject.random or subject.stateful:
        return None
    x = subject.x[:CALLED]
    each = [subject.logits(x[i : i + 1]) for i in range(len(x))]
    together, alone = (np.nan_to_num(found) for found in (subject.logits(x), np.concatenate(each)))
    lengths = np.linalg.norm(together, axis=1)
    change = np.linalg.norm(alone - together, axis=1) / np.where(lengths > 0, lengths, 1)
    median = float(np.median(change))
    if median <= DIFFERENCE:
        return None
    return Finding(
        "predictions depend on the batch",
        {"median relative change of the logits": median, "samples": len(x)},
        f"above {DIFFERENCE:g} between a sample alone and in a batch, in the median, since spikes "
        "let rounding change a few: ours",
        "Put batch norm into evaluation mode, and look for means over the batch.",
    )


def statistics_changed(subject: Subject) -> Finding | None:
    """Predictions or gradients change what the network has learnt."""
    before = _digests(subject.estimator.model)
    subject.logits(subject.x)
    with suppress(RuntimeError, ArgumentError):  # Where there is no gradient: a finding of its own.
        subject.gradient(subject.x[: subject.batch_size], subject.y[: subject.batch_size])
    after = _digests(subject.estimator.model)
    changed = [name for name in after if after[name] != before.get(name)]
    if not changed:
        return None
    return Finding(
        "statistics changed",
        {"tensors of the network that changed": len(changed), "of": len(after)},
        "at the first buffer or weight that a prediction or a gradient changes: ours. The first is "
        f"{changed[0]}",
        "Evaluate in evaluation mode: batch norm in training mode learns from adversarials.",
    )


def _digests(network: nn.Module) -> dict[str, bytes]:
    tensors = (*network.named_parameters(), *network.named_buffers())
    return {name: hashlib.sha256(_bytes(tensor)).digest() for name, tensor in tensors}


def _bytes(tensor: Tensor) -> bytes:
    """The bits of a tensor, of numbers that numpy does not know, too."""
    found: bytes = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return found
