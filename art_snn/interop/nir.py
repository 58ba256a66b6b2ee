"""NIR graphs as networks of our layers, as one of their readers reads them, and networks as files.

A file (Pedersen et al., Nature Communications, 2024) has equations, and no time step, no kind of
reset and no start. Every reader fills these in by itself, so that one file is several networks."""

import math
from collections.abc import Iterable
from copy import deepcopy
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Literal, get_args
from warnings import warn

import numpy as np
import torch
from torch import Tensor, nn

from art_snn import checks
from art_snn.checks import ArgumentError, require, require_memory
from art_snn.dynamics import Dynamics, Setting, Values, most, operand, setting
from art_snn.encoders import Direct, Encoder, Frames
from art_snn.files import atomic_write
from art_snn.interop.nir_files import WRITE_AGAIN, Node, order_nodes, package, read_graph, refusing
from art_snn.layers import Normalize, TimeDistributed, list_layers
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron

Reader = Literal["nir", "norse", "sinabs", "spikingjelly", "snntorch"]

_WEIGHTS = ("weight", "bias")
_POOL = ("kernel_size", "stride", "padding")
_CONV = ("stride", "padding", "dilation", "groups")
_ELEMENTWISE: dict[str, tuple[str, ...]] = {
    "IF": ("r", "v_threshold"),
    "LIF": ("r", "v_threshold", "tau", "v_leak"),
    "I": ("r",),
    "Threshold": ("threshold",),
    "LI": ("r", "tau", "v_leak"),
    "Scale": ("scale",),
}
"""Nodes whose parameters have one number for every value."""
_FIELDS = _ELEMENTWISE | {
    "Affine": _WEIGHTS,
    "Linear": ("weight",),
    "Flatten": ("start_dim", "end_dim"),
    "Conv1d": (*_WEIGHTS, *_CONV),
    "Conv2d": (*_WEIGHTS, *_CONV),
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
}
"""The nodes that are known, and the parameters that they need."""
_LAYERS, _HOW = "layers of NIR, one after another", "docs/nir.md lists them."


class Scale(nn.Module):
    """x times a number for every value of a step [N, ...]."""

    affine = True
    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """[N, ...] -> [N, ...]."""
        return x * self.scale


