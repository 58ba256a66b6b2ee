"""Draw the rate of a neuron under a constant current: by its formula, by RGA, and simulated.

python examples/study/rates.py results/rates.png
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn import RGA
from art_snn.dynamics import Dynamics

ROUNDING = 1e-12
"""Share by which currents may differ and be the same to :func:`static_rate`."""


def static_rate(current: np.ndarray, decay: float, *, whole_steps: bool = True) -> np.ndarray:
    """Rate of a neuron of threshold 1 with a hard reset that a constant current drives from rest.

    Equations S1 to S7 in the supplement of Bu et al. (CVPR 2023). The potential reaches the
    threshold after n steps, and again n steps after every reset, so that the rate is::

        1 / ceil(n),  n = ln(1 - (1 - decay) / current) / ln(decay)
                      n = 1 / current                                  (decay 1: IF)

    or 1 / n without whole steps, but 1 at most, and 0 where current <= 1 - decay. That is the
    limit of long times; over T steps a neuron fires floor(T / ceil(n)) times. A current that
    reaches the threshold after whole steps but for rounding fires at that step.

    :param current: numbers [...], in thresholds.
    :return: spikes per step [...] in [0, 1], float64.
    """
    currents, knee = np.asarray(current, np.float64), 1 - decay
    firing = currents > knee * (1 + ROUNDING)
    # The smallest currents of all take more steps than there are numbers: infinity is right.
    with np.errstate(over="ignore"):
        steps = 1 / currents[firing] / (1 + (ROUNDING if whole_steps else 0))
    if decay < 1:
        steps = np.log1p(-knee * steps) / np.log(decay)
    rates = np.zeros_like(currents)
    rates[firing] = 1 / np.maximum(np.ceil(steps) if whole_steps else steps, 1)
    rates[currents >= 1] = 1
    return rates


def rga_rate(current: np.ndarray, rule: RGA, decay: float) -> np.ndarray:
    """Rate of the polyline whose slope is RGA's (Bu et al., supplement, equation S8)."""
    return np.interp(current, *zip(*rule.corners(decay, 1.0), strict=True))


def simulated_rate(current: np.ndarray, decay: float, steps: int) -> np.ndarray:
    """Rate of neurons with a hard reset over many steps."""
    currents = torch.from_numpy(current).expand(steps, 1, -1)
    return Dynamics(decay).simulate(currents).mean((0, 1)).numpy()


def draw(ax: Axes, decay: float, points: int, steps: int) -> None:
    grid = np.linspace(-0.2, 2.4, 2601)
    current = np.linspace(-0.2, 2.4, points)
    simulated = simulated_rate(current, decay, steps)
    ax.plot(current, simulated, "o", ms=3, color="#0072b2", label=f"simulated, {steps} steps")
    ax.plot(grid, static_rate(grid, decay), color="black", lw=1.2, label="static, whole steps")
    smooth = static_rate(grid, decay, whole_steps=False)
    ax.plot(grid, smooth, "--", color="black", lw=0.8, label="static, smooth")
    ax.plot(grid, rga_rate(grid, RGA(), decay), color="#d55e00", lw=1.5, label=f"{RGA()}")
    ax.set(title=f"decay {decay:g}", xlabel="constant current [threshold]")
    ax.grid(alpha=0.3)


def main(path: Path, small: bool) -> None:
    points, steps = (60, 200) if small else (90, 2000)
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for ax, decay in zip(axes, (1.0, 0.9, 0.5, 0.25), strict=True):
        draw(ax, decay, points, steps)
        ax.label_outer()
    figure.axes[0].legend(fontsize="small", frameon=False, loc="lower right")
    figure.supylabel("rate [1/step]")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"Drawn to {path.resolve()}")


if __name__ == "__main__":
    paths = [argument for argument in sys.argv[1:] if argument != "--small"]
    main(Path(paths[0] if paths else "results/rates.png"), small="--small" in sys.argv)
