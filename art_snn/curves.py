"""The rate of a neuron under a constant current, exactly and as RGA approximates it."""

import numpy as np

from art_snn.checks import invalid
from art_snn.dynamics import Dynamics
from art_snn.gradients import RGA

ROUNDING = 1e-12
"""Share by which currents may differ and be the same to :func:`static_rate`."""


def static_rate(
    current: np.ndarray | float,
    decay: float = 0.5,
    threshold: float = 1.0,
    *,
    whole_steps: bool = True,
) -> np.ndarray:
    """Rate of a neuron with a hard reset that a constant current drives from rest.

    Equations S1 to S7 in the supplement of Bu et al. (CVPR 2023). The potential reaches the
    threshold after n steps, and again n steps after every reset, so that the rate is::

        1 / ceil(n),  n = ln(1 - (1 - decay) threshold / current) / ln(decay)
                      n = threshold / current                             (decay 1: IF)

    or 1 / n without whole steps, but 1 at most, and 0 where current <= (1 - decay) threshold. That
    is the limit of long times; over T steps a neuron fires floor(T / ceil(n)) times.

    A current that reaches the threshold exactly after whole steps fires at that step, where
    rounding by 1e-12 of the current is forgiven: 0.1 gives 1/10 at an IF neuron.

    With a soft reset the smooth form holds for decay = 1; for leaky neurons there is no formula.

    :param current: numbers or a numpy array [...], in the unit of the threshold; may be infinite.
    :param decay, threshold: of the neuron, in (0, 1] and > 0.
    :param whole_steps: round n up to whole steps, as a simulation does.
    :return: spikes per step [...] in [0, 1], float64.
    :raises TypeError: when the current is no numpy array of real numbers.
    :raises ValueError: when a current is NaN, or decay or threshold lies outside its range."""
    neuron = Dynamics(decay, threshold)
    currents = _currents(current)
    knee = (1 - neuron.decay) * neuron.threshold
    firing = currents > knee * (1 + ROUNDING)
    steps = _steps_to_threshold(currents[firing], neuron, ROUNDING if whole_steps else 0.0)
    rates = np.zeros_like(currents)
    rates[firing] = 1 / np.maximum(np.ceil(steps) if whole_steps else steps, 1)
    rates[currents >= neuron.threshold] = 1
    return rates


def rga_rate(
    current: np.ndarray | float,
    rule: RGA = RGA(),  # noqa: B008
    decay: float = 0.5,
    threshold: float = 1.0,
) -> np.ndarray:
    """Rate of the polyline whose slope is RGA's (Bu et al., CVPR 2023, supplement, equation S8).

    :param current: numbers or a numpy array [...], in the unit of the threshold.
    :param decay, threshold: of the neuron, in (0, 1] and > 0.
    :return: spikes per step [...], float64; 0 for negative currents, 1 above beta * threshold.
    :raises TypeError, ValueError: as :func:`static_rate`, or when beta or gamma does not fit."""
    neuron = Dynamics(decay, threshold)
    places, rates = zip(*rule.corners(neuron.decay, neuron.threshold), strict=True)
    return np.asarray(np.interp(_currents(current), places, rates))


def _steps_to_threshold(currents: np.ndarray, neuron: Dynamics, rounding: float) -> np.ndarray:
    """n of :func:`static_rate` for currents that reach the threshold, not rounded."""
    # The smallest currents of all take more steps than there are numbers: infinity is right.
    with np.errstate(over="ignore"):
        inverse = neuron.threshold / currents / (1 + rounding)
    if neuron.decay == 1:
        return np.asarray(inverse)
    return np.asarray(np.log1p(-(1 - neuron.decay) * inverse) / np.log(neuron.decay))


def _currents(current: np.ndarray | float) -> np.ndarray:
    array = np.asarray(current) if not hasattr(current, "__torch_function__") else None
    if array is None or array.dtype.kind not in "fiu":
        raise TypeError(
            f"current: expected real numbers or a numpy array of them, got {current!r}. "
            "A torch tensor goes in as tensor.numpy()."
        )
    if np.isnan(array).any():
        raise invalid("current", "numbers", "NaN", "Leave such currents out of the curve.")
    return array.astype(np.float64)
