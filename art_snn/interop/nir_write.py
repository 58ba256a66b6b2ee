"""NIR files of our networks."""

from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch import nn
from torch.nn import Module

from art_snn.checks import require, require_number
from art_snn.dynamics import Dynamics, Values, most
from art_snn.encoders import Frames
from art_snn.engine.body import LayeredBody
from art_snn.engine.kinds import kind_of
from art_snn.files import atomic_write
from art_snn.interop.nir import WINDOW
from art_snn.interop.nir_files import Node, package
from art_snn.layers import Normalize, Scale, TimeDistributed, list_layers
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron

_USUAL = {
    "reset": "hard",
    "strict": True,
    "v_start": 0,
    "reset_by": None,
    "max_spikes": 1,
    "floor": None,
    "lag": 0,
}
"""Settings of neurons for which NIR has no place, with the value that they have in its text."""


def to_nir(
    network: SpikingNetwork, path: str | Path, dt: float = 1.0, fold: bool = False
) -> None:
    """Write a network of layers one after another as a NIR file, batch norms folded.

    A warning says what the format has no place for. With these as arguments,
    :func:`from_nir` gives a network of the same logits, bit for bit.

    :param path: a file, which is replaced.
    :param dt: the time step: a decay d becomes the time constant dt / (1 - d).
    :param fold: multiply weights by R, and write R = 1, of IF 1 / dt: Norse ignores any
        other R. An R that is a power of two, such as 1 / (1 - d) for d = 0.5, causes no
        rounding. Of CubaLIF R becomes tau_mem / dt, which snnTorch and SpikingJelly need.
    :raises ValueError: for a network without a known input_shape, and for layers and
        neurons that NIR does not have."""
    require_number("dt", dt, above=0, remedy="With 1 the time constants are in steps.")
    shape: Any = network.input_shape or (None, None)
    if isinstance(network.encoder, Frames):
        shape = shape[1:]
    require(
        isinstance(network.body, LayeredBody) and None not in shape,
        "network",
        "one of ours whose input_shape is known",
        f"input_shape {network.input_shape}",
        "Set network.input_shape.",
    )
    layers = list_layers(network.layers, "layers")
    nodes = _write_nodes(layers, shape, dt, fold)
    lost = {f"the encoder {network.encoder}", "the readout", f"dt={dt:g}"}
    for _, layer in layers:
        if isinstance(layer, Neuron):
            for field, usual in _USUAL.items():
                value = getattr(layer.dynamics, field)
                if value != usual:
                    lost.add(f"{field}={value!r}")

    nir = package()
    graph = {
        "type": "NIRGraph",
        "nodes": nodes,
        "edges": list(pairwise(nodes)),
        # Where convolutions have groups, the types of nir 1.0.8 are wrong.
        "type_check": False,
    }
    with atomic_write(path) as partial:
        nir.write(str(partial), nir.NIRGraph.from_dict(graph))
    warn(f"{path} does not hold {', '.join(sorted(lost))}", stacklevel=2)


def _write_nodes(
    layers: list[tuple[str, Module]], shape: tuple[int, ...], dt: float, fold: bool
) -> dict[str, Node]:
    """The nodes of layers one after another, with the Input and the Output, in their order."""
    # Of one step and one sample: layers run on it, so that every node knows its shape.
    x = torch.empty(1, 1, *shape, device="meta")
    nodes: dict[str, Node] = {"input": {"type": "Input", "shape": np.array(shape)}}
    weighted: Node = {}
    for name, layer in layers:
        if isinstance(layer, Neuron):
            node = _write_neurons(name, layer.dynamics, x.shape[2:], dt)
            if fold:
                _fold_resistance(name, node, weighted, dt)
            nodes[f"{len(nodes)}"] = node
            weighted = {}
            continue

        _require_layer(type(layer) is TimeDistributed, name, layer)
        copied: Any = deepcopy(layer).eval()
        for module, _, folded in copied.forms():
            node = _write_layer(name, module, folded, x.shape[2:])
            if node:
                nodes[f"{len(nodes)}"] = node
            if "weight" in node:
                weighted = node
            x = TimeDistributed(module.to(device="meta"))(x)
    nodes["output"] = {"type": "Output", "shape": np.array(x.shape[2:])}
    return nodes


def _require_layer(holds: bool, name: str, module: object) -> None:
    """Refuse a layer that NIR does not have."""
    require(
        holds,
        "network",
        "layers of NIR, one after another",
        f"{name} ({module})",
        "docs/nir.md lists them.",
    )


