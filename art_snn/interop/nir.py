"""Networks of our layers from NIR files, as one of the readers of such files reads them.

A file (Pedersen et al., Nature Communications, 2024) has equations, and no time step, no
kind of reset and no start. Each reader fills these in by itself, so one file is several
networks."""

import math
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import (
    ArgumentError,
    refusing,
    require,
    require_choice,
    require_memory,
    require_number,
)
from art_snn.dynamics import Dynamics, Setting, operand, setting
from art_snn.encoders import Direct, Encoder, Frames
from art_snn.gradients.synapse import filter_current
from art_snn.interop.nir_files import WRITE_AGAIN, Node, Nodes, order_nodes, read_graph
from art_snn.layers import Scale, TimeDistributed
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron

Reader = Literal["nir", "norse", "rockpool", "sinabs", "spikingjelly", "snntorch"]
READERS = get_args(Reader)

ELEMENTWISE: dict[str, tuple[str, ...]] = {
    "IF": ("r", "v_threshold"),
    "LIF": ("r", "v_threshold", "tau", "v_leak"),
    "I": ("r",),
    "Threshold": ("threshold",),
    "LI": ("r", "tau", "v_leak"),
    "CubaLIF": ("r", "v_threshold", "tau_mem", "v_leak", "tau_syn", "w_in"),
    "CubaLI": ("r", "tau_mem", "v_leak", "tau_syn", "w_in"),
    "Scale": ("scale",),
}
"""The nodes whose parameters have one number for every value."""

_TIME_CONSTANTS = ("tau", "tau_mem", "tau_syn")
_CONVOLUTION = ("weight", "bias", "stride", "padding", "dilation", "groups")
_COUNTING = {"strict": False, "reset": "soft", "max_spikes": None}
"""Settings of neurons that fire as often as the threshold fits into the potential."""
WINDOW = ("kernel_size", "stride", "padding")
FIELDS = {
    **ELEMENTWISE,
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Flatten": ("start_dim", "end_dim"),
    "Conv1d": _CONVOLUTION,
    "Conv2d": _CONVOLUTION,
    "SumPool2d": WINDOW,
    "AvgPool2d": WINDOW,
}
"""The nodes that are known, and the parameters that they need."""


class Reading:
    """The neurons of a file as one reader reads them.

    :param like: the reader; None stands for NIR's text, with a reset that is given.
    :param dt: the time step, in the unit of the time constants.
    :param lag: that of neurons with a synapse, which readers have as 0.
    :param given: settings of Dynamics instead of the reader's own; None leaves the
        reader's."""

    def __init__(
        self, like: str | None, dt: float | None, lag: Any = 0, **given: Any
    ) -> None:
        remedy = "None is NIR's text, with the reset given."
        require_choice("like", "nir" if like is None else like, READERS, remedy=remedy)
        if dt is not None:
            require_number(
                "dt", dt, above=0, remedy="snnTorch and SpikingJelly have 1e-4."
            )

        self.like = like
        self.dt = dt
        self.lag = lag
        self.given: dict[str, Any] = {}
        unlimited = {"max_spikes": math.inf, "floor": -math.inf}
        for name, value in given.items():
            if value is not None:
                self.given[name] = None if value == unlimited.get(name) else value

    def read_neurons(self, what: str, node: Node) -> Dynamics:
        """The dynamics of an IF, LIF, CubaLIF or Threshold node.

        :param what: the kind and the name of the node, for errors."""
        usual = {"reset": None if self.like is None else "hard"}
        settings = usual | self._read(what, node, self.like or "nir") | self.given

        remedy = 'NIR cannot say which: pass like="norse" or reset=.'
        if self.like == "snntorch":
            remedy = (
                'snnTorch subtracts twice above twice the threshold: pass reset="soft".'
            )
        require(settings["reset"] is not None, "reset", '"hard" or "soft"', None, remedy)
        if settings["reset"] == "soft":
            settings["v_reset"] = 0.0
        try:
            return Dynamics(
                **{name: _as_setting(value) for name, value in settings.items()}
            )
        except ArgumentError as error:
            raise ArgumentError("graph", f"{what}, {error}") from error

    def read_integrator(self, what: str, node: Node) -> "Integrator":
        """An I, LI or CubaLI node, of which sinabs alone reads LI in its own way."""
        like = "sinabs" if node["type"] == "LI" and self.like == "sinabs" else "nir"
        settings = self._read(what, node, like)
        synapse = Dynamics()
        if "tau_syn" in node:
            synapse = Dynamics(synapse=_as_setting(settings["synapse"]), lag=self.lag)
        names = ("decay", "gain", "constant")
        return Integrator(synapse, *(_as_setting(settings[name]) for name in names))

    def describe(self, nodes: Nodes) -> str:
        """The neurons of all nodes in words, equal ones once; or why the reader refuses them."""
        try:
            words = [
                str(self.read_neurons(name, node))
                for name, node, _ in nodes
                if "v_threshold" in node
            ]
        except ArgumentError as error:
            return f"nothing: {error}"
        return "; ".join(dict.fromkeys(words))

    def _read(self, what: str, node: Node, like: str) -> dict[str, Any]:
        """The settings of Dynamics that a node has for a reader; ValueError if it reads none."""
        if "threshold" in node:
            return {"decay": 0.0, "threshold": node["threshold"], "strict": True}

        dt = self._find_time_step(what, node, like)
        node = _discretise(node, dt)
        _check_readable(what, like, node, dt)
        return _usual_settings(node, self.lag) | _fill_in(like, node)

    def _find_time_step(self, what: str, node: Node, like: str) -> float:
        """The time step of a node for a reader, or 1 where it does not matter.

        :raises ValueError: where none is given, and where it exceeds a time constant."""
        dt = self.dt
        taus = [node[name].min() for name in _TIME_CONSTANTS if name in node]
        if like == "rockpool" and "tau_syn" in node:
            # The dt with which Rockpool would have written this R.
            dt = (node["tau_mem"] / (1 + node["r"])).min()

        require(
            dt or not (taus or like in ("nir", "spikingjelly")),
            "dt",
            "the time step of the graph",
            dt,
            "Files hold none: snnTorch and SpikingJelly write 1e-4, Norse 1e-3.",
        )
        dt = dt or 1.0
        shortest = min(taus, default=dt)
        require(
            dt <= shortest,
            "dt",
            f"at most the smallest time constant {shortest:g}",
            f"{dt}",
            f"It is that of {what}.",
        )
        return dt


