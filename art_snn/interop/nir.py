"""Networks of our layers from NIR files, as one of the readers of such files reads them."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.checks import require, require_choice, require_memory
from art_snn.dynamics import Setting, operand
from art_snn.encoders import Direct, Encoder, Frames
from art_snn.interop.nir_files import (
    WRITE_AGAIN,
    Node,
    Nodes,
    order_nodes,
    read_graph,
    refusing,
)
from art_snn.interop.nir_readers import READERS, Reader, Reading
from art_snn.layers import Scale, TimeDistributed
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron

ELEMENTWISE: dict[str, tuple[str, ...]] = {
    "IF": ("r", "v_threshold"),
    "LIF": ("r", "v_threshold", "tau", "v_leak"),
    "I": ("r",),
    "Threshold": ("threshold",),
    "LI": ("r", "tau", "v_leak"),
    "Scale": ("scale",),
}
"""The nodes whose parameters have one number for every value."""

FIELDS = {
    **ELEMENTWISE,
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Flatten": ("start_dim", "end_dim"),
    "Conv1d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "Conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
}
"""The nodes that are known, and the parameters that they need."""


class Integrator(nn.Module):
    """v[t] = decay v[t-1] + gain x[t] + constant from v = 0: potentials that are read."""

    def __init__(self, decay: Setting, gain: Setting, constant: Setting) -> None:
        super().__init__()
        self.settings = (decay, gain, constant)

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T, N, ...] -> potentials [T, N, ...]."""
        decay, gain, constant = (operand(value, x) for value in self.settings)
        first, *others = (x * gain + constant).unbind()

        potentials = [first]
        for current in others:
            potentials.append(current + potentials[-1] * decay)
        return torch.stack(potentials)


