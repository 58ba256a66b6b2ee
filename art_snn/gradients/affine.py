"""Checks that layers between neurons are affine, so that a rate rule may run on time averages."""

import contextlib
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from art_snn.dynamics import least
from art_snn.gradients.base import Differentiable, Site

RELATIVE_TOLERANCE = 1e-3
"""Largest difference between replayed and recorded current, relative to the sample's largest."""
TF32_TOLERANCE = 1e-2
"""The same where CUDA rounds single precision to ten bits, as convolutions do by default."""
_HALF_TOLERANCE = 8
"""The same in half precision, in units of the last place of 1."""
_ABSOLUTE_TOLERANCE = 1e-6
"""Difference that always passes, in thresholds: rounding around a current of zero."""

OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)

_REMEMBERED = 64
"""Answers of the probe that a network keeps: one for each input shape and state of its weights."""


@dataclass(frozen=True)
class Mismatch:
    """Why a replay is not the time average of its recording, and whether layers are to blame."""

    reason: str
    lasting: bool = True


def collapse_objection(network: Differentiable, encoded: Tensor) -> str | None:
    """Why the network cannot be replayed on time averages, or None where it can.

    It is probed once for every shape of input and state of the network."""
    objection = network.averaging_objection()
    if objection is not None:
        return objection
    if encoded.shape[0] == 1:
        return "with one time step there is nothing to average"
    if encoded.shape[1] == 0:
        return "the batch is empty"
    if network.exact is not None:
        # The same layers, where rounding does not hide it; one sample will do.
        return collapse_objection(network.exact, encoded[:, :1].detach().to(network.exact.dtype))
    if encoded.dtype.itemsize < 4 or torch.is_autocast_enabled(encoded.device.type):
        return "in half precision rounding hides whether the layers are affine"
    key = key_of(network, encoded)
    # Not looked up twice: another thread may clear them in between.
    with contextlib.suppress(KeyError):
        return network.obstacles[key]
    with network.writing():
        objection = probe(network, encoded)
    # Without what the probe has written.
    remember(network.obstacles, key_of(network, encoded), objection)
    return objection


def remember(answers: dict[Hashable, Any], key: Hashable, answer: object) -> None:
    """Keep one answer more, and not too many."""
    if len(answers) >= _REMEMBERED and key not in answers:
        answers.clear()
    answers[key] = answer


def key_of(network: Differentiable, encoded: Tensor) -> Hashable:
    """A key of all that an answer of the probe depends on."""
    form = (encoded.shape[0], *encoded.shape[2:], encoded.dtype)
    return (*form, tolerance(encoded), network.state_key())


@torch.no_grad()
def probe(network: Differentiable, encoded: Tensor) -> str | None:
    """Why the layers between neurons are not affine, or None where they are.

    Spikes do not show it: a ReLU changes none of them and still cuts gradients. So neurons and
    input are random numbers a, b and (a + b) / 2, and the third current must be the mean."""
    # A separate generator: the probe must not disturb the user's random state.
    generator = torch.Generator(encoded.device).manual_seed(0)
    names: list[str] = []
    excesses: list[Tensor] = []

    def draw(like: Tensor) -> Tensor:
        """a, b and (a + b) / 2 of one sample [3, 1, ...]."""
        steps = torch.empty((2, 1, *like.shape[2:]), dtype=like.dtype, device=like.device)
        a, b = steps.normal_(generator=generator)
        return torch.stack([a, b, (a + b) / 2])

    def judge(current: Tensor, threshold: float) -> None:
        a, b, middle = current
        excesses.append(excess_of(middle[None], (a + b)[None] / 2, threshold))

    def fire(site: Site, current: Tensor) -> Tensor:
        judge(current, least(site.dynamics.threshold))
        names.append(site.name)
        return draw(current)

    try:
        judge(network.outputs(draw(encoded), fire), 1.0)
        mismatch = first_mismatch(excesses, names)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        mismatch = failure("probe", error)
    return None if mismatch is None else mismatch.reason


def first_mismatch(excesses: list[Tensor], names: list[str]) -> Mismatch | None:
    """The mismatch at the first positive or NaN excess, at a neuron or at last at the logits."""
    values = torch.stack(excesses).tolist()
    first = next((i for i, value in enumerate(values) if not value <= 0), None)
    if first is None:
        return None
    place = f"neuron {names[first]}" if first < len(names) else "the logits"
    if not math.isfinite(values[first]):
        return Mismatch(f"the input of {place} is not finite", lasting=False)
    return Mismatch(f"the layers before {place} are not affine: their output on averages differs")


def failure(stage: str, error: Exception) -> Mismatch:
    """The mismatch that an exception of a probe or replay shows."""
    return Mismatch(f"the {stage} failed ({type(error).__name__}: {error})")


def excess_of(replayed: Tensor, recorded: Tensor, threshold: float) -> Tensor:
    """Largest difference of any sample beyond what rounding may cause; <= 0 when all match."""
    if replayed.shape != recorded.shape:
        raise ValueError(f"shape {list(replayed.shape)} instead of {list(recorded.shape)}")
    dims = tuple(range(2, recorded.ndim)) or (0,)
    wide = torch.promote_types(recorded.dtype, torch.float32)
    difference = torch.sub(replayed.detach(), recorded).abs_().amax(dims).to(wide)
    allowed = recorded.abs().amax(dims).to(wide) * tolerance(recorded)
    return (difference - allowed - _ABSOLUTE_TOLERANCE * threshold).amax()


def tolerance(recorded: Tensor) -> float:
    """Largest relative difference that rounding may cause between a replay and its recording."""
    if recorded.dtype.itemsize < 4:
        return max(_HALF_TOLERANCE * torch.finfo(recorded.dtype).eps, RELATIVE_TOLERANCE)
    return TF32_TOLERANCE if _rounds_to_tf32(recorded) else RELATIVE_TOLERANCE


def _rounds_to_tf32(x: Tensor) -> bool:
    """True if CUDA rounds what convolutions or matrix products of such a tensor multiply."""
    if not x.is_cuda or x.dtype != torch.float32:
        return False
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    units: tuple[Any, ...] = (getattr(cudnn, "conv", None), matmul)
    precisions = [getattr(unit, "fp32_precision", None) for unit in units]
    if None in precisions:
        return cudnn.allow_tf32 or matmul.allow_tf32
    # Since torch 2.9 the flags follow from these, and raise where only these were set.
    return "tf32" in precisions
