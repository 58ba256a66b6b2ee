"""The forms of a model: what it takes, who runs the loop over time, and how its output is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require

Readout = Literal["mean", "sum", "spikes", "potential"] | Callable[[Any], Tensor] | None
READOUTS = ("mean", "sum", "spikes", "potential")
SEQUENTIAL = "norse.torch.module.sequential.SequentialState"


class OwnTime:
    """Stands for the encoder of a model that makes its time steps from an input [N, ...] itself."""

    def __call__(self, x: Tensor) -> Tensor:
        """[N, ...] -> [1, N, ...]."""
        return x[None]

    def __repr__(self) -> str:
        return "the model's own time"


def looped(model: nn.Module, encoded: Tensor) -> list[Any]:
    """What a model of one time step returns, step by step.

    A SequentialState of Norse hands its states back, and is given them at the next step.

    :param encoded: input [T, N, ...]."""
    outputs: list[Any] = []
    if any(f"{cls.__module__}.{cls.__qualname__}" == SEQUENTIAL for cls in type(model).__mro__):
        states = None
        for x in encoded:
            output, states = model(x, states)
            outputs.append(output)
        return outputs
    return [model(x) for x in encoded]


def read_logits(
    readout: Readout, output: Any, batch: int, steps: int | None, length: int | None = None
) -> Tensor:
    """Logits [N, K] of what a model has returned.

    :param output: whatever it returned; a list with an entry for every step of a looped model.
    :param batch: samples N.
    :param steps: time steps T; None where the model alone knows.
    :param length: time steps that those of the output stand for, as one does in a replay.
    :raises ValueError: when it cannot be read so."""
    if callable(readout):
        reduced: Tensor = readout(output)
        remedy = (
            "It is given what the model returns, and reduces it to logits. Where other batches "
            "were right, a layer has its own number of samples, as UnflattenTime of sinabs has."
        )
        expected = f"logits [{batch}, K] from the readout"
        right = isinstance(reduced, Tensor) and reduced.ndim == 2 and len(reduced) == batch
        require(right, "readout", expected, shape_of(reduced), remedy)
        return reduced
    if isinstance(output, list):
        parts = [_part(readout, step) for step in output]
        for part in parts:
            _require_shape(part, f"[{batch}, K] in a step", batch, None)
        output = torch.stack(parts)
    else:
        output = _part(readout, output)
        expected = f"[{batch}, K]" if readout is None else f"[{steps or 'T'}, {batch}, K]"
        _require_shape(output, expected, batch, None if readout is None else steps)
    logits: Tensor = output
    if readout == "sum":
        # In a replay one step stands for all of them.
        logits = output.sum(0) * (1 if length is None else length / len(output))
    elif readout is not None:
        logits = output.mean(0)
    return logits


def _part(readout: Readout, output: Any) -> Any:
    """The spikes or the potential, where several things are returned and one of them is read."""
    if readout not in ("spikes", "potential"):
        return output
    several = isinstance(output, tuple | list) and len(output) > 1
    remedy = "Where it returns a single tensor, take 'mean' or 'sum'."
    expected = "one that returns (spikes, potential)"
    require(several, "model", expected, shape_of(output), remedy)
    return output[0 if readout == "spikes" else -1]


def _require_shape(output: object, expected: str, batch: int, steps: int | None) -> None:
    right = isinstance(output, Tensor) and output.ndim == expected.count(",") + 1
    if right:
        assert isinstance(output, Tensor)
        right = output.shape[-2] == batch and steps in (None, len(output))
    remedy = (
        "A readout reduces what the model returns to logits: 'mean' or 'sum' over [T, N, K], "
        "'spikes' or 'potential' where it returns both, None where it returns [N, K], or a "
        "function of yours. encoder=None is for models that make their time steps themselves."
    )
    require(right, "model", f"one that returns {expected}", shape_of(output), remedy)


def mean_over_time(
    outputs: list[Tensor], samples: int, steps: int | None, *, by_steps: bool, samples_first: bool
) -> Tensor | None:
    """Mean over time [N, ...] of what a layer has put out; None where it has no such axes.

    In a replay one step stands for all of them.

    :param outputs: of its calls in a pass, or in several passes, of which the last one counts.
    :param samples: N.
    :param steps: time steps T, where they are known.
    :param by_steps: whether every call is one time step.
    :param samples_first: whether samples come before time steps where both are there."""
    if by_steps or (steps is not None and len(outputs) == steps > 1):
        if all(len(output) == samples for output in outputs):
            return torch.stack(outputs).mean(0)
        if by_steps:
            return None
    output = outputs[-1]
    for length in dict.fromkeys((steps, 1)):
        if length is None:
            continue
        shape = (samples, length) if samples_first else (length, samples)
        if tuple(output.shape[:2]) == shape:
            return output.mean(1 if samples_first else 0)
        if length > 1 and len(output) == length * samples:
            return output.reshape(*shape, *output.shape[1:]).mean(1 if samples_first else 0)
    return output if len(output) == samples else None


def require_readout(readout: object) -> None:
    """Refuse what is none of the readouts."""
    right = readout is None or callable(readout) or readout in READOUTS
    expected = f"{', '.join(map(repr, READOUTS))}, None or a function"
    remedy = "A function gets what the model returns, and gives [N, K]."
    require(right, "readout", expected, repr(readout), remedy)


def require_memory_of_steps(handed: list[str]) -> None:
    """Refuse to loop over neurons whose states the model does not keep from step to step."""
    if handed:
        got = f"{handed[0]}, which was called without the state of the step before"
        remedy = "Hand its states on in a loop of the model's own: adapt(model, encoder=None)."
        raise invalid("model", "neurons that keep their state from step to step", got, remedy)


def shape_of(output: object) -> str:
    """What a model has returned, in words."""
    if isinstance(output, Tensor):
        return f"a tensor {list(output.shape)}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return type(output).__name__
