"""Draw the rate of a neuron under a constant current, by its formula and simulated."""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn import RGA
from art_snn.curves import rga_rate, static_rate
from art_snn.dynamics import Dynamics


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
    figure.savefig(path, dpi=120)
    print(f"Drawn to {path.resolve()}")


if __name__ == "__main__":
    paths = [argument for argument in sys.argv[1:] if argument != "--small"]
    main(Path(paths[0] if paths else "curves.png"), small="--small" in sys.argv)
