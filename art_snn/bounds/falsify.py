"""Search for a counterexample around one sample, at points that bounds point to."""

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.bounds.propagate import Domains, Ends

_KEPT = 16
_MUTANTS = 32
_STARTS, _STEPS = 8, 10


class Falsifier:
    """Tries points around a sample, and keeps the best of them.

    :param x: [1, ...].
    :param y: its class.
    :param low, high: of the points, of the dtype of the network.
    :param seed: of all draws."""

    def __init__(
        self, classifier: PyTorchClassifier, x: Tensor, y: int, ends: Ends, seed: int
    ) -> None:
        self.classifier, self.network, self.y = classifier, classifier.model, y
        self.low, self.high = ends
        self.draws = torch.Generator().manual_seed(seed)
        self.points, self.margins = x, self._measure(x)

    @property
    def best(self) -> np.ndarray:
        """The point of the smallest margin [1, ...]."""
        return self.points[:1].cpu().numpy()

    @torch.no_grad()
    def _measure(self, points: Tensor) -> Tensor:
        """The logit of the class less the largest other one [M], above 0 where it is predicted."""
        z = self.network(points).double().cpu()
        others = z.index_fill(1, torch.tensor(self.y), -torch.inf).amax(1)
        margins: Tensor = z[:, self.y] - others
        return margins.where(z.argmax(1) != self.y, margins.clamp_min(1e-30))

    def try_points(self, points: Tensor) -> bool:
        """True where the classifier is wrong at one of the points [M, ...], moved into the box."""
        points = points.to(self.low).clamp(self.low, self.high)
        self.points = torch.cat([self.points, points])
        self.margins = torch.cat([self.margins, self._measure(points)])
        best = self.margins.argsort(stable=True)[:_KEPT]
        self.points, self.margins = self.points[best], self.margins[best]
        while self.margins[0] <= 0:
            if self.classifier.predict(self.best).argmax() != self.y:
                return True
            # Alone the sample is computed in another order.
            self.points, self.margins = self.points[1:], self.margins[1:]
        return False

    def _draw(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.draws).to(self.low)

    def start(self) -> bool:
        """Try steps along the network's own gradient, from random points."""
        shape = self.low.shape[1:]
        points = self.low + self._draw(_STARTS, *shape) * (self.high - self.low)
        for step in range(_STEPS):
            leaf = points.detach().clone().requires_grad_()
            with torch.enable_grad():
                z = self.network(leaf)
                others = torch.arange(z.shape[1]) != self.y
                loss = (z[:, self.y] - z[:, others].amax(1)).sum()
                (grad,) = torch.autograd.grad(loss, leaf)
            size = (self.high - self.low) * (0.4 if step < _STEPS // 2 else 0.1)
            points = (leaf.detach() - size * grad.sign()).clamp(self.low, self.high)
            if self.try_points(points):
                return True
        return False

    def visit(self, nodes: Domains, slopes: Tensor) -> bool:
        """Try the boxes of nodes: centres, corners against slopes [B, m], random points of both.

        And mutants of the best points."""
        low, high = nodes.low, nodes.high
        corners, middle = torch.where(slopes > 0, low, high), (low + high) / 2
        random = low + self._draw(*low.shape).double() * (high - low)
        mixed = torch.where(self._draw(*low.shape).cpu() < 0.3, random, corners)
        points = torch.cat([corners, middle, mixed, random]).view(-1, *self.low.shape[1:])
        return self.try_points(torch.cat([points.to(self.low), self._mutate()]))

    def _mutate(self) -> Tensor:
        chosen = torch.randint(len(self.points), (_MUTANTS,), generator=self.draws)
        parents = self.points[chosen.to(self.points.device)]
        shape = parents.shape[1:]
        often = 0.3 * self._draw(_MUTANTS, *(1,) * len(shape)) ** 2
        ends = torch.where(self._draw(_MUTANTS, *shape) < 0.5, self.low, self.high)
        inside = self.low + self._draw(_MUTANTS, *shape) * (self.high - self.low)
        new = torch.where(self._draw(_MUTANTS, *(1,) * len(shape)) < 0.7, ends, inside)
        return torch.where(self._draw(_MUTANTS, *shape) < often, new, parents)
