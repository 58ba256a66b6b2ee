"""One training by several processes: each takes its share of every batch, all take one step."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from art_snn.checks import invalid
from art_snn.seeding import seeded
from art_snn.team import Team
from art_snn.training.recipe import Recipe


def check_batches(team: Team, recipe: Recipe, samples: int) -> None:
    """Whether every batch has a sample for every process, the last one of an epoch included.

    :raises ValueError: when one has not."""
    size = min(recipe.batch_size, samples)
    last = samples % size or size
    if last < team.size:
        expected = f"batches with a sample for every one of {team.size} processes"
        got = f"{recipe.batch_size}, by which the last batch of {samples} samples has {last}"
        raise invalid("batch_size", expected, got, "Take another one, or fewer processes.")


def mine(team: Team, batch: Tensor) -> Tensor:
    """The share of this process of a batch [N, ...]: as many as the others have, or one more."""
    return torch.tensor_split(batch, team.size)[team.rank]


@contextmanager
def own_draws(team: Team, *place: int) -> Iterator[None]:
    """Random draws of this process alone within the block; a process by itself draws on.

    Those before and after it are the same in all processes, which draw as one would by itself.

    :param place: whole numbers that tell the block from all others of the run."""
    if team.size == 1:
        yield
        return
    with seeded(int(np.random.SeedSequence((*place, team.rank)).generate_state(1)[0])):
        yield


def summed(team: Team, weights: Iterable[Tensor], loss: float) -> float:
    """Sum gradients over the processes, where the weights have them, and a loss.

    Not DistributedDataParallel, whose hooks on weights would act while an attack differentiates
    the same network, and which expects one forward pass per step. All processes have the same bits
    afterwards.

    :return: the sum of the losses."""
    if team.size == 1:
        return loss
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for weight in weights:
        if weight.grad is not None:
            kinds.setdefault(weight.grad.dtype, []).append(weight.grad)
    for gradients in kinds.values():
        flat = team.summed(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
    return float(team.summed(torch.tensor(loss, dtype=torch.float64, device="cpu")))
