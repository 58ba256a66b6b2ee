"""Batches with random states of their own, and attacks that run over them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from art_snn.attacks.attack import Attack
from art_snn.checks import require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import Gradient
from art_snn.seeding import seeded


def batches(samples: int, size: int, seed: int, words: str) -> Iterator[slice]:
    """Slices of the samples, each with the random state of the seed and its position."""
    for start in tqdm(range(0, samples, size), desc=words, leave=False):
        with seeded(seed + start):
            yield slice(start, min(start + size, samples))


def predictions(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, batch_size: int, seed: int
) -> np.ndarray:
    """Logits (N, K), drawn from the seed where the network is random.

    :raises ValueError: when a sample holds NaN or infinity."""
    got, remedy = "NaN or infinity", "No number that rests on such samples can be believed."
    require(np.isfinite(x).all(), "x", "finite samples", got, remedy)
    with seeded(seed):
        logits: np.ndarray = classifier.predict(x, batch_size=batch_size)
    return logits


def crafted(
    attack: Attack,
    rule: Gradient,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    words: str,
) -> np.ndarray:
    """Adversarial samples ``(N, *input_shape)`` that the attack crafts by the rule.

    The network keeps its own rule; what a rule remembers is of one batch (:meth:`Attack.craft`).

    :param x: samples ``(N, *input_shape)``.
    :param y: class indices (N,).
    :param words: for the progress bar."""
    adversarial = np.empty_like(x)
    with classifier.model.using(rule):
        for batch in batches(len(x), batch_size, seed, words):
            adversarial[batch] = attack.craft(classifier, x[batch], y[batch])
    return adversarial


def attacked(
    attack: Attack,
    rule: Gradient,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    **options: Any,
) -> np.ndarray:
    """Logits (N, K) of the samples that :func:`crafted` gives, which is told the options."""
    adversarial = crafted(attack, rule, classifier, x, y, **options)
    return predictions(classifier, adversarial, options["batch_size"], options["seed"])
