"""What the layers of any network put out in a pass, with the time axis first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require
from art_snn.gradients import Native, Site
from art_snn.interop import AdaptedNetwork
from art_snn.interop.members import to_steps
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron
from art_snn.passes import watched


@dataclass(frozen=True)
class NeuronLayer:
    """A layer of neurons of a network.

    :param name: as `network.layer_names` has it.
    :param layout: what its calls take: "steps" [T, N, ...], "step" one of them [N, ...], ...
    :param site: with the name that complaints use."""

    name: str
    module: nn.Module
    layout: str
    site: Site


def neuron_layers(network: SpikingNetwork) -> list[NeuronLayer]:
    """Every layer of neurons, in order of definition."""
    if isinstance(network, AdaptedNetwork):
        members = [member for member in network.members().values() if member.fires]
        names = [f"layers.{m.name}".removesuffix(".") for m in members]
        return [
            NeuronLayer(name, m.module, m.layout, m.site)
            for name, m in zip(names, members, strict=True)
        ]
    modules = network.named_modules()
    neurons = [(name, module) for name, module in modules if isinstance(module, Neuron)]
    return [NeuronLayer(name, m, "steps", Site(name, m.dynamics)) for name, m in neurons]


Call = tuple[Any, Any]
"""What a layer was given, and what it returned."""


@contextmanager
def calls_of(module: nn.Module) -> Iterator[list[Call]]:
    """The calls of a layer that this thread or task makes within the block."""
    calls: list[Call] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.append((inputs[0] if inputs else None, output))

    with watched(module, keep):
        yield calls


def stepwise(network: SpikingNetwork) -> bool:
    """Whether a pass calls layers once for every time step."""
    return isinstance(network, AdaptedNetwork) and network.steps_alone


def in_time(layer: NeuronLayer, calls: Sequence[Call], steps: int | None) -> tuple[Tensor, Tensor]:
    """Currents and spikes [T, N, ...] of a layer of neurons in one pass.

    :param calls: of that pass, at least one.
    :param steps: time steps T, where the network tells them."""
    pairs = [(x, spikes[0] if isinstance(spikes, tuple) else spikes) for x, spikes in calls]
    if layer.layout == "step":
        currents, spikes = zip(*pairs, strict=True)
        return torch.stack(currents), torch.stack(spikes)
    # A layer that is called several times is known by its first call.
    x, y = (to_steps(part, layer.layout, layer.module, steps) for part in pairs[0])  # type: ignore[arg-type]
    return x, y


def mean_output(
    network: AdaptedNetwork, name: str, outputs: Sequence[Any], samples: int, steps: int | None
) -> Tensor:
    """Output [N, ...] of a layer of an adapted network, averaged over the time of one pass.

    :param name: of the layer.
    :param outputs: of its calls in that pass, or in several; the last pass counts.
    :param samples: N.
    :param steps: time steps T, where they are known.
    :raises ValueError: when the output has neither T nor N where they can be told."""
    found = [output[0] if isinstance(output, tuple) else output for output in outputs]
    if not all(isinstance(output, Tensor) and output.ndim for output in found):
        remedy = "Choose one inside or around it."
        raise invalid("layer", "a layer that returns tensors", repr(name), remedy)
    if stepwise(network):
        if all(len(output) == samples for output in found):
            return torch.stack(found).mean(0)
    else:
        several = steps is not None and len(found) == steps > 1
        if several and all(len(output) == samples for output in found):
            return torch.stack(found).mean(0)
        first = any(m.layout.startswith("samples") for m in network.members().values())
        mean = _mean_of(found[-1], samples, steps, samples_first=first)
        if mean is not None:
            return mean
    got = f"{name!r}, whose output {list(found[-1].shape)} has another batch axis"
    remedy = "Choose a layer inside or around it."
    raise invalid("layer", f"a layer whose output is [T, {samples}, ...]", got, remedy)


def _mean_of(
    output: Tensor, samples: int, steps: int | None, *, samples_first: bool
) -> Tensor | None:
    """Mean over time [N, ...] of an output that has all steps, or none; None where none fits.

    In a replay one step stands for all of them."""
    for length in dict.fromkeys((steps, 1)):
        if length is None:
            continue
        shape = (samples, length) if samples_first else (length, samples)
        if tuple(output.shape[:2]) == shape:
            return output.mean(1 if samples_first else 0)
        if length > 1 and len(output) == length * samples:
            return output.reshape(*shape, *output.shape[1:]).mean(1 if samples_first else 0)
    return output if len(output) == samples else None


def steps_of(network: SpikingNetwork, calls: Sequence[Call], layer: NeuronLayer) -> int | None:
    """Time steps T of the last pass of an adapted network, None where they are not known.

    :param calls: of a layer of neurons in that pass."""
    if not isinstance(network, AdaptedNetwork):
        return None
    if not network.makes_own_time:
        return network.length
    if network.own_steps is not None or layer.layout in ("step", "merged"):
        return network.own_steps
    return len(in_time(layer, calls[-1:], None)[0]) if calls else None


def averages(network: SpikingNetwork, name: str, batches: Sequence[Tensor]) -> list[Tensor]:
    """Outputs of a layer, averaged over time [n, ...], of every batch, in a graph where one is on.

    :param name: in `network.layer_names`.
    :raises ValueError: for a layer whose output has no such average."""
    if isinstance(network, AdaptedNetwork):
        return _adapted_averages(network, name, batches)
    return _averages(network, name, batches)


def _averages(network: SpikingNetwork, name: str, batches: Sequence[Tensor]) -> list[Tensor]:
    outputs: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        outputs.append(output.mean(0))

    with watched(network.get_submodule(name), keep):
        kept = []
        for batch in batches:
            outputs.clear()
            network(batch)
            # The last call carries the graph: record, then replay.
            kept.append(_of_batch(outputs[-1], len(batch), name))
    return kept


def _of_batch(activation: Tensor, samples: int, name: str) -> Tensor:
    if activation.ndim > 0 and len(activation) == samples:
        return activation
    got = f"{name!r}, whose output has another batch axis"
    remedy = "Choose the TimeDistributed or the neuron around it."
    raise invalid("layer", f"a layer whose output is [T, {samples}, ...]", got, remedy)


def _adapted_averages(
    network: AdaptedNetwork, name: str, batches: Sequence[Tensor]
) -> list[Tensor]:
    neurons, by_steps = neuron_layers(network)[0], stepwise(network)
    graph = torch.is_grad_enabled()
    remedy = 'Set gradient="native", or take the activations without a graph.'
    fits = isinstance(network.rule, Native) or not (graph and by_steps)
    expected = "an x without a graph, since the model calls its neurons step by step"
    require(fits, "x", expected, "one that requires a gradient", remedy)
    with calls_of(network.get_submodule(name)) as calls, calls_of(neurons.module) as clock:
        kept = []
        for batch in batches:
            # The first pass with a graph verifies the model, by passes of its own.
            for _ in range(2 if graph and by_steps else 1):
                calls.clear()
                clock.clear()
                network(batch)
            got, expected = f"{name!r}, which was not called", "a layer that the model calls"
            require(calls, "layer", expected, got, "Choose another layer.")
            outputs = [output for _, output in calls]
            steps = steps_of(network, clock, neurons)
            kept.append(mean_output(network, name, outputs, len(batch), steps))
    return kept
