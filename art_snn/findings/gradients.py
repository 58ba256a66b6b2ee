"""Findings about the gradient that attacks follow."""

import numpy as np
import torch

from art_snn.attacks.balls import FLIPS, SHIFT
from art_snn.attacks.queries import margin
from art_snn.checks import ArgumentError
from art_snn.findings.finding import (
    NATIVE,
    OTHER_RULES,
    SEARCH,
    Finding,
    Remedy,
    Subject,
    list_samples,
)
from art_snn.gradients import Native, short_name
from art_snn.network import SpikingNetwork
from art_snn.seeding import uniform_noise

_UNSTABLE = 0.5
_DIRECTIONS = 100
_RADIUS = 8 / 255
"""In the width of the range of the samples."""
_TINY = 1e-6


def gradients_vanish(subject: Subject) -> Finding | None:
    """Some gradients, or all, are 0 throughout, not finite, cut, or refused."""
    gradients, right = subject.gradients, int(subject.correct.sum())
    rows = gradients if isinstance(gradients, np.ndarray) else np.zeros((right, 1))
    axes = tuple(range(1, rows.ndim))
    finite = np.isfinite(rows).all(axes)
    zero = finite & ~rows.any(axes)
    if finite.all() and not zero.any():
        return None
    samples, remedy = np.zeros(len(subject.x), bool), OTHER_RULES
    samples[subject.correct] = zero | ~finite
    if isinstance(gradients, ArgumentError):
        remedy = Remedy(f"Change the network as it says: {gradients}")
    elif samples.sum() == right:
        remedy = Remedy("Look for detach, rounding or numpy between the input and the loss.")
    model = subject.estimator.model
    by = f" by {short_name(model.rule)}" if isinstance(model, SpikingNetwork) else ""
    return Finding(
        "vanished-gradients",
        "vanished gradients",
        {"share that are 0": float(zero.mean()), "share not finite": float((~finite).mean())},
        "if any correctly classified sample has none (AutoAttack: Croce and Hein, ICML 2020), as "
        "where the loss does not depend on its input (Pintor et al., NeurIPS 2022)",
        (remedy,),
        sentence=f"The gradient{by} is 0 for {zero.sum()} and not finite for {(~finite).sum()} of "
        f"{right} correctly classified samples, where gradient attacks have no direction. "
        f"{list_samples(samples)}",
    )


def _mixed_gradients(subject: Subject) -> Finding | None:
    """Some layers keep their own gradient, whatever the rule."""
    network = subject.estimator.model
    if not isinstance(network, SpikingNetwork) or isinstance(network.rule, Native):
        return None
    natives, layers = network.natives(), len(network.neuron_layers())
    if not natives:
        return None
    return Finding(
        "mixed-gradients",
        "layers that ignore the gradient rule",
        {"layers of neurons": len(natives), "of": layers},
        "if the rule does not differentiate a layer (ours)",
        (
            Remedy(f"Register the neurons of {', '.join(natives)} with interop.register_neuron."),
            NATIVE,
        ),
        sentence=f"The gradient rule leaves out {len(natives)} of {layers} layers of neurons, "
        f"first {next(iter(natives))}: a gradient of their own takes its place.",
    )


def _unstable_loss(subject: Subject) -> Finding | None:
    """The outputs change near the sample by far more than the gradient says."""
    x, y = subject.x[subject.correct], subject.y[subject.correct]
    if not len(x):
        return None
    here = _margins(subject, x, y)
    radius = _RADIUS * subject.span
    if subject.norm not in (FLIPS, SHIFT):
        radius = min(radius, subject.eps)
    values = subject.estimator.clip_values
    changes = []
    for draw in range(_DIRECTIONS):
        noise = uniform_noise(torch.as_tensor(x, device="cpu"), subject.seed, draw).numpy()
        near = x + radius * noise
        near = near if values is None else np.clip(near, *values)
        there = _margins(subject, near.astype(x.dtype), y)
        relative = np.abs(there - here) / np.maximum(np.abs(here), _TINY)
        changes.append(np.nan_to_num(relative, nan=1.0))
    change = float(np.median(np.minimum(np.mean(changes, axis=0), 1)))
    if change <= _UNSTABLE:
        return None
    return Finding(
        "unstable-outputs",
        "unstable outputs",
        {"median relative change of the margin": change, "radius": radius},
        f"if it is above {_UNSTABLE:g} over {_DIRECTIONS} random directions (after the second "
        "indicator of Pintor et al., NeurIPS 2022, whose limit of 0.1 spikes exceed by themselves)",
        (Remedy("Average gradients over noise of that radius."), SEARCH),
        sentence=f"Random changes of at most {radius:.3g} alter the lead of the true class by "
        f"{100 * change:.0f} % (median). A gradient then says little about the surroundings.",
    )


def _margins(subject: Subject, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Best other logit minus that of the true class [N]."""
    logits, classes = (torch.as_tensor(a, device="cpu") for a in (subject.logits(x), y))
    return margin(logits, classes).numpy()


CHECKS_OF_GRADIENTS = (gradients_vanish, _mixed_gradients, _unstable_loss)
"""Every check of gradients, one kind of finding each."""
