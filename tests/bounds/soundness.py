"""Tries to break certificates of random networks; `python -m tests.bounds.soundness` for long.

Every point within the budget must keep every logit as far behind that of the true class as the
bound says, which asks for more than that no certified sample changes its class."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.attacks import SpikingAutoAttack
from tests.bounds.drawn import Drawn, drawn, points

RULES = ("stbp", "rga", "static")
METHODS = ("counts", "s-ibp")


@dataclass
class Tally:
    """What has been tried: networks, points of samples, certified samples, and of how many."""

    networks: int = 0
    points: int = 0
    certified: int = 0
    samples: int = 0

    def __str__(self) -> str:
        return (
            f"{self.networks} networks, {self.points} points, "
            f"{self.certified} of {self.samples} certified"
        )


def attacked(case: Drawn, rule: str, steps: int = 4) -> Iterator[Tensor]:
    """The iterates of PGD by a rule, in the maximum norm or the Euclidean one."""
    start, y = case.x, case.y
    moved = start.clone()
    for _ in range(steps):
        leaf = moved.clone().requires_grad_()
        with case.network.using(rule):
            loss = nn.functional.cross_entropy(case.network(leaf), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        if case.norm == np.inf:
            moved = case.inside(moved + case.eps / 2 * gradient.sign())
        else:
            moved = _in_ball(case, moved + case.eps * _unit(gradient))
        yield moved


@torch.no_grad()
def greedy(case: Drawn) -> Iterator[Tensor]:
    """Samples after one flip, two, and so on, each that of all which lowers the margin most."""
    y, moved = case.y, case.x.clone()
    for _ in range(int(case.eps)):
        for n, x in enumerate(moved):
            flips = torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
            z = case.network((x - flips).abs())
            others = z.scatter(1, y[n].expand(len(z), 1), -torch.inf).amax(1)
            moved[n] = (x - flips[(z[:, y[n]] - others).argmin()]).abs()
        yield moved.clone()


def _unit(x: Tensor) -> Tensor:
    lengths = x.flatten(1).norm(dim=1).clamp_min(1e-12)
    return x / lengths.view(-1, *(1,) * (x.ndim - 1))


def _in_ball(case: Drawn, moved: Tensor) -> Tensor:
    change = (moved - case.x).flatten(1)
    shrunk = change * (case.eps / change.norm(dim=1, keepdim=True).clamp_min(case.eps))
    return (case.x + shrunk.view_as(moved)).clamp(0, 1)


def check(case: Drawn, tally: Tally, count: int = 12, rules: tuple[str, ...] = RULES) -> None:
    """Raise AssertionError at a point that a bound forbids."""
    y = case.y
    bounds = {method: case.bounds(method, y) for method in METHODS}
    certified = bounds["counts"].scatter(1, y[:, None], 1.0).amin(1) > 0
    tally.networks += 1
    tally.samples += len(y)
    tally.certified += int(certified.sum())
    attacks = [attacked(case, rule) for rule in rules] if case.norm else [greedy(case)]
    candidates = [points(case, count, seed=1), *attacks]
    for moved in (point for several in candidates for point in several):
        with torch.no_grad():
            z = case.network(moved)
        tally.points += len(z)
        ahead = z.gather(1, y[:, None]) - z
        for method, bound in bounds.items():
            worst = (ahead - bound).amin().item()
            assert worst >= 0, f"{method} is wrong by {-worst}: {case.words}"
        assert (z.argmax(1) == y)[certified].all(), case.words


def check_strong(case: Drawn, tally: Tally) -> None:
    """The same against SpikingAutoAttack."""
    y, classifier = case.y, case.classifier()
    certified = case.certified()
    attack = SpikingAutoAttack(classifier, norm=case.norm, eps=case.eps, plan="fast", verbose=False)
    adversarial = attack.generate(case.x.numpy(), y.numpy())
    kept = classifier.predict(adversarial).argmax(1) == y.numpy()
    tally.points += len(y)
    assert kept[certified.numpy()].all(), case.words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network")
    given = parser.parse_args()
    tallies = {norm: Tally() for norm in (np.inf, 2, 0)}
    began, seed = time.monotonic(), given.first
    while time.monotonic() - began < given.seconds:
        for norm, tally in tallies.items():
            check(drawn(seed, norm), tally, count=20)
        seed += 1
    for norm, tally in tallies.items():
        print(f"norm {norm}: {tally}")  # noqa: T201


if __name__ == "__main__":
    main()
