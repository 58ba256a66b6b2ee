"""How far sums and potentials that a network computes can lie from the exact ones.

A sum of n products differs from the exact one by at most gamma(n) sum |a b|, where gamma(n) = n u /
(1 - n u) and u is the unit roundoff (Higham, Accuracy and Stability of Numerical Algorithms,
3.1), in any order of its terms."""

from typing import Any

import torch
from torch import Tensor

from art_snn.dynamics import Dynamics, least, most
from art_snn.gradients.fixed import product_precisions

_SAFETY = 4
"""Multiple of gamma by which intervals are widened: the error of the network itself, those of the
centre and of the radius, which are computed in the same precision, and what is of second order."""
_NEURON_SAFETY = 16
"""Units of roundoff per term of a potential: of the network's simulation, and of the bounds."""


def _unit_roundoff(like: Tensor) -> float:
    """Largest relative error of a product in the tensor's dtype, as torch is set up at present."""
    precisions = {"tf32": 2.0**-11, "bf16": 2.0**-8}
    exact = torch.finfo(like.dtype).eps / 2
    if like.dtype != torch.float32:
        return exact
    return max([exact, *(precisions.get(name, exact) for name in product_precisions(like))])


def widening(terms: int, like: Tensor) -> float:
    """4 gamma(terms + 4), by which an interval is widened per unit of sum |a b|.

    :param terms: products that one value is the sum of.
    :raises OverflowError: where so many cannot be bounded."""
    unit = _unit_roundoff(like)
    n = (terms + 4) * unit
    if n >= 0.5:
        raise OverflowError(f"sums of {terms} products, each rounded by {unit:.1g} of its size")
    return _SAFETY * n / (1 - n)


def round_toward(end: float, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in a precision, or the next number there toward an end, -inf or inf."""
    near, values = values.to(dtype), values.double()
    right = near.double() <= values if end < 0 else near.double() >= values
    return near.where(right, torch.nextafter(near, torch.full_like(near, end)))


def potential_rounding(
    dynamics: Dynamics, magnitude: Tensor, steps: int, dtype: torch.dtype
) -> Tensor:
    """The change of a current that does to a potential what rounding does.

    A computed potential is decay v + gain x + constant but for one roundoff per term, and so is
    that of the exact dynamics at another current. The terms are sums of at most T currents.

    :param magnitude: bound of the absolute values of the currents, a scalar."""
    decay = most(dynamics.decay)
    remembered = min(float(steps), 1 / (1 - decay)) if decay < 1 else float(steps)
    drop = most(dynamics.amount) if dynamics.reset == "soft" else _size(dynamics.rest)
    each = most(dynamics.gain) * magnitude + _size(dynamics.constant) + drop
    largest = most(dynamics.threshold) + _size(dynamics.start) + each * remembered
    largest = largest if dynamics.floor is None else largest + _size(dynamics.floor)
    return _NEURON_SAFETY * (torch.finfo(dtype).eps / 2) * largest / least(dynamics.gain)


def _size(setting: Any) -> float:
    return max(abs(least(setting)), abs(most(setting)))
