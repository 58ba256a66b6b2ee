"""Time of one input gradient or training step next to that of SpikingJelly 2 and snnTorch.

    python examples/study/peers.py --model vgg11 --training

The same network with the same weights, as a user of each framework builds it, is differentiated by
that framework. Frameworks that are not installed are left out. SpikingJelly's surrogate is the
triangle of width 1, as that of STBP here; snnTorch has none, and takes its default, an arctangent.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module, util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from art_snn import SpikingNetwork
from art_snn.app.cost import INFERENCE, build_network, draw_samples, make_call, training_step
from art_snn.app.machine import describe_machine, measure_medians
from art_snn.app.settings import Cost
from art_snn.app.tables import Table, render
from art_snn.dynamics import Dynamics
from art_snn.files import write_text
from art_snn.layers import TimeDistributed
from art_snn.neurons import Neuron

JELLY = "spikingjelly.activation_based."


def rebuild(
    module: nn.Module,
    stateless: Callable[[nn.Sequential], nn.Module],
    neuron: Callable[[Dynamics], nn.Module],
) -> nn.Module:
    """The module, changed in place: neurons and layers that run at every step are replaced."""
    if isinstance(module, TimeDistributed):
        return stateless(module.module)
    if isinstance(module, Neuron):
        return neuron(module.dynamics)
    for name, child in module.named_children():
        setattr(module, name, rebuild(child, stateless, neuron))
    return module


class SpikingJelly(nn.Module):
    """The network with the multi-step containers and neurons of SpikingJelly 2."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.encoder, self.reset = network.encoder, import_module(JELLY + "functional").reset_net
        container = import_module(JELLY + "layer").SeqToANNContainer
        layers = deepcopy(network.layers)
        self.layers = rebuild(layers, lambda inner: container(*inner), self.node)

    @staticmethod
    def node(dynamics: Dynamics) -> nn.Module:
        """A neuron of SpikingJelly that fires as ours does."""
        neuron, surrogate = (import_module(JELLY + name) for name in ("neuron", "surrogate"))
        options = {"v_threshold": float(dynamics.threshold), "step_mode": "m"}
        options["v_reset"] = 0.0 if dynamics.reset == "hard" else None
        options["surrogate_function"] = surrogate.PiecewiseQuadratic(alpha=1.0)
        if dynamics.decay == 1:
            return neuron.IFNode(**options)
        return neuron.LIFNode(tau=1 / (1 - dynamics.decay), decay_input=False, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> logits [N, K]."""
        self.reset(self.layers)
        return self.layers(self.encoder(x).contiguous()).mean(0)


class SnnTorch(nn.Module):
    """The network in snnTorch: one call of all layers for every time step."""

    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.layers = rebuild(deepcopy(network.layers), lambda inner: inner, self.leaky)

    @staticmethod
    def leaky(dynamics: Dynamics) -> nn.Module:
        """A neuron of snnTorch, which fires above the threshold and not at it."""
        options = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
        return import_module("snntorch").Leaky(
            dynamics.decay, threshold=dynamics.threshold, **options
        )

    def forward(self, x: Tensor) -> Tensor:
        """Input [N, ...] -> logits [N, K]."""
        for module in self.layers.modules():
            if callable(reset := getattr(module, "reset_mem", None)):
                reset()
        return torch.stack([self.layers(now) for now in self.encoder(x)]).mean(0)


PEERS = {"spikingjelly": SpikingJelly, "snntorch": SnnTorch}


def gradient_of(network: nn.Module, x: np.ndarray, y: np.ndarray) -> Callable[[], Tensor]:
    """A call that gives the gradient of the loss at samples x with one-hot labels y."""
    labels = torch.as_tensor(y).argmax(1)

    def gradient() -> Tensor:
        samples = torch.tensor(x).requires_grad_()
        return torch.autograd.grad(nn.functional.cross_entropy(network(samples), labels), samples)[
            0
        ]

    return gradient


def main() -> None:
    parser = argparse.ArgumentParser(description="Costs next to those of other frameworks.")
    parser.add_argument("--output", type=Path, default=Path("results/study"))
    parser.add_argument("--model", default="vgg11")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--training", action="store_true", help="a training step, not a gradient")
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    settings = Cost(
        model=(chosen.model,),
        width=0.1 if chosen.small else None,
        batch_size=2 if chosen.small else chosen.batch_size,
        repeats=1 if chosen.small else chosen.repeats,
        training_step=chosen.training,
    )
    x, y = draw_samples(settings, settings.batch_size)
    rules, calls = ["stbp"] if chosen.training else ["rga", "stbp"], {}
    for row in (INFERENCE, *rules):
        calls[row] = make_call(settings, row, build_network(settings, x, y), x, y)
    for name, build in PEERS.items():
        if util.find_spec(name) is None:
            print(f"{name} is not installed, and left out.")
            continue
        peer = build(build_network(settings, x, y)).eval()
        calls[name] = training_step(peer, x, y) if chosen.training else gradient_of(peer, x, y)
    seconds = measure_medians(calls, settings.repeats)
    rows = [(n, f"{s:.3f}", f"{s / seconds[INFERENCE]:.2f}") for n, s in seconds.items()]
    what = "training step" if chosen.training else "input gradient"
    title = f"One {what} of {chosen.model}, batch {settings.batch_size}. {describe_machine('cpu')}."
    text = render([title, Table((what, "seconds", "x inference"), rows)], "markdown")
    folder = chosen.output / "small" if chosen.small else chosen.output
    write_text(folder / f"peers-{what.replace(' ', '-')}.md", text)
    print(text)


if __name__ == "__main__":
    main()
