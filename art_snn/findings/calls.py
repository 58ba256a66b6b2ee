"""Findings about what one call of a classifier does to another, and one sample to another."""

import hashlib
from contextlib import suppress

import numpy as np
from torch import nn

from art_snn.findings.base import Finding, Subject
from art_snn.findings.outputs import random_network

DIFFERENCE = 1e-3
CALLED = 8
"""Samples that are predicted one by one."""


def state_kept(subject: Subject) -> Finding | None:
    """A prediction depends on what was predicted before it."""
    if random_network(subject) is not None:
        return None
    first = subject.logits(subject.x)
    subject.logits(subject.x[::-1].copy() * 0.5)
    again = subject.logits(subject.x)
    change = np.abs(again - first).max(initial=0)
    if change == 0:
        return None
    return Finding(
        "state kept between calls",
        {
            "largest change of a logit": float(change),
            "share of classes that changed": float((again.argmax(1) != first.argmax(1)).mean()),
        },
        "where the same samples give other logits after other samples came between: ours",
        "Reset the neurons before every call, or wrap the network by art_snn.interop.adapt.",
    )


def batch_dependent(subject: Subject) -> Finding | None:
    """A prediction depends on what else is in the batch."""
    if random_network(subject) is not None:
        return None
    x = subject.x[:CALLED]
    together = subject.logits(x)
    alone = np.concatenate([subject.logits(x[i : i + 1]) for i in range(len(x))])
    lengths = np.linalg.norm(together, axis=1)
    change = np.linalg.norm(alone - together, axis=1) / np.where(lengths > 0, lengths, 1)
    median = float(np.median(change)) if len(x) else 0.0
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
    with suppress(RuntimeError):  # Where there is no gradient: a finding of its own.
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
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors}
    return {name: hashlib.sha256(array.tobytes()).digest() for name, array in arrays.items()}
