"""Batch norm over the samples of all processes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from art_snn.checks import require
from art_snn.team import Team


def check_norms(network: nn.Module) -> None:
    """Whether all batch norms are torch's own, whose statistics can be taken over processes.

    :raises ValueError: naming one that is not."""
    for name, norm in network.named_modules():
        same = not isinstance(norm, _BatchNorm) or type(norm).forward is _BatchNorm.forward
        got, remedy = f"{name}, a {type(norm).__name__}", "Train it in one process."
        require(same, "network", "batch norms of torch for several processes", got, remedy)


@contextmanager
def synchronised(network: nn.Module, team: Team) -> Iterator[None]:
    """Within the block, batch norms in training mode take statistics over all processes.

    torch's SyncBatchNorm, which computes the same, runs on CUDA alone."""
    with ExitStack() as stack:
        for norm in network.modules() if team.size > 1 else ():
            if isinstance(norm, _BatchNorm) and norm.training:
                vars(norm)["forward"] = partial(_normalised, norm, team)
                stack.callback(vars(norm).pop, "forward")
        yield


class _Summed(torch.autograd.Function):
    """The sum over all processes; its gradient is that of all their losses."""

    @staticmethod
    def forward(ctx: Any, team: Team, part: Tensor) -> Tensor:
        ctx.team = team
        return team.summed(part.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.team.summed(gradients[0].clone(memory_format=torch.contiguous_format))


def _normalised(norm: _BatchNorm, team: Team, x: Tensor) -> Tensor:
    """[N, C, ...] of this process, normalised by the moments over all; differentiable by all.

    Two sums over the processes, of values and of squared deviations, since the difference of large
    sums would lose digits."""
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    count = wide.new_tensor([wide.numel() / wide.shape[1]])
    totals = _Summed.apply(team, torch.cat([wide.sum(axes), count]))  # type: ignore[no-untyped-call]
    count = totals[-1].detach()
    mean = totals[:-1] / count
    centred = wide - mean.view(shape)
    squares = _Summed.apply(team, centred.square().sum(axes))  # type: ignore[no-untyped-call]
    variance = squares / count
    _track(norm, mean.detach(), variance.detach() * count / (count - 1))
    y = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    found: Tensor = y.to(x.dtype)
    return found


@torch.no_grad()
def _track(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    if not norm.track_running_stats:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    for running, seen in ((norm.running_mean, mean), (norm.running_var, variance)):
        assert running is not None
        running.mul_(1 - share).add_(seen.to(running.dtype), alpha=share)