def _discretise(node: Node, dt: float) -> Node:
    """A neuron in steps of dt, with numbers for what its node may lack.

    `share` is dt / tau of a neuron that leaks, dt of another one. `synapse_share` is dt /
    tau_syn. `jump` is what x adds to the current of a synapse, `gain` what it adds to u."""
    node = Node(v_leak=0.0, v_reset=0.0, v_threshold=1.0, jump=1.0) | node
    if "tau_syn" in node:
        node["tau"] = node["tau_mem"]
        node["synapse_share"] = dt / node["tau_syn"]
        node["jump"] = node["w_in"] * node["synapse_share"]
    node["share"] = dt / node.get("tau", np.ones(1))
    node["gain"] = np.round(node["jump"] * node["r"] * node["share"], 14)
    return node


def _usual_settings(node: Node, lag: Any) -> dict[str, Any]:
    """The settings that most readers have: u = (1 - dt/tau) v + x, a spike above the threshold,
    a hard reset to 0.

    A synapse has i = (1 - dt/tau_syn) i + x, which takes the place of x."""
    settings: Node = {
        "decay": np.round(1 - node["share"], 14) if "tau" in node else 1.0,
        "threshold": node["v_threshold"],
        "strict": True,
        "gain": 1.0,
        "constant": 0.0,
        "v_start": 0.0,
    }
    if "tau_syn" in node:
        settings["synapse"] = np.round(1 - node["synapse_share"], 14)
        settings["lag"] = lag
    return settings


