"""Does a network draw random numbers, keep a state, or mix the samples of a batch?

Adapted models, bounds, findings and SpikingAutoAttack ask so, each by a call of its own
kind: a pass of theirs, a call of the network, or a prediction of a classifier. Here
stands what they have in common: which calls tell it, and which results count as
different."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from art_snn.seeding import fix_seed

DIFFERENCE = 1e-4
"""Share of the length of the logits by which those of a network without chance may differ."""
Samples = TypeVar("Samples", Tensor, ndarray)
_Result = TypeVar("_Result")


def draws_numbers(call: Callable[[], object], device: torch.device) -> bool:
    """True if a call draws from torch's generators, of the CPU or of a GPU that computes."""
    before = _generator_states(device)
    call()
    return before != _generator_states(device)


def _generator_states(device: torch.device) -> list[bytes]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return [state.numpy().tobytes() for state in states]


def predict_by_draws(
    predict: Callable[[], _Result], seed: int, draws: int
) -> list[_Result]:
    """Predictions [N, K] of the same samples, each from a random state of its own."""
    predictions = []
    for draw in range(draws):
        with fix_seed(seed + draw):
            predictions.append(predict())
    return predictions


def logit_spread(predictions: Sequence[ndarray]) -> float:
    """The largest difference of a logit between predictions [N, K], in lengths of the logits."""
    lengths = np.linalg.norm(predictions[0], axis=1, keepdims=True)
    scaled = np.stack(predictions) / np.where(lengths > 0, lengths, 1)
    spread = np.nan_to_num(np.ptp(scaled, axis=0))
    return float(spread.max(initial=0))


def is_random(predictions: Sequence[ndarray], y: ndarray) -> bool:
    """True where predictions [N, K] differ by more than rounding, or in how many are right."""
    counts = {int((logits.argmax(1) == y).sum()) for logits in predictions}
    return logit_spread(predictions) > DIFFERENCE or len(counts) > 1


def mirror_samples(x: Samples) -> Samples:
    """Other samples of the same range: what a call for x [N, ...] must not depend on."""
    return x.min() + x.max() - x  # type: ignore[no-any-return]  # A method of a TypeVar gives Any.
