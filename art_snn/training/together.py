"""One training by several processes: each takes its share of every batch, all take one step."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from art_snn.checks import require
from art_snn.seeding import seeded
from art_snn.team import Team
from art_snn.training.recipe import Recipe


def check_team(team: Team, network: nn.Module, recipe: Recipe, samples: int) -> None:
    """Refuse what several processes cannot train together.

    :raises ValueError: for a batch, the last one of an epoch included, without a sample for every
        process, or batch norms of another class than torch's, whose statistics are not shared."""
    if team.size == 1:
        return
    size = min(recipe.batch_size, samples)
    last = samples % size or size
    expected = f"batches with a sample for every one of {team.size} processes"
    got = f"{recipe.batch_size}, so that the last batch of {samples} samples has {last}"
    remedy = "Take another one, or fewer processes."
    require(last >= team.size, "batch_size", expected, got, remedy)
    for name, norm in network.named_modules():
        same = not isinstance(norm, _BatchNorm) or type(norm).forward is _BatchNorm.forward
        got, remedy = f"{name}, a {type(norm).__name__}", "Train it in one process."
        require(same, "network", "batch norms of torch for several processes", got, remedy)


def own_share(team: Team, batch: Tensor) -> Tensor:
    """The share of this process of a batch [N, ...]: as many as the others have, or one more."""
    return torch.tensor_split(batch, team.size)[team.rank]


@contextmanager
def own_draws(team: Team, *place: int) -> Iterator[None]:
    """A block in which each process of a team draws its own random numbers, and only there.

    :param place: whole numbers that no other block of the run has."""
    if team.size == 1:
        yield
        return
    with seeded(int(np.random.SeedSequence((*place, team.rank)).generate_state(1)[0])):
        yield


def sum_gradients(team: Team, weights: Iterable[Tensor], loss: float) -> float:
    """Sum a loss and the gradients of weights over the processes; returns the sum of losses.

    All processes have the same bits afterwards. DistributedDataParallel would hook the weights
    while an attack differentiates the network, and expects one forward pass per step."""
    if team.size == 1:
        return loss
    for weight in weights:
        if weight.grad is not None:
            weight.grad.copy_(team.all_reduce(weight.grad.contiguous()))
    return float(team.all_reduce(torch.tensor(loss, dtype=torch.float64, device="cpu")))


@contextmanager
def synchronise_norms(network: nn.Module, team: Team) -> Iterator[None]:
    """A block in which batch norms in training mode take statistics over all processes.

    torch's SyncBatchNorm, which computes the same, runs on CUDA alone."""
    with ExitStack() as stack:
        for norm in network.modules() if team.size > 1 else ():
            if isinstance(norm, _BatchNorm) and norm.training:
                vars(norm)["forward"] = partial(_normalise, norm, team)
                stack.callback(vars(norm).pop, "forward")
        yield


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is that of all their losses."""

    @staticmethod
    def forward(ctx: Any, team: Team, part: Tensor) -> Tensor:
        ctx.team = team
        return team.all_reduce(part.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.team.all_reduce(gradients[0].clone(memory_format=torch.contiguous_format))


def _normalise(norm: _BatchNorm, team: Team, x: Tensor) -> Tensor:
    """[N, C, ...] of this process, normalised by the moments over all; differentiable by all.

    They are sums of values and of squared deviations: differences of large sums lose digits. In
    evaluation mode, to which a defence may switch, the layer normalises as it does by itself."""
    if not norm.training:
        return type(norm).forward(norm, x)
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    count = wide.new_tensor([wide.numel() / wide.shape[1]])
    totals = _Sum.apply(team, torch.cat([wide.sum(axes), count]))  # type: ignore[no-untyped-call]
    count = totals[-1].detach()
    mean = totals[:-1] / count
    centred = wide - mean.view(shape)
    squares = _Sum.apply(team, centred.square().sum(axes))  # type: ignore[no-untyped-call]
    variance = squares / count
    if norm.track_running_stats:
        _track(norm, mean.detach(), variance.detach() * count / (count - 1))
    y = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    normalised: Tensor = y.to(x.dtype)
    return normalised


@torch.no_grad()
def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    for running, moment in ((norm.running_mean, mean), (norm.running_var, variance)):
        assert running is not None
        running.mul_(1 - share).add_(moment.to(running.dtype), alpha=share)