def _check_readable(what: str, like: str, node: Node, dt: float) -> None:
    """Refuse, by a ValueError, a discretised node that the reader cannot read."""
    leaky = "tau" in node
    synaptic = "tau_syn" in node
    whole = node["r"] * node["share"]

    def need(expected: str, holds: bool, got: str = "another") -> None:
        require(
            holds,
            "graph",
            f"{expected}, as {like} needs it",
            f"{got} at {what}",
            'like="nir" reads any.',
        )

    def need_ones(expected: str, values: ndarray, tolerance: float = 1e-5) -> None:
        """Refuse values other than 1, which another dt would make 1."""
        farthest = values.flat[np.abs(values - 1).argmax()]
        with np.errstate(divide="ignore"):
            of_file = f"that of dt = {dt / farthest:g}, where {dt:g} is given,"
        need(expected, np.allclose(values, 1, tolerance), of_file)

    if like in ("sinabs", "snntorch", "spikingjelly" if synaptic else None):
        need("v_leak = 0", np.allclose(node["v_leak"], 0))
    is_plain = np.allclose(node["r"], 1)
    match like:
        case "spikingjelly" if synaptic:
            need_ones("R of tau_mem/dt", whole, 1e-6)
            need_ones("w_in of tau_syn/dt", node["jump"], 1e-6)
        case "spikingjelly":
            if not (leaky and is_plain):
                need_ones("R of tau/dt or 1, of IF 1/dt", whole, 1e-6)
            rests = np.allclose(node["v_leak"], node["v_reset"])
            need("v_leak = v_reset", not leaky or rests)
        case "rockpool":
            need("CubaLIF nodes alone", synaptic)
        case "sinabs":
            need("neurons without a synapse", not synaptic)
        case "snntorch" if synaptic:
            need_ones("R of tau_mem/dt", whole)
        case "snntorch" if not leaky:
            need("R = 1", is_plain)


def _fill_in(like: str, node: Node) -> dict[str, Any]:
    """The settings that a discretised node has for a reader, where they are not the usual ones."""
    leaky = "tau" in node
    synaptic = "tau_syn" in node
    leak = node["v_leak"]
    share = node["share"]
    constant = leak * share
    whole = node["r"] * share
    match like:
        case "nir":
            v_reset = node["v_reset"]
            return {"gain": node["gain"], "constant": constant, "v_reset": v_reset}
        case "norse" if synaptic:
            # The current too leaks towards v_leak, and starts there.
            constant = leak * (1 + node["r"]) * share
            return {"gain": node["gain"], "constant": constant, "v_start": leak}
        case "norse" if leaky:
            return {"gain": share, "constant": constant, "v_start": leak}
        case "spikingjelly":
            return {
                "gain": 1.0 if np.allclose(whole, 1, 1e-6) else share,
                "constant": constant,
                "strict": False,
                "v_reset": node["v_reset"],
                "v_start": node["v_reset"],
            }
        case "rockpool":
            decay = np.exp(-node["synapse_share"])
            gains = {"synapse": decay, "gain": decay, "constant": leak}
            return _COUNTING | gains | {"decay": np.exp(-share)}
        case "sinabs" if leaky:
            return _COUNTING | {"decay": np.exp(-share)}
        case "sinabs":
            return _COUNTING | {"floor": -node["v_threshold"]}
        case "snntorch" if synaptic:
            return {"threshold": node["v_threshold"] / node["jump"]}
        case "snntorch" if leaky:
            return {"threshold": node["v_threshold"] / whole}
        case "snntorch":
            return {"decay": 0.9, "reset": None}
    return {}


def _as_setting(value: Any) -> Setting:
    """An array as a number where all of it is the same, otherwise as Values."""
    if not isinstance(value, ndarray | np.generic):
        return value
    if (value == value.flat[0]).all():
        value = value.flat[0]
    return setting(torch.tensor(value, dtype=torch.float64, device="cpu"))