class Integrator(nn.Module):
    """v[t] = decay v[t-1] + gain x[t] + constant from v = 0: potentials that are read."""

    def __init__(self, decay: Setting, gain: Setting, constant: Setting) -> None:
        super().__init__()
        self.settings = (decay, gain, constant)

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T, N, ...] -> potentials [T, N, ...]."""
        decay, gain, constant = (operand(value, x) for value in self.settings)
        potentials = list[Tensor]()
        for v in (x * gain + constant).unbind():
            potentials.append(v + potentials[-1] * decay if potentials else v)
        return torch.stack(potentials)


class Graph(nn.Module):
    """Layers on tensors [T, N, ...] that each take the sum of others' outputs.

    :param sources: the numbers of these for every layer, from 1 in order; 0 is the input."""

    def __init__(self, layers: Iterable[nn.Module], sources: Iterable[list[int]]) -> None:
        super().__init__()
        self.layers, self.sources = nn.ModuleList(layers), list(sources)

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        outputs = [x]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            first, *more = (outputs[source] for source in sources)
            outputs.append(layer(sum(more, first)))
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
    """The network of a NIR file or graph, of our layers::

        from_nir("net.nir", like="norse", dt=1e-3, steps=8)

    :param path_or_graph: a file, or a graph of the package nir.
    :param like: whose reading is taken; None: that of NIR's text, with the reset that you give.
    :param dt: the time step, in the unit of the time constants.
    :param reset, strict, max_spikes, floor, v_start: of :class:`~art_snn.dynamics.Dynamics`,
        instead of the reader's own; math.inf for any number of spikes, -math.inf for no floor.
    :param steps: time steps T of the encoder Direct, for inputs without a time axis.
    :param encoder: maps the input [N, ...] to [T, N, ...]; None: Direct with steps, else Frames.
    :param readout: of the Output over time, flattened; None: "sum" of spikes where the encoder
        knows its number of steps, which sums need, otherwise "mean".
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: for what is no NIR file or not all in it, nodes that are not known, cycles,
        several inputs or outputs, shapes that do not fit, numbers that are not finite; and where a
        time step or a reset is needed that is not given."""
    nodes = order_nodes(read_graph(path_or_graph))
    readers, remedy = get_args(Reader), "None is NIR's text, with the reset given."
    require(like in (None, *readers), "like", f"one of {readers} or None", repr(like), remedy)
    if dt is not None:
        checks.require_number("dt", dt, above=0, remedy="snnTorch and SpikingJelly have 1e-4.")
    names = {
        "reset": reset,
        "strict": strict,
        "max_spikes": max_spikes,
        "floor": floor,
        "v_start": v_start,
    }
    given: Node = {name: value for name, value in names.items() if value is not None}
    if max_spikes == math.inf:
        given["max_spikes"] = None
    if floor == -math.inf:
        given["floor"] = None

    remedy = "The encoder has the steps: leave steps out."
    require(None in (steps, encoder), "steps", "None with an encoder", steps, remedy)
    if encoder is None:
        encoder = Frames() if steps is None else Direct(steps)
    length = getattr(encoder, "steps", None)

    layers, shape = _build(nodes, like, dt, given)
    numbers = {name: number for number, (name, *_) in enumerate(nodes)}
    sources = [[numbers[source] for source in before] for _, _, before in nodes[1:]]
    fires = all(source and isinstance(layers[source - 1], Neuron) for source in sources[-1])
    if readout is None:
        readout = "sum" if fires and length else "mean"
    checks.require_choice("readout", readout, ("mean", "sum"), remedy="Leave it out.")
    expected, remedy = "an encoder that knows its steps, for a sum", "Pass steps= or Frames(steps)."
    require(length or readout == "mean", "encoder", expected, f"{encoder}", remedy)
    if readout == "sum":
        layers[-1].module.append(Scale(torch.tensor(float(length or 1))))

    is_chain = sources == [[i] for i in range(len(layers))]
    module = nn.Sequential(*layers) if is_chain else Graph(layers, sources)
    framed = (None, *shape) if isinstance(encoder, Frames) else shape
    network = SpikingNetwork(module, encoder, input_shape=framed)
    reading = {f"read as {like or 'nir'}": _describe(nodes, like, dt, given)}
    for reader in readers:
        if reader != like:
            reading[f"{reader} reads"] = _describe(nodes, reader, dt, {})
    network.body.reading = reading
    return network.eval()


def _build(
    nodes: list[tuple[str, Node, list[str]]], like: str | None, dt: float | None, given: Node
) -> tuple[list[Any], tuple[int, ...]]:
    """The layers after the Input, and the shape of that.

    Outputs are computed without values, to refuse a node whose shapes do not fit by its name."""
    layers = list[nn.Module]()
    values = dict[str, Tensor]()
    for name, node, sources in nodes:
        what = f"{node['type']} {name!r}"
        with refusing("graph", "nodes whose shapes fit", what):
            layer = _layer(what, node, like, dt, given)
            layers.append(layer)
            if not sources:
                shape = tuple(int(size) for size in node["shape"])
                values[name] = torch.empty(1, 1, *shape, device="meta")
                continue

            # One value of every shape stands for all: they only have to add up.
            first, *more = {values[one].shape: values[one] for one in sources}.values()
            x = sum(more, first)
            for field in _ELEMENTWISE.get(node["type"], ()):
                numbers = node[field]
                if numbers.size != 1 and numbers.shape != x.shape[2:]:
                    raise ValueError(f"{field} {[*numbers.shape]} for {[*x.shape[2:]]}")
            if isinstance(layer, TimeDistributed):
                x = deepcopy(layer).to("meta")(x)
            values[name] = x
            require_memory("graph", what, "outputs", 4 * x.numel(), remedy=WRITE_AGAIN)

    layers[-1] = TimeDistributed(*[nn.Flatten()] * (x.ndim > 3))
    return layers[1:], shape


def _layer(what: str, node: Node, like: str | None, dt: float | None, given: Node) -> nn.Module:
    """The layer of a node, on tensors [T, N, ...]."""
    kind = node["type"]
    if kind in ("Input", "Output"):
        return TimeDistributed()

    remedy = f"Supported: {', '.join(_FIELDS)}."
    require(kind in _FIELDS, "graph", "nodes that art_snn knows", what, remedy)
    for field in (*_FIELDS[kind], *["v_reset"] * ("v_reset" in node)):
        value = np.asarray(node.get(field, "nothing"))
        fits = value.dtype.kind in "fiub" and np.isfinite(value).all()
        fits = fits or (field == "padding" and str(value) in ("same", "valid"))
        expected, got = f"finite numbers as {field} of {what}", f"{value.ravel()[:4]}"
        require(fits, "graph", expected, got, WRITE_AGAIN)
        node[field] = value.astype(np.float64) if kind in _ELEMENTWISE else value

    if kind in ("IF", "LIF", "Threshold"):
        return Neuron(_dynamics(what, node, like, dt, given))
    if kind in ("I", "LI"):
        reader = "sinabs" if (kind, like) == ("LI", "sinabs") else "nir"
        settings = {"gain": 1.0, "constant": 0.0} | _settings(what, node, reader, dt)
        return Integrator(*(_setting(settings[name]) for name in ("decay", "gain", "constant")))
    if kind == "Flatten":
        # Axes are counted without that of the batch.
        ends = (int(node["start_dim"]), int(node["end_dim"]))
        return TimeDistributed(nn.Flatten(*(end + (end >= 0) for end in ends)))

    dtype = torch.get_default_dtype()
    if kind == "Scale":
        return TimeDistributed(Scale(torch.tensor(node["scale"], dtype=dtype)))

    options: Node = {}
    for field in (*_POOL, "dilation"):
        if field in _FIELDS[kind]:
            sides = np.broadcast_to(node[field].ravel(), int(kind[-2])).tolist()
            options[field] = sides[0] if isinstance(sides[0], str) else tuple(sides)
    if kind in ("SumPool2d", "AvgPool2d"):
        divisor = 1 if kind == "SumPool2d" else None
        return TimeDistributed(nn.AvgPool2d(**options, divisor_override=divisor))

    weights = {field: torch.tensor(node[field], dtype=dtype) for field in _WEIGHTS if field in node}
    outputs, inputs, *kernel = weights["weight"].shape
    shapes = {field: [*values.shape] for field, values in weights.items()}
    if shapes.get("bias", [outputs]) != [outputs]:
        raise ValueError(f"weight {shapes['weight']}, bias {shapes['bias']}")
    if options:
        options |= {"groups": int(node["groups"]), "kernel_size": tuple(kernel)}
        inputs *= options["groups"]
    # Layers on this device draw nothing.
    with torch.device("meta"):
        cls = getattr(nn, kind, nn.Linear)
        module: Any = cls(inputs, outputs, bias="bias" in weights, **options)
    module.load_state_dict(weights, assign=True)
    return TimeDistributed(module)


def _settings(what: str, node: Node, like: str, dt: float | None) -> dict[str, Any]:
    """The neurons of a node, as a reader has them; left out: a hard reset to 0, gain 1."""
    if "threshold" in node:
        return {"decay": 0.0, "threshold": node["threshold"], "strict": True}

    leaky = "tau" in node
    remedy = "Files hold none: snnTorch and SpikingJelly write 1e-4, Norse 1e-3."
    fits = dt is not None or not (leaky or like in ("nir", "spikingjelly"))
    require(fits, "dt", "the time step of the graph", dt, remedy)
    r, leak, rest = (node.get(field, 0.0) for field in ("r", "v_leak", "v_reset"))
    threshold = node.get("v_threshold", 1.0)
    tau = node.get("tau", np.ones(1))
    share = (dt or 1.0) / tau
    expected = f"at most the smallest time constant {tau.min():g}"
    fits = not leaky or 0 < share.min() <= share.max() <= 1
    require(fits, "dt", expected, f"{dt}", f"It is that of {what}.")

    decay = np.round(1 - share, 14) if leaky else 1.0
    settings = {"decay": decay, "threshold": threshold, "strict": True, "v_start": 0.0}
    whole, plain = np.allclose(r * share, 1, 1e-6), np.allclose(r, 1)
    needs = {"v_leak = 0": like in ("nir", "norse") or np.allclose(leak, 0)}
    if like == "nir":
        settings |= {"gain": np.round(r * share, 14), "constant": leak * share, "v_reset": rest}
    elif like == "norse" and leaky:
        settings |= {"gain": share, "constant": leak * share, "v_start": leak}
    elif like == "spikingjelly":
        needs = {
            "R of tau/dt or 1, of IF 1/dt": whole or (leaky and plain),
            "v_leak = v_reset": not leaky or np.allclose(leak, rest),
        }
        settings |= {"gain": 1.0 if whole else share, "constant": leak * share}
        settings |= {"strict": False, "v_reset": rest, "v_start": rest}
    elif like == "sinabs":
        settings |= {"strict": False, "reset": "soft", "max_spikes": None}
        settings |= {"decay": np.exp(-share)} if leaky else {"floor": -threshold}
    elif like == "snntorch" and leaky:
        settings["threshold"] = threshold / (r * share)
    elif like == "snntorch":
        needs["R = 1"] = plain
        settings |= {"decay": 0.9, "reset": None}

    for expected, holds in needs.items():
        got, remedy = f"another at {what}", 'like="nir" reads any.'
        require(holds, "graph", f"{expected}, as {like} needs it", got, remedy)
    return settings


def _dynamics(what: str, node: Node, like: str | None, dt: float | None, given: Node) -> Dynamics:
    """The neurons of a node as a reader has them, with the settings that are given instead."""
    settings = _settings(what, node, like or "nir", dt)
    if like is None:
        settings["reset"] = None
    settings |= given

    remedy = 'NIR cannot say which: pass like="norse" or reset=.'
    if like == "snntorch":
        remedy = 'snnTorch subtracts twice above twice the threshold: pass reset="soft".'
    reset = settings.setdefault("reset", "hard")
    require(reset is not None, "reset", '"hard" or "soft"', None, remedy)
    if reset == "soft":
        settings["v_reset"] = 0.0
    try:
        return Dynamics(**{field: _setting(value) for field, value in settings.items()})
    except ArgumentError as error:
        raise ArgumentError("graph", f"{what}, {error}") from error


def _setting(value: Any) -> Setting:
    """An array as a number where all of it is the same, else as Values; others as they are."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    if (value == value.flat[0]).all():
        value = value.flat[0]
    return setting(torch.tensor(value, dtype=torch.float64, device="cpu"))