class Graph(nn.Module):
    """Layers on tensors [T, N, ...], each of which takes the sum of outputs of earlier layers.

    :param sources: for every layer the numbers of those outputs. Number 0 is the input,
        and the output of the first layer is number 1."""

    def __init__(self, layers: Iterable[nn.Module], sources: list[list[int]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.sources = sources

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        outputs = [x]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            first, *others = (outputs[source] for source in sources)
            outputs.append(layer(sum(others, first)))
        return outputs[-1]


def from_nir(
    path_or_graph: Any,
    *,
    like: Reader | None = None,
    dt: float | None = None,
    reset: Literal["hard", "soft"] | None = None,
    strict: bool | None = None,
    max_spikes: float | None = None,
    floor: float | None = None,
    v_start: float | None = None,
    steps: int | None = None,
    encoder: Encoder | None = None,
    readout: Literal["mean", "sum"] | None = None,
) -> SpikingNetwork:
    """The network of a NIR file or graph: ``from_nir("net.nir", like="norse", dt=1e-3, steps=8)``.

    :param path_or_graph: a file, or a graph of the package nir.
    :param like: whose reading is taken; None: that of NIR's text, with the reset that you
        give.
    :param dt: the time step, in the unit of the time constants.
    :param reset, strict, max_spikes, floor, v_start: of
        :class:`~art_snn.dynamics.Dynamics`, instead of the reader's own; math.inf for any
        number of spikes, -math.inf for no floor.
    :param steps: time steps T of the encoder Direct, for inputs without a time axis.
    :param encoder: maps the input [N, ...] to [T, N, ...]; None: Direct with steps, else
        Frames.
    :param readout: how outputs over time become logits. None takes "sum" if spikes are
        the output and the encoder knows its number of steps, which sums need; otherwise
        "mean".
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: for a file or a graph that cannot be read, and where it needs a
        time step or a reset that is not given."""
    nodes = order_nodes(read_graph(path_or_graph))
    given = {"reset": reset, "strict": strict, "max_spikes": max_spikes, "floor": floor}
    reading = Reading(like, dt, **given, v_start=v_start)
    remedy = "The encoder has the steps: leave steps out."
    require(None in (steps, encoder), "steps", "None with an encoder", steps, remedy)
    if encoder is None:
        encoder = Frames() if steps is None else Direct(steps)

    layers, shape = _build_layers(nodes, reading)
    module = _connect(nodes, layers, encoder, readout)
    input_shape = (None, *shape) if isinstance(encoder, Frames) else shape
    network = SpikingNetwork(module, encoder, input_shape=input_shape)
    network.body.reading = _describe_readings(nodes, reading)
    return network.eval()


def _describe_readings(nodes: Nodes, reading: Reading) -> dict[str, str]:
    """The neurons as they were read, and as the other readers read them, in words."""
    notes = {f"read as {reading.like or 'nir'}": reading.describe(nodes)}
    for other in READERS:
        if other != reading.like:
            notes[f"{other} reads"] = Reading(other, reading.dt).describe(nodes)
    return notes


def _build_layers(nodes: Nodes, reading: Reading) -> tuple[list[Any], tuple[int, ...]]:
    """The layers after the Input, and the shape of a value of the Input.

    Outputs are computed without values, so that a node whose shapes do not fit is refused
    by its name."""
    layers = list[nn.Module]()
    values = dict[str, Tensor]()
    for name, node, sources in nodes:
        what = f"{node['type']} {name!r}"
        with refusing("graph", "nodes whose shapes fit", what):
            layer = _build_layer(what, node, reading)
            layers.append(layer)
            if not sources:
                shape = tuple(int(size) for size in node["shape"])
                values[name] = torch.empty(1, 1, *shape, device="meta")
                continue

            x: Any = sum(values[source] for source in sources)
            for field in ELEMENTWISE.get(node["type"], ()):
                numbers = node[field]
                if numbers.size != 1 and numbers.shape != x.shape[2:]:
                    raise ValueError(f"{field} {[*numbers.shape]} for {[*x.shape[2:]]}")
            if isinstance(layer, TimeDistributed):
                x = deepcopy(layer).to("meta")(x)
            values[name] = x
            require_memory("graph", what, "outputs", 4 * x.numel(), remedy=WRITE_AGAIN)

    if x.ndim > 3:
        layers[-1] = TimeDistributed(nn.Flatten())
    return layers[1:], shape


def _connect(
    nodes: Nodes, layers: list[Any], encoder: Encoder, readout: str | None
) -> nn.Module:
    """The layers as one module, whose last layer has the factor of a sum over time."""
    numbers = {name: number for number, (name, *_) in enumerate(nodes)}
    sources = [[numbers[source] for source in before] for _, _, before in nodes[1:]]

    steps: Any = getattr(encoder, "steps", None)
    if readout is None:
        fires = all(
            source and isinstance(layers[source - 1], Neuron) for source in sources[-1]
        )
        readout = "sum" if fires and steps else "mean"
    require_choice("readout", readout, ("mean", "sum"), remedy="Leave it out.")
    if readout == "sum":
        require(
            steps,
            "encoder",
            "an encoder that knows its steps, for a sum",
            f"{encoder}",
            "Pass steps= or Frames(steps).",
        )
        # Networks take the mean over time.
        layers[-1].module.append(Scale(torch.tensor(float(steps))))

    is_chain = sources == [[number] for number in range(len(layers))]
    return nn.Sequential(*layers) if is_chain else Graph(layers, sources)


def _build_layer(what: str, node: Node, reading: Reading) -> nn.Module:
    """The layer of a node, on tensors [T, N, ...]."""
    kind = node["type"]
    if kind in ("Input", "Output"):
        return TimeDistributed()

    require(
        kind in FIELDS,
        "graph",
        "nodes that art_snn knows",
        what,
        f"Supported: {', '.join(FIELDS)}.",
    )
    _check_parameters(what, node)
    if kind in ("IF", "LIF", "Threshold"):
        return Neuron(reading.read_neurons(what, node))
    if kind in ("I", "LI"):
        return Integrator(*reading.read_integrator(what, node))
    if kind == "Flatten":
        # NIR counts axes without that of the batch.
        ends = (int(node["start_dim"]), int(node["end_dim"]))
        return TimeDistributed(nn.Flatten(*(end + (end >= 0) for end in ends)))
    if kind == "Scale":
        return TimeDistributed(Scale(_as_tensor(node["scale"])))
    if kind in ("SumPool2d", "AvgPool2d"):
        window = _read_sides(node, FIELDS[kind], 2)
        divisor = 1 if kind == "SumPool2d" else None
        return TimeDistributed(nn.AvgPool2d(**window, divisor_override=divisor))
    return TimeDistributed(_build_weighted(node))


def _check_parameters(what: str, node: Node) -> None:
    """Refuse parameters that are missing or not finite; those of elements become float64."""
    kind = node["type"]
    fields = [*FIELDS[kind]]
    if "v_reset" in node:
        fields.append("v_reset")
    for field in fields:
        value = np.asarray(node.get(field, "nothing"))
        is_word = field == "padding" and str(value) in ("same", "valid")
        require(
            is_word or (value.dtype.kind in "fiub" and np.isfinite(value).all()),
            "graph",
            f"finite numbers as {field} of {what}",
            f"{value.ravel()[:4]}",
            WRITE_AGAIN,
        )
        node[field] = value.astype(np.float64) if kind in ELEMENTWISE else value


def _build_weighted(node: Node) -> nn.Module:
    """The convolution or linear layer of a node, with its weights.

    :raises ValueError: for a bias that does not fit the weights."""
    weights: Node = {
        name: _as_tensor(node[name]) for name in ("weight", "bias") if name in node
    }
    outputs, inputs, *kernel = weights["weight"].shape
    has_bias = "bias" in weights
    if has_bias and weights["bias"].shape != (outputs,):
        sizes = (f"{name} {[*values.shape]}" for name, values in weights.items())
        raise ValueError(", ".join(sizes))

    # Layers on this device draw no weights.
    with torch.device("meta"):
        module: nn.Module = nn.Linear(inputs, outputs, has_bias)
        if kernel:
            options = _read_sides(node, ("stride", "padding", "dilation"), len(kernel))
            groups = int(node["groups"])
            convolution = getattr(nn, node["type"])
            channels = (inputs * groups, outputs)
            module = convolution(
                *channels, kernel, groups=groups, bias=has_bias, **options
            )
    module.load_state_dict(weights, assign=True)
    return module


def _read_sides(node: Node, fields: Iterable[str], sides: int) -> dict[str, Any]:
    """Parameters with a number for every side of a window.

    Padding may be "same" or "valid" instead."""
    options = dict[str, Any]()
    for field in fields:
        # A file may hold one number for all sides.
        numbers = np.broadcast_to(node[field].ravel(), sides).tolist()
        options[field] = numbers[0] if isinstance(numbers[0], str) else tuple(numbers)
    return options


def _as_tensor(values: np.ndarray) -> Tensor:
    """Values in torch's default precision, on its default device."""
    return torch.tensor(values, dtype=torch.get_default_dtype())
