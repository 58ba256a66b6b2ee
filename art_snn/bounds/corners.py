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
from art_snn.network import THROUGH, SpikingNetwork
from art_snn.passes import within

_INSIDE, _AWAY, _ALONE = [0, 1, 3], 2, [3]
"""Corners, all low, all high and random; a point elsewhere; the one that also goes alone."""
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
    points[_AWAY] = points.amin() + points.amax() - points[_AWAY]
    state = torch.get_rng_state()
    corners, batch = _follow(network, points), _follow(network, points, [0, 1, 2, 3])
    alone, again = (_follow(network, points[_ALONE], _ALONE) for _ in range(2))
    if points.is_cuda or not torch.equal(state, torch.get_rng_state()):
        with _NoDraws():  # type: ignore[no-untyped-call]
            _follow(network, points)
    for (name, bounds), *calls in zip(followed, corners, batch, alone, again, strict=False):
        (_, real), (_, many), (_, one), (_, same) = calls
        if any(call[0] != name for call in calls) or not torch.equal(one, same):
            raise Unbounded(f"{name} of one sample that change from pass to pass")
        if not bounds.numel():
            continue
        near = 2 * bounds.enclosure.slack.amax() + widening(_TERMS, bounds) * one.abs().amax()
        if ((one - many[:, _ALONE]).abs() > near).any():
            raise Unbounded(f"{name} of one sample that depend on others in its batch")
        if bounds.enclosure.averaged:
            steps = torch.arange(1, len(real) + 1, device=real.device)
            real = real.double().cumsum(0) / steps.view(-1, *(1,) * (real.ndim - 1))
        real, low, high = (part[:, _INSIDE] for part in (real, *bounds.ends))
        if not ((low <= real) & (real <= high)).all():
            raise Unbounded(f"{name} outside of their bounds at a corner")


def _follow(
    network: SpikingNetwork, x: Tensor, rows: list[int] | None = None
) -> list[tuple[str, Tensor]]:
    """Names and currents [T, N, ...] of all neurons for samples x, and the logits at the end.

    :param rows: numbers of samples whose neurons fire at random, each in the same way again: so no
        layer is silent. None: neurons fire as they do."""
    calls, generator = list[tuple[str, Tensor]](), torch.Generator("cpu").manual_seed(0)

    def fire(site: Site, current: Tensor) -> Tensor:
        calls.append((f"currents of {site.name}", current))
        if rows is None or current.shape[1] != len(rows):
            return site.dynamics.simulate(current)
        spikes = torch.randint(0, 2, (4, *current.shape[2:]), generator=generator, device="cpu")
        return spikes[rows].to(current).repeat(len(current), *(1,) * spikes.ndim)

    with within(THROUGH, lambda network, x: network.run(network.encode(x), fire)):
        logits = network(x)[None]
    return [*calls, ("logits", logits)]


class _NoDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block, and in the present thread, torch draws no random numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unbounded(f"{func.overloadpacket.__name__}, which draws at random")
        return func(*args, **(kwargs or {}))