def _describe(nodes: Any, like: str | None, dt: float | None, given: Node) -> str:
    """What a reader makes of the neurons, each once, or why it reads none."""
    neurons = ((name, node) for name, node, _ in nodes if node["type"] in ("IF", "LIF"))
    try:
        read = (f"{_dynamics(name, node, like, dt, given)}" for name, node in neurons)
        return "; ".join(dict.fromkeys(read))
    except ArgumentError as error:
        return f"nothing: {error}"


def to_nir(network: SpikingNetwork, path: str | Path, dt: float = 1.0, fold: bool = False) -> None:
    """Write a network of layers one after another as a NIR file, batch norms folded.

    A warning says what the format has no place for. Where :func:`from_nir` takes it as arguments,
    it gives the same logits, bit for bit.

    :param path: a file, which is replaced.
    :param dt: the time step: a decay d becomes the time constant dt / (1 - d).
    :param fold: multiply weights by R, and write R = 1, of IF 1 / dt: Norse ignores any other.
        A power of two, as 1 / (1 - d) of d = 0.5, rounds nothing.
    :raises ValueError: for a network without a known input_shape, and for layers and neurons that
        NIR does not have."""
    checks.require_number("dt", dt, above=0, remedy="With 1 the time constants are in steps.")
    shape: Any = (network.input_shape or (None,))[isinstance(network.encoder, Frames) :]
    expected, remedy = "one of ours whose input_shape is known", "Set network.input_shape."
    fits = type(network) is SpikingNetwork and None not in shape
    require(fits, "network", expected, f"input_shape {network.input_shape}", remedy)

    x = torch.empty(1, 1, *shape, device="meta")
    nodes: dict[str, Node] = {"input": {"type": "Input", "shape": np.array(x.shape[2:])}}
    lost = {f"the encoder {network.encoder}", "the readout", f"dt={dt:g}"}
    for name, layer in list_layers(network.layers, "layers"):
        if isinstance(layer, Neuron):
            node = _neurons(name, layer.dynamics, x.shape[2:], dt, lost)
            if fold:
                _fold(name, node, nodes, dt)
            nodes[f"{len(nodes)}"] = node
            continue
        require(type(layer) is TimeDistributed, "network", _LAYERS, f"{name} ({layer})", _HOW)
        copied: Any = deepcopy(layer).eval()
        for module, _, folded in copied._forms():
            node = _stateless(name, module, folded, x.shape[2:])
            if node:
                nodes[f"{len(nodes)}"] = node
            x = TimeDistributed(module.to(device="meta"))(x)
    nodes["output"] = {"type": "Output", "shape": np.array(x.shape[2:])}

    nir = package()
    # Where convolutions have groups, the types of nir 1.0.8 are wrong.
    graph = {"type": "NIRGraph", "nodes": nodes, "edges": [*pairwise(nodes)], "type_check": False}
    with atomic_write(path) as partial:
        nir.write(str(partial), nir.NIRGraph.from_dict(graph))
    warn(f"{path} does not hold {', '.join(sorted(lost))}", stacklevel=2)


