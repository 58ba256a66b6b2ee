"""Corners of boxes, which go through the network as it is called.

Boxes see no state that a network keeps, no number that it draws, and no other sample of a batch. So
corners of some samples go through it in a batch, and one of them alone, twice. Every current and
logit must lie in its interval, be the same again, and alone what it is in the batch."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from art_snn.bounds.box import Box, Unbounded
from art_snn.bounds.rounding import widening
from art_snn.gradients.base import Site
from art_snn.gradients.shared import repeats_one_step
from art_snn.network import THROUGH, SpikingNetwork
from art_snn.neurons import PASS
from art_snn.passes import within

_TERMS = 64
"""Sums of so many terms may differ by rounding in batches of two sizes."""


def _choose_rows(samples: int) -> slice:
    """Three of the samples, or the first of fewer."""
    return slice(0, samples // 3 * 3, samples // 3) if samples > 2 else slice(1)


@torch.no_grad()
def take_rows(values: Any, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centres and radii [T, 3, ...] of three samples, with rounding, and the most of it.

    One step of those that are equal; empty where the samples are on another axis."""
    with torch._C.DisableTorchFunction():
        rows = _choose_rows(samples) if values.shape[1] == samples else slice(0)
        index, whole = (slice(1 if repeats_one_step(values.centre) else None), rows), values.shape
        parts = values.centre, values.enclosure.radius, values.enclosure.slack
        centre, radius, slack = (part[index] if part.shape == whole else part for part in parts)
        return centre.clone(), radius + slack, slack.amax() if slack.numel() else slack


@torch.no_grad()
def check_corners(
    network: SpikingNetwork, box: Box, followed: list[tuple[Any, ...]], averaged: bool = False
) -> None:
    """Refuse currents and logits at corners of a box [N, ...] that its bounds do not allow.

    :param followed: names of all currents and of the logits, with what :func:`take_rows` gives.
    :param averaged: whether those are of means over the steps up to each one."""
    rows, generator = _choose_rows(len(box)), torch.Generator("cpu").manual_seed(len(box))
    centre, radius = box.centre[rows], box.enclosure.radius[rows]
    sides = torch.randint(0, 2, (3, *centre.shape[1:]), generator=generator, device="cpu") * 2 - 1
    sides[0], sides[1] = -1, 1
    length = 1 if box.enclosure.budget is None else centre[0].numel() ** 0.5
    corners = centre + radius * sides.to(centre.device) / length
    # Of the last, at random, neurons also fire at random: after a point elsewhere, and alone.
    alone, state, spikes = corners[2:], torch.get_rng_state(), dict[int, Tensor]()
    batch = torch.cat([corners, corners.amin() + corners.amax() - alone, alone])
    passes = [_follow(network, x, spikes) for x in (batch, alone, alone)]
    if batch.is_cuda or not torch.equal(state, torch.get_rng_state()):
        with _NoDraws():  # type: ignore[no-untyped-call]
            _follow(network, batch, spikes)
    for (name, middle, reach, slack), *calls in zip(followed, *passes, strict=False):
        real, one, same = (current for _, current in calls)
        if any(call[0] != name for call in calls) or not torch.equal(one, same):
            raise Unbounded(f"{name} of one sample that change from pass to pass")
        if not middle.numel():
            continue
        near = 2 * slack + widening(_TERMS, middle) * one.abs().amax()
        if ((one - real[:, 4:]).abs() > near).any():
            raise Unbounded(f"{name} of one sample that depend on others in its batch")
        real = real[:, :3]
        if averaged:
            steps = torch.arange(1, len(real) + 1, device=real.device)
            real = real.double().cumsum(0) / steps.view(-1, *(1,) * (real.ndim - 1))
        if not ((real - middle).abs_() <= reach).all():
            raise Unbounded(f"{name} outside of their bounds at a corner")


def _follow(
    network: SpikingNetwork, x: Tensor, spikes: dict[int, Tensor]
) -> list[tuple[str, Tensor]]:
    """Names and currents [T, N, ...] of all neurons for samples x, and the logits at the end.

    :param spikes: of the last two samples, or the only one, by the number of the call, the same at
        every step, so that no layer is silent; where they are missing, they are drawn."""
    calls, generator = list[tuple[str, Tensor]](), torch.Generator("cpu").manual_seed(0)

    def fire(site: Site, current: Tensor) -> Tensor:
        calls.append((f"currents of {site.name}", current))
        if current.shape[1] != len(x):
            return site.dynamics.simulate(current)
        if len(calls) not in spikes:
            drawn = torch.randint(0, 2, (2, *current.shape[2:]), generator=generator, device="cpu")
            spikes[len(calls)] = drawn.to(current)
        last = spikes[len(calls)][-len(x) :]
        last = last.expand(len(current), *last.shape)
        if len(x) > 2:
            return torch.cat([site.dynamics.simulate(current[:, :-2]), last], 1)
        return last.contiguous() if PASS.get() is None else last

    with within(THROUGH, lambda network, x: network.run(network.encode(x), fire)):
        logits = network(x)[None]
    return [*calls, ("logits", logits)]


class _NoDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block, and in the present thread, torch draws no random numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unbounded(f"{func.overloadpacket.__name__}, which draws at random")
        return func(*args, **(kwargs or {}))
