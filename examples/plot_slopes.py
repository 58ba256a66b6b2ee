"""Draw every surrogate slope, and the slope that every rule gives at a constant current."""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from art_snn import GRADIENTS, LIF, PDSG, Direct, SpikingNetwork, TimeDistributed
from art_snn.dynamics import Dynamics
from art_snn.gradients import Conversion, Gradient, RateGradient, Surrogate, TemporalGradient

RULES = {name: kind() for name, kind in GRADIENTS.items()} | {"pdsg": PDSG(per_sample=True)}
TEMPORAL = {name: rule for name, rule in RULES.items() if isinstance(rule, TemporalGradient)}
AVERAGED = {
    name: rule for name, rule in RULES.items() if isinstance(rule, RateGradient | Conversion)
}


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
    ax.set(title="surrogates h(z)", xlabel="distance z = u - threshold", ylim=(0, 2))
    ax.legend(fontsize="x-small", frameon=False, ncols=2, loc="upper center")


def draw_rules(ax: Axes, rules: dict[str, Gradient], decay: float, steps: int) -> None:
    current = torch.linspace(-0.2, 2.4, 1301)
    for name, rule in rules.items():
        if rule.objection(Dynamics(decay)) is not None:
            continue
        style = "--" if isinstance(rule, Conversion) else "-"
        ax.plot(current, slope(rule, current, decay, steps), style, label=name, lw=1.2)
    kind = "temporal rules" if "stbp" in rules else "rate rules and conversions"
    ax.set(title=f"{kind}, decay {decay:g}, T = {steps}")
    ax.set(xlabel="constant current [threshold]")
    ax.legend(fontsize="x-small", frameon=False)


def main(path: Path, small: bool) -> None:
    steps = 8 if small else 32
    figure = Figure(figsize=(10, 7), layout="constrained")
    (first, second), (third, fourth) = figure.subplots(2, 2)
    draw_surrogates(first)
    draw_rules(second, TEMPORAL, 0.5, steps)
    draw_rules(third, AVERAGED, 0.5, steps)
    draw_rules(fourth, AVERAGED, 1.0, steps)
    for ax in figure.axes:
        ax.set_ylabel("slope")
        ax.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"Drawn to {path.resolve()}")


if __name__ == "__main__":
    paths = [argument for argument in sys.argv[1:] if argument != "--small"]
    main(Path(paths[0] if paths else "results/slopes.png"), small="--small" in sys.argv)