def _fold(name: str, neurons: Node, nodes: dict[str, Node], dt: float) -> None:
    """Move the R of neurons into the last weights of the nodes before them."""
    usual = 1.0 if "tau" in neurons else 1 / dt
    factors = np.unique(neurons["r"] / usual)
    before = takewhile(lambda node: "r" not in node, reversed(nodes.values()))
    weighted: Node = next((node for node in before if "weight" in node), {})
    expected, remedy = "neurons of one R after weights, to fold it", "Write it without fold."
    require(weighted and len(factors) == 1, "network", expected, name, remedy)
    for field in _WEIGHTS:
        if field in weighted:
            weighted[field] = weighted[field] * float(factors[0])
    neurons["r"] = np.full_like(neurons["r"], usual)


def _stateless(name: str, module: Any, folded: tuple[Any, ...], shape: tuple[int, ...]) -> Node:
    """A layer as a node; nothing for one that changes nothing, and for the readout."""
    kind: Any = type(module)
    if kind in (nn.Dropout, nn.Dropout2d, nn.Identity):
        return {}
    if kind is Scale:
        scale = module.scale.cpu().numpy()
        return {"type": "Scale", "scale": scale} if scale.ndim else {}
    if kind is nn.Flatten and module.start_dim > 0:
        ends = {"start_dim": module.start_dim - 1, "end_dim": module.end_dim - (module.end_dim > 0)}
        return {"type": "Flatten", "input_type": np.array(shape), **ends}
    if kind is nn.AvgPool2d and module.divisor_override in (None, 1) and module.count_include_pad:
        sizes = {field: np.broadcast_to(getattr(module, field), 2).copy() for field in _POOL}
        size, stride, padding = sizes.values()
        left_over = (shape[-2:] + 2 * padding - size) % stride
        if not (module.ceil_mode and left_over.any()):
            return {"type": "SumPool2d" if module.divisor_override else "AvgPool2d", **sizes}

    if kind is Normalize and len(shape) == 3:
        mean, std = module.mean, module.std
        folded = torch.diag(1 / std)[..., None, None], -mean / std
        module, kind = nn.Conv2d(len(std), len(std), 1), nn.Conv2d
    is_convolution = kind in (nn.Conv1d, nn.Conv2d) and module.padding_mode == "zeros"
    require(kind is nn.Linear or is_convolution, "network", _LAYERS, f"{name} ({module})", _HOW)
    weights = zip(_WEIGHTS, folded or (module.weight, module.bias), strict=True)
    node: Node = {field: w.detach().cpu().numpy() for field, w in weights if w is not None}
    if kind is nn.Linear:
        return {"type": "Affine" if "bias" in node else "Linear", **node}

    node.setdefault("bias", np.zeros_like(node["weight"], shape=len(node["weight"])))
    for field in _CONV:
        value = getattr(module, field)
        node[field] = np.array(value) if isinstance(value, tuple) else value
    spatial = shape[1:] if kind is nn.Conv2d else shape[1]
    return {"type": kind.__name__, "input_shape": spatial, **node}


