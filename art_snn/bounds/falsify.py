"""Points around a sample that may break it, found by descents along slopes of bounds."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import torch
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from torch import Tensor
from torch.nn.functional import one_hot

from art_snn.bounds.box import Ends
from art_snn.bounds.propagate import Domains, Layer, Passed, find_ends, pass_forward

_KEPT = 16
"""Best points that are remembered."""
_LASTS = 8
"""Visits until all points but the sample are forgotten."""
_MUTANTS = 64
"""Mutants of the best points that are tried with each descent."""
_RADII = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
"""Radii of the boxes around points, as shares of the width of the node."""


def weigh(
    layers: Sequence[Layer], nodes: Domains, passed: Passed
) -> tuple[list[Tensor], Tensor]:
    """Estimate what matters for the margin of B nodes, from the last layer to the pixels.

    A sum of currents matters by its width, which is shared among its inputs by how much
    each of them can change the sum. The margin counts as one width. The sum of a neuron
    also counts by the part of its width that no train left allows, squared: there its
    inputs may rule out each other.

    :return: the shares of neurons of every layer [B, n], and the slopes of the margin by
        pixels [B, m]."""
    # Of the margins that of the class that is looked for counts alone.
    ahead = one_hot(nodes.classes, nodes.sets[-1].shape[1]).to(nodes.low)

    slope = ahead
    share = ahead
    after = ahead
    shares = list[Tensor]()
    for i in reversed(range(len(layers))):
        weight = layers[i].weight
        size = weight.abs()
        table = layers[i].table
        (least, most), (low, high) = passed[i]
        if shares:
            # The trains left need sums from need_low to need_high, of those from low
            # to high.
            need_low, need_high = find_ends(nodes.sets[i], table.low, table.high)
            beyond = torch.maximum(need_low - low, high - need_high) / (high - low)
            share = share + beyond.clamp(0, 1).amax(0).square()

        # An input j of width r_j changes a sum by |W_j| r_j at most, of its width |W| r.
        spread = (most - least).sum(0)
        width = (spread @ size.T).clamp_min(1e-30)
        if shares:
            # The slope of a neuron: the width of what it gives by that of what it gets.
            slope = slope * after / width
        slope = slope @ weight
        share = spread * ((share / width) @ size)
        shares.append(share)
        after = spread

    # The last entry is that of pixels.
    return shares[:-1][::-1], slope


class Falsifier:
    """Tries points around a sample, and keeps the best `points`, with their `margins`.

    :param x: the sample [1, ...].
    :param y: its class.
    :param ends: the least and the largest points, in the dtype of the network.
    :param seed: of all draws."""

    points: Tensor
    margins: Tensor

    def __init__(
        self, classifier: PyTorchClassifier, x: Tensor, y: int, ends: Ends, seed: int
    ) -> None:
        self.classifier = classifier
        self.y = y
        self.low, self.high = [end.to(x.device) for end in ends]
        self.generator = torch.Generator().manual_seed(seed)

        self.visits = 0
        self.sample = x.clamp(self.low, self.high)

    @property
    def best(self) -> ndarray:
        """The point of the smallest margin [1, ...]."""
        return self.points[:1].cpu().numpy()

    def _measure(self, points: Tensor) -> Tensor:
        """Compute z_y - max z_k [M] of points, above 0 where class y is predicted."""
        z = self.classifier.model(points).double().cpu()
        others = z.index_fill(1, torch.tensor(self.y, device="cpu"), -inf)
        margins: Tensor = z[:, self.y] - others.amax(1)
        # Of equal logits the first one is predicted.
        return margins.where(z.argmax(1) != self.y, margins.clamp_min(1e-30))

    def try_points(self, points: Tensor) -> Tensor:
        """Try points [M, ...] after they are moved into the box, and keep the best.

        :return: their margins [M]."""
        points = points.clamp(self.low, self.high)
        margins = self._measure(points)
        several = torch.cat([margins, self.margins])
        best = several.argsort(stable=True)[:_KEPT]
        self.points = torch.cat([points, self.points])[best]
        self.margins = several[best]

        # Alone a sample may be computed in another order, and be right.
        while (
            self.margins[0] <= 0 and self.classifier.predict(self.best).argmax() == self.y
        ):
            self.points = self.points[1:]
            self.margins = self.margins[1:]
        return margins

    def _draw(self, *shape: int) -> Tensor:
        """Draw numbers from 0 to 1."""
        return torch.rand(shape, generator=self.generator, device="cpu").to(self.low)

    @torch.no_grad()
    def visit(self, layers: Sequence[Layer], nodes: Domains) -> bool:
        """Descend from random points of nodes, along slopes in smaller and smaller boxes.

        A gradient of a step function does not tell by how much the margin changes in
        a box around a point. Bounds in that box do.

        :return: True if the classifier is wrong at one of the points."""
        if self.visits % _LASTS == 0:
            self.points = self.sample
            self.margins = self._measure(self.sample)
        self.visits += 1

        # Every other point is a corner.
        nodes = Domains.join([nodes, nodes])
        span = nodes.high - nodes.low
        points = nodes.low + span * self._draw(*span.shape).to(span)
        is_low = self._draw(*span.shape).cpu() < 0.5
        points[::2] = torch.where(is_low, nodes.low, nodes.high)[::2]

        for radius in _RADII:
            tried = self._descend(layers, nodes, points, radius * span)
            shaped = tried.view(-1, *self.low.shape[1:]).to(self.low)
            margins = self.try_points(torch.cat([shaped, self._mutate()]))
            if self.margins[0] <= 0:
                return True

            # Each point goes on from the best of its three.
            best = margins[: len(shaped)].view(3, -1).argmin(0)
            points = tried[best, nodes.rows]
        return False

    def _descend(
        self, layers: Sequence[Layer], nodes: Domains, points: Tensor, reach: Tensor
    ) -> Tensor:
        """Find three points [3, B, m] for each of some points [B, m], in a box around it.

        They move pixels to the ends where the slopes say that the margin is smallest: all
        pixels, the pixels of the steepest slopes, and random ones.

        :param reach: how far the boxes go to either side [B, m]."""
        low = torch.maximum(nodes.low, points - reach)
        high = torch.minimum(nodes.high, points + reach)
        boxes = replace(nodes, low=low, high=high)[:]
        _, slopes = weigh(layers, boxes, pass_forward(layers, boxes))

        # The margin falls toward the low end where its slope is above 0.
        ends = torch.where(slopes > 0, low, high)
        steepness = slopes.abs()
        share = float(self._draw(1)) * 0.8
        is_steep = steepness >= steepness.quantile(share, 1, keepdim=True)
        is_chosen = self._draw(*points.shape).cpu() < 0.5
        steep = ends.where(is_steep, points)
        return torch.stack([ends, steep, ends.where(is_chosen, points)])

    def _mutate(self) -> Tensor:
        """Make points that take some pixels from another point, and some from anywhere."""
        number = len(self.points)
        pairs = torch.randint(
            number, (2, _MUTANTS), generator=self.generator, device="cpu"
        )
        parents, others = self.points[pairs.to(self.points.device)]
        shape = parents.shape

        # Each mutant has its own shares of pixels that cross over, and that change.
        crossing, changing, outer = self._draw(3, _MUTANTS, *(1,) * (len(shape) - 1))
        crossing = crossing.where(crossing < 0.5, 0.0)

        parents = torch.where(self._draw(*shape) < crossing, others, parents)

        # Most mutants change pixels to an end, the others to any value.
        ends = torch.where(self._draw(*shape) < 0.5, self.low, self.high)
        inside = self.low + self._draw(*shape) * (self.high - self.low)
        new = torch.where(outer < 0.7, ends, inside)

        return torch.where(self._draw(*shape) < 0.3 * changing**2, new, parents)
