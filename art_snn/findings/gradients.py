"""Findings about the gradient that attacks follow."""

import numpy as np
import torch

from art_snn.attacks import FLIPS, SHIFT
from art_snn.attacks.starts import uniform_noise
from art_snn.findings.base import Finding, Subject
from art_snn.gradients import Native
from art_snn.network import SpikingNetwork

UNSTABLE = 0.5
DIRECTIONS = 100
RADIUS = 8 / 255
"""In the width of the range of the samples."""
TINY = 1e-6
ANOTHER = "Try another rule: a rate rule such as RGA, or a wider surrogate."


def gradients_cut(subject: Subject) -> Finding | None:
    """No gradient reaches the input."""
    found = subject.gradients
    if found is not None and (not len(found) or found.any()):
        return None
    if subject.refusal is not None:
        return Finding(
            "gradients refused",
            {"samples with a gradient": 0, "samples": int(subject.correct.sum())},
            f"where the network refuses them: ours. It says: {str(subject.refusal).rstrip('.')}",
            "Change the network as the message says; no attack by gradients runs on it as it is.",
        )
    return Finding(
        "gradients cut",
        {"samples with a gradient": 0, "samples": int(subject.correct.sum())},
        "where no loss depends on its input as autograd sees it: unavailable gradients (Pintor et "
        "al., NeurIPS 2022)",
        f"Look for detach, rounding or numpy between the input and the loss. {ANOTHER}",
    )


def gradients_vanish(subject: Subject) -> Finding | None:
    """Some gradients are zero throughout, or not finite."""
    found = subject.gradients
    if found is None or not found.any():
        return None
    rows = found.reshape(len(found), -1)
    finite = np.isfinite(rows).all(1)
    zero = finite & ~rows.any(1)
    if finite.all() and not zero.any():
        return None
    return Finding(
        "vanished gradients",
        {"share that are 0": float(zero.mean()), "share not finite": float((~finite).mean())},
        "at the first sample that is right and has none: AutoAttack (Croce and Hein, ICML 2020)",
        ANOTHER,
    )


def mixed_gradients(subject: Subject) -> Finding | None:
    """Some layers keep the gradient of their own under the rule of the others."""
    network = subject.estimator.model
    if not isinstance(network, SpikingNetwork) or isinstance(network.rule, Native):
        return None
    natives = network.natives()
    if not natives:
        return None
    return Finding(
        "layers with a gradient of their own",
        {"layers of neurons": len(natives), "of": len(network.neuron_layers())},
        f"at the first layer that the rule does not differentiate, here {', '.join(natives)}: ours",
        "Make the neurons known by art_snn.interop.register_neuron; attack by 'native' as well.",
    )


def unstable_loss(subject: Subject) -> Finding | None:
    """What the gradient says holds nowhere near the sample."""
    x, y = subject.x[subject.correct], subject.y[subject.correct]
    if not len(x):
        return None
    here = _margins(subject.logits(x), y)
    radius = RADIUS * subject.span
    if subject.norm not in (FLIPS, SHIFT):
        radius = min(radius, subject.eps)
    values = subject.estimator.clip_values
    changes = []
    for draw in range(DIRECTIONS):
        noise = uniform_noise(torch.as_tensor(x, device="cpu"), subject.seed, draw).numpy()
        near = x + radius * noise
        near = near if values is None else np.clip(near, *values)
        there = _margins(subject.logits(near.astype(x.dtype)), y)
        relative = np.abs(there - here) / np.maximum(np.abs(here), TINY)
        changes.append(np.nan_to_num(relative, nan=1.0))
    change = float(np.median(np.minimum(np.mean(changes, axis=0), 1)))
    if change <= UNSTABLE:
        return None
    return Finding(
        "unstable loss",
        {"median relative change of the margin": change, "radius": radius},
        f"above {UNSTABLE:g} over {DIRECTIONS} random directions: after the second indicator of "
        "Pintor et al. (NeurIPS 2022), whose limit of .1 spikes exceed by themselves",
        "Smooth it: EOT over noise of that radius, or an attack without gradients (SquareAttack).",
    )


def _margins(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logit of the true class minus the best other [N]."""
    rows = np.arange(len(y))
    others = logits.copy()
    others[rows, y] = -np.inf
    found: np.ndarray = logits[rows, y] - others.max(1)
    return found