def _neurons(name: str, d: Dynamics, shape: tuple[int, ...], dt: float, lost: set[str]) -> Node:
    """Neurons as a node, and the settings that are lost."""
    fits = (
        (type(d), d.amplitude) == (Dynamics, 1) and d.reset != "none" and type(d.decay) is not tuple
    )
    fits = fits and (d.constant == 0 if d.decay == 1 else most(d.decay) < 1)
    expected = "neurons of one decay, with a reset, spikes of height 1 and, of IF, no constant"
    require(fits, "network", expected, f"{name} with {d}", "Fold a constant into a bias.")
    usual = {
        "reset": "hard",
        "strict": True,
        "v_start": 0,
        "reset_by": None,
        "max_spikes": 1,
        "floor": None,
    }
    lost |= {f"{k}={getattr(d, k)!r}" for k, v in usual.items() if getattr(d, k) != v}

    leaky = d.decay != 1
    leak = 1 - d.decay if leaky else dt
    values = {"v_threshold": d.threshold, "v_reset": d.v_reset, "r": d.gain / leak}
    if leaky:
        values |= {"tau": dt / leak, "v_leak": d.constant / leak}
    arrays = {}
    for field, value in values.items():
        numbers = value.numbers.numpy() if isinstance(value, Values) else value
        arrays[field] = np.broadcast_to(np.float64(numbers), shape).copy()
    return {"type": "LIF" if leaky else "IF", **arrays}
