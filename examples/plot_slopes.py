"""Draw every surrogate slope, and the slope that every rule gives at a constant current."""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from art_snn import GRADIENTS, LIF, PDSG, Direct, SpikingNetwork, TimeDistributed
from art_snn.gradients import Gradient, RateGradient, Surrogate, TemporalGradient

RULES = {name: kind() for name, kind in GRADIENTS.items()} | {"pdsg": PDSG(per_sample=True)}
TEMPORAL = {name: rule for name, rule in RULES.items() if isinstance(rule, TemporalGradient)}
RATE = {name: rule for name, rule in RULES.items() if isinstance(rule, RateGradient)}


def slope(rule: Gradient, current: torch.Tensor, decay: float, steps: int) -> torch.Tensor:
    """Derivative of the rate of one neuron by its constant current, as the rule sees it."""
    layers = [LIF(decay=decay), TimeDistributed(nn.Identity())]
    x = current[:, None].clone().requires_grad_()
    rate = SpikingNetwork(layers, Direct(steps), gradient=rule)(x)
    return torch.autograd.grad(rate.sum(), x)[0][:, 0]


def draw_surrogates(ax: Axes) -> None:
    z = torch.linspace(-1.5, 1.5, 601)
    for kind in Surrogate.__subclasses__():
        ax.plot(z, kind()(z), label=str(kind()))
    ax.set(title="surrogates h(z)", xlabel="distance z = u - threshold", ylim=(0, 1.3))
    ax.legend(fontsize="x-small", frameon=False)


def draw_rules(ax: Axes, rules: dict[str, Gradient], decay: float, steps: int) -> None:
    current = torch.linspace(-0.2, 2.4, 1301)
    for name, rule in rules.items():
        style = "--" if name == "cba" else "-"
        ax.plot(current, slope(rule, current, decay, steps), style, label=name, lw=1.2)
    kind = "temporal" if "stbp" in rules else "rate"
    ax.set(title=f"{kind} rules, decay {decay:g}, T = {steps}")
    ax.set(xlabel="constant current [threshold]")
    ax.legend(fontsize="x-small", frameon=False)


def main(path: Path, small: bool) -> None:
    steps = 8 if small else 32
    figure = Figure(figsize=(10, 7), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    draw_surrogates(first)
    draw_rules(second, TEMPORAL, 0.5, steps)
    draw_rules(third, RATE, 0.5, steps)
    draw_rules(fourth, RATE | {"cba": RULES["cba"]}, 1.0, steps)
    for ax in figure.axes:
        ax.set_ylabel("slope")
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    print(f"Drawn to {path.resolve()}")


if __name__ == "__main__":
    paths = [argument for argument in sys.argv[1:] if argument != "--small"]
    main(Path(paths[0] if paths else "slopes.png"), small="--small" in sys.argv)
