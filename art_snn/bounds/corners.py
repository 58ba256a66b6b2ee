"""Corners of boxes, which go through the network as it is called.

Boxes see no state that a network keeps, no number that it draws, and no other sample of a batch. So
corners of some samples go through it in a batch, and one of them alone, twice. Every current and
every logit must lie in its interval, be the same again, and alone what it is in the batch."""

from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from art_snn.bounds.box import Box, Unbounded
from art_snn.bounds.rounding import widening
from art_snn.gradients.base import Site
from art_snn.network import THROUGH, SpikingNetwork
from art_snn.passes import within

_POINTS = 4
_OTHER = 2
"""The one that lies elsewhere, so that others of its batch depend on it if they can."""
_TERMS = 64
"""Sums of so many terms may differ by rounding, where batches of another size are added up."""
LOGITS = "logits"
_Call = tuple[str, Tensor, Tensor]
"""What is meant, in words, its values [T, N, ...], and the spikes that a neuron made of them."""


class Corners:
    """Corners of a box of samples [N, ...], and what the network computes there."""

    def __init__(self, network: SpikingNetwork, box: Box) -> None:
        enclosure, self.samples = box.enclosure, len(box)
        rows = torch.linspace(0, len(box) - 1, _POINTS, device=box.device).long()
        generator = torch.Generator("cpu").manual_seed(len(box))
        shape = (_POINTS, *box.shape[1:])
        sides = torch.randint(0, 2, shape, generator=generator, device="cpu") * 2 - 1
        sides[0], sides[1] = -1, 1
        change = enclosure.radius[rows] * sides.to(enclosure.radius)
        if enclosure.budget is not None:
            length = change.flatten(1).norm(dim=1).view(-1, *(1,) * (box.ndim - 1))
            change = change * (enclosure.budget.eps / length).clamp_max(1)
        points = box.centre[rows] + change
        points[_OTHER] = points.amin() + points.amax() - points[_OTHER]
        with torch.no_grad():
            together, logits = _follow(network, points), network(points)[None]
            alone = _follow(network, points[-1:])
            with _NoDraws():
                again = _follow(network, points[-1:])
        self.inside = [i for i in range(_POINTS) if i != _OTHER]
        self.rows = rows[[*self.inside, -1]]
        self.calls: list[Any] = list(zip_longest(together, alone, again))
        self.calls.append([(LOGITS, logits, logits), *self.calls[-1][1:]])

    def begin(self) -> None:
        """Start with the first neuron, for another pass of boxes."""
        self.remaining, self.alike = iter(self.calls), True

    @torch.no_grad()
    def check(self, name: str, box: Box) -> None:
        """Refuse the next neuron, or the logits, where values of corners are not those of a box.

        :param name: of the values, in words.
        :param box: of them, [T, N, ...]."""
        calls = next(self.remaining, ())
        if not calls or any(call is None or call[0] != name for call in calls):
            raise Unbounded(f"other calls of {name} in another pass")
        (_, together, fired), (_, alone, fired_alone), (_, again, _) = calls
        if not torch.equal(alone, again):
            raise Unbounded(f"{name} of one sample that change from pass to pass")
        if box.shape[1] != self.samples:
            return  # The samples are on another axis.
        if box.enclosure.averaged:
            together, alone = (_average(values) for values in (together, alone))
        near = 2 * box.enclosure.slack.amax() + widening(_TERMS, box) * alone.abs().amax()
        if self.alike and ((alone - together[:, -1:]).abs() > near).any():
            raise Unbounded(f"{name} of one sample that depend on others in its batch")
        self.alike = self.alike and torch.equal(fired_alone, fired[:, -1:])
        low, high = box.rows(self.rows).ends
        values = torch.cat([together[:, self.inside], alone], 1)
        if not ((low <= values) & (values <= high)).all():
            raise Unbounded(f"{name} outside of their bounds at a corner")


def _average(values: Tensor) -> Tensor:
    """Means over the steps up to each one, of values [T, N, ...], in double precision."""
    steps = torch.arange(1, len(values) + 1, device=values.device)
    return values.double().cumsum(0) / steps.view(-1, *(1,) * (values.ndim - 1))


def _follow(network: SpikingNetwork, x: Tensor) -> list[_Call]:
    """What every neuron gets and gives in a pass of samples x [N, ...]."""
    calls: list[_Call] = []

    def fire(site: Site, current: Tensor) -> Tensor:
        spikes = site.dynamics.simulate(current)
        calls.append((f"currents of {site.name}", current, spikes.bool()))
        return spikes

    with within(THROUGH, lambda network, x: network.run(network.encode(x), fire)):
        logits = network(x)
    return [*calls, (LOGITS, logits[None], logits[None])]


class _NoDraws(TorchDispatchMode):
    """Within the block, and in the present thread, torch draws no random numbers."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unbounded(f"{func.overloadpacket.__name__}, which draws at random")
        return func(*args, **(kwargs or {}))
