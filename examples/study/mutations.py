"""Do mutations, which the exact search tries, break samples that the plan standard leaves?

python examples/study/mutations.py

They begin at the best of 30 gradient steps, as random squares of the same number do. Neither asks
for samples that are certified.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from art_snn import SpikingNetwork, zoo
from art_snn.bounds import certify_bounds

NETWORKS: Sequence[tuple[str, float, int]] = (
    ("digits-ibp", 0.1, 600),
    ("digits-at", 0.05, 600),
    ("digits-plain", 0.05, 600),
    ("eurosat-vgg5-at", 2 / 255, 160),
    ("eurosat-certified", 4 / 255, 160),
)
"""Networks, budgets, and queries of each sample."""
KEPT, CHILDREN = 16, 16


@dataclass(frozen=True)
class Left:
    """Samples x [N, ...] that standard leaves, of classes y, and the best points so far."""

    network: SpikingNetwork
    x: Tensor
    y: Tensor
    low: Tensor
    high: Tensor
    best: Tensor
    margin: Tensor
    draws: torch.Generator

    def chance(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.draws)

    def mutate(self, queries: int, crossing: bool) -> Tensor:
        """The least margins [N], after mutations of the best points, or of crossings of two."""
        shape, one = self.x.shape[1:], (1,) * (self.x.ndim - 1)
        points, margins = self.best[:, None], self.margin[:, None]
        count, rows = len(self.x), torch.arange(len(self.x))[:, None]
        low, high = (
            end[:, None].expand(-1, CHILDREN, *shape).contiguous() for end in (self.low, self.high)
        )
        for _ in range(queries // CHILDREN):

            def parents(points: Tensor = points) -> Tensor:
                size = count, CHILDREN
                return points[rows, torch.randint(points.shape[1], size, generator=self.draws)]

            parent = parents()
            if crossing:
                other, some = parents(), self.chance(count, CHILDREN, *one) < 0.5
                parent = other.where(some & (self.chance(count, CHILDREN, *shape) < 0.5), parent)
            often = 0.3 * self.chance(count, CHILDREN, *one) ** 2
            ends = low.where(self.chance(*parent.shape) < 0.5, high)
            inside = low + self.chance(*parent.shape) * (high - low)
            new = ends.where(self.chance(count, CHILDREN, *one) < 0.7, inside)
            child = new.where(self.chance(*parent.shape) < often, parent)
            classes = self.y.repeat_interleave(CHILDREN)
            margin = measure(self.network, child.flatten(0, 1), classes).view(count, -1)
            margins, points = torch.cat([margin, margins], 1), torch.cat([child, points], 1)
            kept = margins.argsort(dim=1, stable=True)[:, :KEPT]
            margins, points = margins.gather(1, kept), points[rows, kept]
        return margins[:, 0]

    def square(self, queries: int, share: float) -> Tensor:
        """The least margins [N], after random squares that begin at a share of the area."""
        points, margins = self.best.clone(), self.margin.clone()
        count, channels, height, width = self.x.shape
        for step in range(queries):
            side = max(1, round((share * (1 - step / queries) * height * width) ** 0.5))
            new = points.clone()
            top, left = (
                torch.randint(size - side + 1, (count,), generator=self.draws)
                for size in (height, width)
            )
            sign = torch.randint(0, 2, (count, channels), generator=self.draws) * 2 - 1
            wide = 2 * (self.high - self.low).flatten(1).amax(1)
            for n in range(count):
                square = new[n, :, top[n] : top[n] + side, left[n] : left[n] + side]
                square += (sign[n] * wide[n])[:, None, None]
            new = new.clamp(self.low, self.high)
            margin = measure(self.network, new, self.y)
            better = margin <= margins
            points[better], margins[better] = new[better], margin[better]
        return margins


@torch.no_grad()
def measure(network: SpikingNetwork, points: Tensor, y: Tensor) -> Tensor:
    """The logit of the class less the largest other one [N]."""
    z = torch.cat([network(part) for part in points.split(256)])
    return z.gather(1, y[:, None])[:, 0] - z.scatter(1, y[:, None], -np.inf).amax(1)


def read(name: str, eps: float, most: int) -> Left:
    """Samples that the record of a network leaves, with where gradients by ASSG come furthest."""
    about, network = zoo.entry(name), zoo.load_network(name)
    record = next(one for one in about.standard if abs(one.eps - eps) < 1e-9)
    samples, labels = zoo.samples(about.data)
    left = np.array([one == "1" for one in record.standing])
    if about.training.startswith("IBP"):
        left &= ~certify_bounds(zoo.classifier(name, "cpu"), samples, labels, eps).certified
    rows = np.flatnonzero(left)
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
    x, y = torch.as_tensor(samples[rows]), torch.as_tensor(np.asarray(labels)[rows]).long()
    low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
    point, best, margin = x.clone(), x.clone(), measure(network, x, y)
    for step in range(30):
        leaf = point.clone().requires_grad_()
        with network.using("assg"):
            z = network(leaf)
            ahead = z.scatter(1, y[:, None], -np.inf).amax(1) - z.gather(1, y[:, None])[:, 0]
        (gradient,) = torch.autograd.grad(ahead.sum(), leaf)
        size = eps / 2 if step < 10 else eps / 6
        point = (point + size * gradient.sign()).clamp(low, high)
        now = measure(network, point, y)
        better = now < margin
        best[better], margin[better] = point[better], now[better]
    draws = torch.Generator().manual_seed(0)
    return Left(network, x, y, low, high, best, margin, draws)


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutations on what the plan standard leaves.")
    parser.add_argument("--samples", type=int, default=32, help="at most, of each network")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, eps, queries in NETWORKS[:1] if options.small else NETWORKS:
        left = read(name, eps, 2 if options.small else options.samples)
        queries = 32 if options.small else queries
        found = {
            "mutations": left.mutate(queries, False),
            "crossings": left.mutate(queries, True),
            "small squares": left.square(queries, 0.02),
            "large squares": left.square(queries, 0.1),
        }
        words = ", ".join(f"{(m <= 0).sum()} by {label}" for label, m in found.items())
        print(f"{name}, eps {eps:.4g}: of {len(left.x)} samples {words}, {queries} queries each")


if __name__ == "__main__":
    main()
