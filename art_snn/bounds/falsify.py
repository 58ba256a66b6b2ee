"""Search for a counterexample around one sample, at points that bounds point to."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.bounds.propagate import Domains, Ends, Layer, find_ends, pass_forward

_KEPT = 16
_MUTANTS = 64
_LASTS = 8
"""Visits until all points but the sample are forgotten."""
_RADII = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
"""Of the boxes around points, in the width of the whole."""


Passed = Sequence[tuple[Ends, Ends]]


def classes_of(nodes: Domains) -> Tensor:
    """The class [B] whose counterexamples are looked for."""
    return nodes.sets[-1][:, :, 1].int().argmax(1)


def weigh(layers: Sequence[Layer], nodes: Domains, passed: Passed) -> tuple[list[Tensor], Tensor]:
    """Shares of widths by neurons of every layer [B, n], slopes of the margin by pixels [B, m].

    The width of a sum is shared among inputs by how much each of them can change it: that of the
    margin, and of sums of neurons in how far no value left allows them, squared."""
    ahead = nodes.low.new_zeros(nodes.sets[-1].shape[:2])
    ahead[torch.arange(len(ahead), device="cpu"), classes_of(nodes)] = 1
    slope, share, shares, last = ahead, ahead, list[Tensor](), ahead
    for i in reversed(range(len(layers))):
        layer, (ends, (low, high)) = layers[i], passed[i]
        if shares:
            need = find_ends(nodes.sets[i], layer.values.low, layer.values.high)
            beyond = torch.maximum(need[0] - low, high - need[1]) / (high - low)
            share = share + beyond.clamp(0, 1).amax(0).square()
        spread, size = (ends[1] - ends[0]).sum(0), layer.weight.abs()
        width = (spread @ size.T).clamp_min(1e-30)
        slope = (slope * last / width if shares else slope) @ layer.weight
        share, last = spread * ((share / width) @ size), spread
        shares.append(share)
    return shares[:-1][::-1], slope


class Falsifier:
    """Tries points around a sample, and keeps the best of them.

    :param x: [1, ...].
    :param y: its class.
    :param ends: the least and the largest points, of the dtype of the network.
    :param seed: of all draws."""

    def __init__(
        self, classifier: PyTorchClassifier, x: Tensor, y: int, ends: Ends, seed: int
    ) -> None:
        self.classifier, self.network, self.y = classifier, classifier.model, y
        self.low, self.high = (end.to(x.device) for end in ends)
        x = x.clamp(self.low, self.high)
        self.draws = torch.Generator().manual_seed(seed)
        self.points, self.margins = self.first = x, self._measure(x)
        self.visits = 0

    @property
    def best(self) -> np.ndarray:
        """The point of the smallest margin [1, ...]."""
        return self.points[:1].cpu().numpy()

    @torch.no_grad()
    def _measure(self, points: Tensor) -> Tensor:
        """The logit of the class less the largest other one [M], above 0 where it is predicted."""
        z = self.network(points).double().cpu()
        others = z.index_fill(1, torch.tensor(self.y, device="cpu"), -torch.inf).amax(1)
        margins: Tensor = z[:, self.y] - others
        return margins.where(z.argmax(1) != self.y, margins.clamp_min(1e-30))

    def try_points(self, points: Tensor) -> Tensor:
        """The margins of points [M, ...] moved into the box; the best are kept."""
        points = points.clamp(self.low, self.high)
        margins = self._measure(points)
        self.points = torch.cat([points, self.points])
        self.margins = torch.cat([margins, self.margins])
        best = self.margins.argsort(stable=True)[:_KEPT]
        self.points, self.margins = self.points[best], self.margins[best]
        # Alone a sample may be computed in another order.
        while self.margins[0] <= 0 and self.classifier.predict(self.best).argmax() == self.y:
            self.points, self.margins = self.points[1:], self.margins[1:]
        return margins

    def _draw(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.draws, device="cpu").to(self.low)

    @torch.no_grad()
    def visit(self, layers: Sequence[Layer], nodes: Domains) -> bool:
        """Descend from random points of nodes, along slopes in smaller and smaller boxes.

        Bounds in a box around a point tell by how much the margin changes there, which a gradient
        of a step function does not. True where the classifier is wrong at one of the points."""
        if self.visits % _LASTS == 0:
            self.points, self.margins = self.first
        self.visits, nodes = self.visits + 1, Domains.join([nodes, nodes])
        span = nodes.high - nodes.low
        points = nodes.low + span * self._draw(*span.shape).to(span)
        corners = torch.where(self._draw(*span.shape).cpu() < 0.5, nodes.low, nodes.high)
        points[::2] = corners[::2]
        for radius in _RADII:
            low = torch.maximum(nodes.low, points - radius * span)
            boxes = replace(nodes, low=low, high=torch.minimum(nodes.high, points + radius * span))
            boxes = boxes[:]
            _, slopes = weigh(layers, boxes, pass_forward(layers, boxes))
            ends = torch.where(slopes > 0, boxes.low, boxes.high)
            size = slopes.abs()
            strong = size >= size.quantile(float(self._draw(1)) * 0.8, 1, keepdim=True)
            some = self._draw(*span.shape).cpu() < 0.5
            tried = torch.cat([ends, ends.where(strong, points), ends.where(some, points)])
            shaped = tried.view(-1, *self.low.shape[1:]).to(self.low)
            margins = self.try_points(torch.cat([shaped, self._mutate()]))
            if self.margins[0] <= 0:
                return True
            best = margins[: len(tried)].view(3, -1).argmin(0)
            points = tried.view(3, *points.shape)[best, torch.arange(len(points), device="cpu")]
        return False

    def _mutate(self) -> Tensor:
        """Points that take some pixels from another one, and some from anywhere."""
        parent = torch.randint(len(self.points), (2, _MUTANTS), generator=self.draws, device="cpu")
        parents, others = self.points[parent.to(self.points.device)]
        shape = parents.shape[1:]
        share, often, outer = self._draw(3, _MUTANTS, *(1,) * len(shape))
        share = share.where(share < 0.5, 0.0)
        parents = torch.where(self._draw(_MUTANTS, *shape) < share, others, parents)
        ends = torch.where(self._draw(_MUTANTS, *shape) < 0.5, self.low, self.high)
        inside = self.low + self._draw(_MUTANTS, *shape) * (self.high - self.low)
        new = torch.where(outer < 0.7, ends, inside)
        return torch.where(self._draw(_MUTANTS, *shape) < 0.3 * often**2, new, parents)