class Integrator(Module):
    """v[t] = decay v[t-1] + gain x[t] + constant from v = 0: potentials that are read.

    :param synapse: dynamics whose synapse filters the currents x."""

    def __init__(
        self, synapse: Dynamics, decay: Setting, gain: Setting, constant: Setting
    ) -> None:
        super().__init__()
        self.settings = (decay, gain, constant)
        self.synapse = synapse

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T, N, ...] -> potentials [T, N, ...]."""
        if self.synapse.has_synapse:
            x = filter_current(x, self.synapse)
        decay, gain, constant = (operand(value, x) for value in self.settings)
        first, *others = (x * gain + constant).unbind()

        potentials = [first]
        for current in others:
            potentials.append(current + potentials[-1] * decay)
        return torch.stack(potentials)


class Graph(Module):
    """Layers on tensors [T, N, ...], each of which takes the sum of outputs of earlier layers.

    :param sources: for every layer the numbers of those outputs. Number 0 is the input,
        and the output of the first layer is number 1."""

    def __init__(self, layers: Iterable[Module], sources: list[list[int]]) -> None:
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
    lag: Literal[0, 1] = 0,
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
    :param lag: that of neurons with a synapse: 0 in all readers, 1 in the reference of NIR's paper.
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
    reading = Reading(
        like,
        dt,
        lag,
        reset=reset,
        strict=strict,
        max_spikes=max_spikes,
        floor=floor,
        v_start=v_start,
    )
    remedy = "The encoder has the steps: leave steps out."
    require(None in (steps, encoder), "steps", "None with an encoder", steps, remedy)
    if encoder is None:
        encoder = Frames() if steps is None else Direct(steps)

    layers, shape = _build_layers(nodes, reading)
    module = _connect(nodes, layers, encoder, readout)
    input_shape = (None, *shape) if isinstance(encoder, Frames) else shape
    network = SpikingNetwork(module, encoder, input_shape=input_shape)
    notes = {f"read as {like or 'nir'}": reading.describe(nodes)}
    for one in READERS:
        if one != like:
            notes[f"{one} reads"] = Reading(one, dt).describe(nodes)
    network.body.reading = notes
    return network.eval()


def _build_layers(nodes: Nodes, reading: Reading) -> tuple[list[Any], tuple[int, ...]]:
    """The layers after the Input, and the shape of a value of the Input.

    Outputs are computed without values, so that a node whose shapes do not fit is refused
    by its name."""
    layers = list[Module]()
    values = list[Tensor]()
    for name, node, sources in nodes:
        what = f"{node['type']} {name!r}"
        with refusing("graph", "nodes whose shapes fit", what, WRITE_AGAIN):
            layer = _build_layer(what, node, reading)
            layers.append(layer)
            if not sources:
                shape = tuple(int(size) for size in node["shape"])
                values.append(torch.empty(1, 1, *shape, device="meta"))
                continue

            x: Any = sum(values[source] for source in sources)
            for field in ELEMENTWISE.get(node["type"], ()):
                numbers = node[field]
                if numbers.size != 1 and numbers.shape != x.shape[2:]:
                    raise ValueError(f"{field} {[*numbers.shape]} for {[*x.shape[2:]]}")
            if isinstance(layer, TimeDistributed):
                x = deepcopy(layer).to("meta")(x)
            values.append(x)
            require_memory("graph", what, "outputs", 4 * x.numel(), remedy=WRITE_AGAIN)

    if x.ndim > 3:
        layers[-1] = TimeDistributed(nn.Flatten())
    return layers[1:], shape


def _connect(
    nodes: Nodes, layers: list[Any], encoder: Encoder, readout: str | None
) -> Module:
    """The layers as one module, whose last layer has the factor of a sum over time."""
    sources = [before for _, _, before in nodes[1:]]
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


def _build_layer(what: str, node: Node, reading: Reading) -> Module:
    """The layer of a node, on tensors [T, N, ...]."""
    kind = node["type"]
    if kind in ("Input", "Output"):
        return TimeDistributed()

    _check_node(what, node)
    match kind:
        case "IF" | "LIF" | "CubaLIF" | "Threshold":
            return Neuron(reading.read_neurons(what, node))
        case "I" | "LI" | "CubaLI":
            return reading.read_integrator(what, node)
        case "Flatten":
            # NIR counts axes without that of the batch.
            ends = (int(node["start_dim"]), int(node["end_dim"]))
            module: Module = nn.Flatten(*(end + (end >= 0) for end in ends))
        case "Scale":
            module = Scale(_as_tensor(node["scale"]))
        case "SumPool2d" | "AvgPool2d":
            divisor = 1 if kind == "SumPool2d" else None
            window = _read_sides(node, WINDOW, 2)
            module = nn.AvgPool2d(**window, divisor_override=divisor)
        case _:
            module = _build_weighted(node)
    return TimeDistributed(module)


def _check_node(what: str, node: Node) -> None:
    """Refuse unknown nodes, and parameters that are missing or not finite.

    Parameters of elements become float64."""
    kind = node["type"]
    require(
        kind in FIELDS,
        "graph",
        "nodes that art_snn knows",
        what,
        f"Supported: {', '.join(FIELDS)}.",
    )
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


def _build_weighted(node: Node) -> Module:
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
        module: Module = nn.Linear(inputs, outputs, has_bias)
        if kernel:
            options = _read_sides(node, ("stride", "padding", "dilation"), len(kernel))
            options["groups"] = groups = int(node["groups"])
            convolution = getattr(nn, node["type"])
            module = convolution(inputs * groups, outputs, kernel, **options)
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


def _as_tensor(values: ndarray) -> Tensor:
    """Values in torch's default precision, on its default device."""
    return torch.tensor(values, dtype=torch.get_default_dtype())
