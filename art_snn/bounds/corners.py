"""Corners of boxes, which go through the network as it is called.

Boxes see no state that a network keeps, no number that it draws, and no other sample of a batch. So
corners of some samples go through it in a batch, and one of them alone, twice. Every current and
every logit must lie in its interval, be the same again, and alone what it is in the batch."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from art_snn.bounds.box import Box, Unbounded
from art_snn.bounds.rounding import widening
from art_snn.gradients.base import Site
from art_snn.network import THROUGH, SpikingNetwork
from art_snn.passes import within

_INSIDE, _OTHER = [0, 1, 3], 2
"""Corners, all low, all high and random, and a point elsewhere that others may depend on."""
_TERMS = 64
"""Sums of so many terms may differ by rounding in batches of two sizes."""


def take_rows(values: Any, samples: int) -> Box:
    """The samples [T, 4, ...] of the corners, none where the samples are on another axis."""
    rows = [i * (samples - 1) // 3 for i in range(4)] if values.shape[1] == samples else []
    box: Box = values.rows(rows)
    return box


@torch.no_grad()
def check_corners(network: SpikingNetwork, box: Box, followed: list[tuple[str, Box]]) -> None:
    """Refuse currents and logits at corners of a box [N, ...] that its bounds do not allow.

    :param followed: names and bounds [T, 4, ...] of all currents, and of the logits."""
    some = take_rows(box.rearrange(lambda part: part[None]), len(box))
    centre, radius = some.centre[0], some.enclosure.radius[0]
    generator = torch.Generator("cpu").manual_seed(len(box))
    sides = torch.randint(0, 2, centre.shape, generator=generator, device="cpu") * 2 - 1
    sides[0], sides[1] = -1, 1
    length = 1 if box.enclosure.budget is None else centre[0].numel() ** 0.5
    points = centre + radius * sides.to(centre.device) / length
    points[_OTHER] = points.amin() + points.amax() - points[_OTHER]
    plain = network(points)[None, _INSIDE]
    batch, alone = _follow(network, points), _follow(network, points[-1:])
    with _NoDraws():  # type: ignore[no-untyped-call]
        again = _follow(network, points[-1:])
    alike = True
    for (name, bounds), *calls in zip(followed, batch, alone, again, strict=False):
        (_, many, fired), (_, one, fired_alone), (_, same, _) = calls
        if any(call[0] != name for call in calls) or not torch.equal(one, same):
            raise Unbounded(f"{name} of one sample that change from pass to pass")
        if not bounds.numel():
            continue
        if bounds.enclosure.averaged:
            steps = torch.arange(1, len(one) + 1, device=one.device)
            steps = steps.view(-1, *(1,) * (one.ndim - 1))
            many, one = (part.double().cumsum(0) / steps for part in (many, one))
        near = 2 * bounds.enclosure.slack.amax() + widening(_TERMS, bounds) * one.abs().amax()
        if alike and ((one - many[:, -1:]).abs() > near).any():
            raise Unbounded(f"{name} of one sample that depend on others in its batch")
        alike = alike and torch.equal(fired[:, -1:], fired_alone)
        several = [(_INSIDE, many[:, _INSIDE]), ([-1], one)]
        several += [(_INSIDE, plain)] if name == "logits" else []
        low, high = bounds.ends
        if not all(((low[:, i] <= x) & (x <= high[:, i])).all() for i, x in several):
            raise Unbounded(f"{name} outside of their bounds at a corner")


def _follow(network: SpikingNetwork, x: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """Names, currents [T, N, ...] and spikes of all neurons for samples x; logits at the end."""
    calls = []

    def fire(site: Site, current: Tensor) -> Tensor:
        spikes = site.dynamics.simulate(current)
        calls.append((f"currents of {site.name}", current, spikes.bool()))
        return spikes

    with within(THROUGH, lambda network, x: network.run(network.encode(x), fire)):
        logits = network(x)[None]
    return [*calls, ("logits", logits, logits)]


class _NoDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block, and in the present thread, torch draws no random numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unbounded(f"{func.overloadpacket.__name__}, which draws at random")
        return func(*args, **(kwargs or {}))