def _write_neurons(name: str, d: Dynamics, shape: tuple[int, ...], dt: float) -> Node:
    """Neurons of a layer as an IF, LIF or CubaLIF node.

    NIR's LIF neuron is tau dv/dt = v_leak - v + R x, so that a step of length dt gives::

        decay = 1 - dt / tau,    gain = R dt / tau,    constant = v_leak dt / tau

    Its IF neuron is dv/dt = R x, so that gain = R dt. Its CubaLIF neuron has a synapse with
    tau_syn di/dt = -i + w_in x, so that synapse = 1 - dt / tau_syn for w_in = tau_syn / dt."""
    leaky = d.decay != 1
    is_usual = type(d) is Dynamics and d.amplitude == 1 and d.reset != "none"
    fits = d.constant == 0 and not d.has_synapse
    if leaky:
        fits = type(d.decay) is not tuple and most(d.decay) < 1
    require(
        is_usual and fits,
        "network",
        (
            "neurons of one decay, with a reset, spikes of height 1 and, of IF, no constant "
            "and no synapse"
        ),
        f"{name} with {d}",
        "Fold a constant into a bias.",
    )

    # dt / tau of LIF, dt of IF.
    leak = 1 - d.decay if leaky else dt
    values = {"v_threshold": d.threshold, "v_reset": d.v_reset, "r": d.gain / leak}
    if leaky:
        values.update(tau=dt / leak, v_leak=d.constant / leak)

    node: Node = {"type": "LIF" if leaky else "IF"}
    if d.has_synapse:
        node["type"] = "CubaLIF"
        values["tau_mem"] = values.pop("tau")
        values["w_in"] = 1 / (1 - d.synapse)
        values["tau_syn"] = dt * values["w_in"]
    for field, value in values.items():
        numbers = value.numbers.numpy() if isinstance(value, Values) else value
        node[field] = np.broadcast_to(np.float64(numbers), shape).copy()
    return node


def _fold_resistance(name: str, neurons: Node, weighted: Node, dt: float) -> None:
    """Move the R of neurons into the last node with weights after earlier neurons.

    What remains is R = 1 of LIF, R = 1 / dt of IF and R = tau_mem / dt of CubaLIF. With the
    last two a current is added as it is."""
    usual = 1.0 if "tau" in neurons else neurons.get("tau_mem", 1.0) / dt
    # Quotients of time constants are rounded.
    factors = np.unique(np.round(neurons["r"] / usual, 14))
    require(
        weighted and len(factors) == 1,
        "network",
        "neurons of one R after weights, to fold it",
        name,
        "Write it without fold.",
    )

    for field in ("weight", "bias"):
        if field in weighted:
            weighted[field] = weighted[field] * float(factors[0])
    neurons["r"] = np.full_like(neurons["r"], usual)


def _write_layer(
    name: str, module: Any, folded: tuple[Any, ...], shape: tuple[int, ...]
) -> Node:
    """A layer as a node; nothing for one that changes nothing, and for the readout.

    :param folded: weight and bias of a convolution with the batch norm after it,
        otherwise ()."""
    kind: Any = type(module)
    if kind_of(module).passes:
        return {}

    if kind is Scale:
        # A scalar turns the mean over time of the readout into a sum.
        scale = module.scale.cpu().numpy()
        return {"type": "Scale", "scale": scale} if scale.ndim else {}

    if kind is nn.Flatten and module.start_dim > 0:
        # NIR counts axes without that of the batch.
        return {
            "type": "Flatten",
            "input_type": np.array(shape),
            "start_dim": module.start_dim - 1,
            "end_dim": module.end_dim - (module.end_dim > 0),
        }

    if (
        kind is nn.AvgPool2d
        and module.divisor_override in (None, 1)
        and module.count_include_pad
    ):
        window: dict[str, Any] = {
            field: np.broadcast_to(getattr(module, field), 2).copy() for field in WINDOW
        }
        size, stride, padding = window.values()
        # NIR leaves out a last window that sticks out.
        left_over = (shape[-2:] + 2 * padding - size) % stride
        if not (module.ceil_mode and left_over.any()):
            return {
                "type": "SumPool2d" if module.divisor_override else "AvgPool2d",
                **window,
            }

    if kind is Normalize and len(shape) == 3:
        # (x - mean) / std is a convolution of single pixels with a diagonal matrix.
        std = module.std
        folded = (torch.diag(1 / std)[..., None, None], -module.mean / std)
        # Layers on this device draw no weights.
        module = nn.Conv2d(len(std), len(std), 1, device="meta")
    return _write_weighted(name, module, folded, shape)


def _write_weighted(
    name: str, module: Any, folded: tuple[Any, ...], shape: tuple[int, ...]
) -> Node:
    """A convolution or a linear layer as a node.

    NIR has convolutions with a bias only, so that a missing one is written as zeros."""
    kind = type(module)
    is_convolution = kind in (nn.Conv1d, nn.Conv2d) and module.padding_mode == "zeros"
    _require_layer(kind is nn.Linear or is_convolution, name, module)

    weight, bias = folded or (module.weight, module.bias)
    if bias is None and is_convolution:
        bias = weight.new_zeros(len(weight))
    node: Node = {"weight": weight.detach().cpu().numpy()}
    if bias is not None:
        node["bias"] = bias.detach().cpu().numpy()
    if kind is nn.Linear:
        return {"type": "Linear" if bias is None else "Affine", **node}

    for field in ("stride", "padding", "dilation", "groups"):
        value = getattr(module, field)
        node[field] = np.array(value) if isinstance(value, tuple) else value

    spatial = shape[1:] if kind is nn.Conv2d else shape[1]
    return {"type": kind.__name__, "input_shape": spatial, **node}
