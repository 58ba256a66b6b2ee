"""Outputs of a layer of a network, averaged over time."""

from collections.abc import Sequence

from torch import Tensor

from art_snn.checks import require
from art_snn.network import SpikingNetwork
from art_snn.running.context import hook_here


def average_layer(
    network: SpikingNetwork, name: str, batches: Sequence[Tensor]
) -> list[Tensor]:
    """Outputs [n, ...] of a layer for every batch, averaged over time, with a graph if on.

    :param name: in `layer_names` of the network's body.
    :raises ValueError: for a layer whose output has no such average."""
    body = network.body
    layouts = {layer.layout for layer in body.neuron_layers()}
    require(
        not body.loops_itself and layouts <= {"steps"},
        "layer",
        "a model whose layers all take [T, N, ...]",
        f"one whose neurons take {', '.join(sorted(layouts))}, or with its own time steps",
        "Record it by a forward hook of torch.",
    )

    averages = []
    outputs = []
    layer = network.get_submodule(name)
    with hook_here(layer, lambda _, __, output: outputs.append(output)):
        for batch in batches:
            outputs.clear()
            network(batch)
            shapes = [tuple(getattr(output, "shape", ())) for output in outputs]
            merged = (body.steps or 0) * len(batch)
            whole = len(batch) < 2 or (merged,) not in [shape[:1] for shape in shapes]
            require(
                shapes and shapes[-1][1:2] == (len(batch),) and whole,
                "layer",
                f"a layer whose output is [T, {len(batch)}, ...]",
                f"{name!r}, whose output is another",
                "Choose a layer inside or around it.",
            )
            # The last call carries the graph: record, then replay.
            averages.append(outputs[-1].mean(0))
    return averages
