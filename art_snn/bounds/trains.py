"""What a spike train asks of the currents that cause it.

The sum of currents u[r, t] = sum d^(t-q) x[q], over the steps q from r to t of a window, is linear
in the spikes of the layer before, F[r, t] = sum d^(t-q) s[q] each. A train says on which side of
which limit it lies, for every window."""

from functools import lru_cache
from itertools import product
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from art_snn.bounds.firing import list_pieces
from art_snn.bounds.rounding import round_toward
from art_snn.dynamics import Dynamics

MOST_STEPS = 8
_MOST_PIECES = 256


class Choices(NamedTuple):
    """What neurons of a layer may do, V of them, and what each asks of K sums of currents.

    :param trains: 0 or 1 [V, T].
    :param low, high: a neuron may do it only if its sum is in between, [V, K].
    :param cuts: between currents next to each other [V - 1]; None for trains of any current."""

    trains: Tensor
    low: Tensor
    high: Tensor
    cuts: Tensor | None = None

    @lru_cache(maxsize=64)  # noqa: B019
    def narrow(self, dtype: torch.dtype) -> "Choices":
        """The same in a precision, with no less between the limits."""
        low, high = round_toward(-inf, self.low, dtype), round_toward(inf, self.high, dtype)
        return self._replace(low=low, high=high)


def list_windows(steps: int) -> list[tuple[int, int]]:
    """First and last step of all windows."""
    return [(r, t) for t in range(steps) for r in range(t + 1)]


@lru_cache(maxsize=64)
def weigh_windows(decay: float, steps: int) -> Tensor:
    """Weights d^(t-q) of every step in all windows [K, T]."""
    rows = [
        [decay ** (t - q) if r <= q <= t else 0.0 for q in range(steps)]
        for r, t in list_windows(steps)
    ]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


@lru_cache(maxsize=64)
def list_values(dynamics: Dynamics, steps: int) -> Choices:
    """All trains of T steps, and what they ask of sums of effective currents over all windows.

    A window starts at a potential that the train bounds: it is known at the first step and after a
    hard reset, at most the threshold after a silent step, at least the threshold less the drop
    after a spike with a soft reset. After a hard reset within the window its sum says nothing."""
    d, theta, hard = dynamics.decay, dynamics.threshold, dynamics.reset == "hard"
    drop = dynamics.amount if dynamics.reset == "soft" else 0.0
    like = torch.empty(0, dtype=torch.float64, device="cpu")
    trains = like.new_tensor(list(product((0.0, 1.0), repeat=steps)))
    shape = (len(trains), len(list_windows(steps)))
    low, high = like.new_full(shape, -inf), like.new_full(shape, inf)
    for v, train in enumerate(trains.tolist()):
        for k, (r, t) in enumerate(list_windows(steps)):
            if hard and any(train[r:t]):
                continue
            least, most = -inf, theta
            if r == 0:
                least = most = dynamics.start
            elif train[r - 1]:
                least, most = (dynamics.rest,) * 2 if hard else (theta - drop, inf)
            limit = theta + drop * sum(d ** (t - q) * train[q] for q in range(r, t))
            if train[t]:
                low[v, k] = limit - d ** (t - r + 1) * most
            else:
                high[v, k] = limit - d ** (t - r + 1) * least
    return Choices(trains, low, high)


@lru_cache(maxsize=64)
def list_constant_values(dynamics: Dynamics, steps: int, dtype: torch.dtype) -> Choices | None:
    """The same of neurons whose current is constant: K is 1, and the sum is the current itself.

    None where there are too many pieces of currents."""
    pieces = list_pieces(dynamics, steps, dtype)
    if pieces is None or len(pieces) > _MOST_PIECES:
        return None
    columns = [p.train for p in pieces], [[p.low] for p in pieces], [[p.high] for p in pieces]
    made = (torch.tensor(column, dtype=torch.float64, device="cpu") for column in columns)
    trains, low, high = made
    return Choices(trains, low, high, (high[:-1, 0] + low[1:, 0]) / 2)
