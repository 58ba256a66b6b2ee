"""What several processes that train one network share: batch statistics, and no random numbers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from art_snn.seeding import seeded
from art_snn.team import Team


@contextmanager
def own_draws(team: Team, *place: int) -> Iterator[None]:
    """A block in which each process of a team draws its own random numbers, and only there.

    :param place: whole numbers that no other block of the run has."""
    if team.size == 1:
        yield
        return
    with seeded(int(np.random.SeedSequence((*place, team.rank)).generate_state(1)[0])):
        yield


@contextmanager
def synchronise_norms(network: nn.Module, team: Team) -> Iterator[None]:
    """A block in which batch norms in training mode take statistics over all processes.

    torch's SyncBatchNorm, which computes the same, runs on CUDA alone."""
    with ExitStack() as stack:
        for norm in network.modules() if team.size > 1 else ():
            if isinstance(norm, _BatchNorm) and norm.training:
                vars(norm)["forward"] = partial(_normalise, norm)
                stack.callback(vars(norm).pop, "forward")
        yield


def _normalise(norm: _BatchNorm, x: Tensor) -> Tensor:
    """[N, C, ...] of this process, normalised by the moments over all; differentiable by all.

    They are sums of values and of squared deviations: differences of large sums lose digits. In
    evaluation mode, to which a defence may switch, the layer normalises as it does by itself."""
    if not norm.training:
        return type(norm).forward(norm, x)
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    count = wide.new_tensor([wide.numel() / wide.shape[1]])
    # torch's sum over the processes is differentiable by all of them.
    totals = all_reduce(torch.cat([wide.sum(axes), count]))  # type: ignore[no-untyped-call]
    count = totals[-1].detach()
    mean = totals[:-1] / count
    centred = wide - mean.view(shape)
    squares = all_reduce(centred.square().sum(axes))  # type: ignore[no-untyped-call]
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
