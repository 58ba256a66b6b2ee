"""Synaptic operations: what a sample costs on a chip that computes where there are spikes.

A spike costs one accumulate at each non-zero synapse that leaves its neuron. In a
convolution, neurons at borders have fewer synapses. Chips fold batch norm into the
weights next to it; pooling hands every spike on to all windows around it. If the input is
not spikes, each of its synapses costs a multiply-accumulate: at every step, or once if
all steps are the same."""

from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import Module
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from art_snn.checks import require, require_count
from art_snn.classifier.inputs import as_array, as_tensor, check_samples, require_network
from art_snn.engine.kinds import LAYER_KINDS
from art_snn.gradients.base import Firing, NeuronRef, simulation
from art_snn.gradients.rate import probe
from art_snn.gradients.shared import repeats_one_step
from art_snn.hooks import require_composed
from art_snn.layers import Normalize, copy_module, device_of
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron
from art_snn.running.context import keep_modes

_KEPT = (
    *(kind for kind, row in LAYER_KINDS.items() if row.passes or row.reshapes),
    nn.Sequential,
    Neuron,
)
"""Layers that change no value while synapses are counted, and neurons."""
ACCUMULATE = 0.9
"""Energy in pJ of an addition of 32 bits at 45 nm (Horowitz 2014)."""
MULTIPLY = 4.6
"""Energy in pJ of an addition with a multiplication."""
_ROUNDING = 1e-3
"""Counts that are further from a whole number are not counts."""

Synapses = list[tuple[str, Tensor]]
"""Names of the input and of the layers of neurons, each with the number of synapses that
leave every value [...] of a step of the input, or every neuron of the layer."""


def synaptic_operations(
    classifier: PyTorchClassifier, x: ndarray, batch_size: int = 32
) -> NDArray[np.float64]:
    """Synaptic operations of samples: accumulates, and multiply-accumulates of a dense input.

    :param classifier: around a :class:`~art_snn.SpikingNetwork` whose neurons take all
        time steps in one call, of convolutions, linear layers, batch norms, pooling of
        planes and sums.
    :param x: samples ``(N, *input_shape)``.
    :return: float (N,).
    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: for preprocessing, layers whose synapses cannot be counted, two
        layers of weights without neurons in between, or a bad setting."""
    return count_operations(classifier, x, batch_size)[:, :, 1].sum(1)  # type: ignore[no-any-return]  # numpy gives Any.


def count_operations(
    classifier: PyTorchClassifier, x: ndarray, batch_size: int = 32
) -> NDArray[np.float64]:
    """Spikes and operations of every layer (N, L, 2), in the order of :func:`count_synapses`.

    An input that is dense has no spikes."""
    network = require_network("classifier", classifier, "Put it into the network.")

    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    samples = as_tensor(check_samples(x, classifier.input_shape))

    synapses = count_synapses(network, classifier.input_shape)
    pairs = []
    """Spikes and operations [2, N] of the input and of every layer of neurons, for one batch."""

    def run(network: SpikingNetwork, x: Tensor) -> Tensor:
        """Start with the pair of the input, then let neurons fire."""
        encoded = network.body.encode(x)
        _, leaving = synapses[0]
        operations, dense = input_operations(encoded, leaving)
        events = encoded.flatten(2).sum((0, 2), dtype=torch.float64)
        pairs.append(torch.stack([events.where(~dense, 0.0), operations]))
        return network.body.run(encoded, fire)

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        """Add the pair of the next layer of neurons."""
        spikes = simulation(site, current)

        totals = spikes.sum(0, dtype=torch.float64)

        _, leaving = synapses[len(pairs)]
        operations = count_accumulates(totals, leaving)
        pairs.append(torch.stack([totals.flatten(1).sum(1), operations]))
        return spikes

    counted = []
    with keep_modes(network, False), torch.no_grad(), network.body.changed(forward=run):
        for batch in torch.split(samples, size):
            # The next batch begins with its input.
            pairs.clear()
            network(batch.to(device_of(network)))
            # [L, 2, N] -> [N, L, 2].
            counted.append(as_array(torch.stack(pairs).permute(2, 0, 1)))
    return np.concatenate(counted)


def count_accumulates(totals: Tensor, leaving: Tensor) -> Tensor:
    """Operations [N] of spikes of neurons.

    :param totals: how many spikes every neuron has [N, ...].
    :param leaving: how many synapses leave every neuron [...]."""
    return (totals * leaving).flatten(1).sum(1, dtype=torch.float64)


def input_operations(encoded: Tensor, leaving: Tensor) -> tuple[Tensor, Tensor]:
    """Operations [N] of the encoded input [T, N, ...], and which samples are dense, bool [N].

    A sample is dense unless all its values are whole numbers from 0, and always if the
    encoder repeats one step, as direct encoding does. It is multiplied at every step, or
    else once.

    :param leaving: how many synapses leave every value of a step [...]."""
    synapses = leaving.sum(dtype=torch.float64)
    if repeats_one_step(encoded):
        operations = synapses.expand(encoded.shape[1])
        return operations, torch.ones_like(operations, dtype=torch.bool)

    is_whole = (encoded >= 0) & (encoded == encoded.round())
    dense = ~is_whole.flatten(2).all(2).all(0)
    accumulates = count_accumulates(encoded.sum(0, dtype=torch.float64), leaving)
    return torch.where(dense, synapses * len(encoded), accumulates), dense


def add_operations(network: SpikingNetwork, synapses: Synapses) -> SpikingNetwork:
    """The network with a further logit, the operations of a sample per step.

    The rule of the network differentiates this logit, too."""
    twin = network.with_gradient(network.rule)
    run = twin.body.run

    # All neurons fire by the rule, and are counted on the way.
    def run_and_count(encoded: Tensor, firing: Firing) -> Tensor:
        layers = iter(leaving for _, leaving in synapses)
        operations, _ = input_operations(encoded, next(layers))
        totals = [operations / len(encoded)]

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            spikes = firing(site, current)
            totals.append(count_accumulates(spikes.sum(0), next(layers)) / len(spikes))
            return spikes

        logits = run(encoded, fire)
        return torch.cat([logits, torch.stack(totals).sum(0)[:, None]], 1)

    # The twin has its own method; modules are shared.
    vars(twin.body)["run"] = run_and_count
    return twin


def count_synapses(network: SpikingNetwork, shape: tuple[int, ...]) -> Synapses:
    """The non-zero synapses of a network for samples of a shape.

    A copy of the layers has weights of 0 and 1. There the synapses of a neuron are the
    gradient of all currents by its spikes.

    :raises ValueError: as :func:`synaptic_operations`."""
    require_composed(network, "classifier")

    _require_no(network.body.bounds_objection())
    with torch.inference_mode(False), torch.enable_grad():
        counting = _replace_weights(copy_module("classifier", network).eval()).float()

        sample = torch.zeros(1, *shape, device=device_of(network))
        encoded = torch.zeros_like(counting.body.encode(sample)[:1].detach()).contiguous()
        _require_no(probe(counting.body, encoded))
        _refuse_composed_weights(counting.layers)

        names = ["input"]
        leaves = [encoded.requires_grad_()]
        currents = []

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            names.append(site.name)
            currents.append(current)
            leaves.append(torch.zeros_like(current).requires_grad_())
            return leaves[-1]

        logits = counting.body.run(encoded, fire)

        # An input that no weight meets is not multiplied: its currents are 0, without a
        # bias.
        met = [(part * (part.detach() != 0)).sum() for part in (logits, *currents)]
        first = torch.autograd.grad(
            torch.stack(met).sum(), leaves[:1], retain_graph=True, materialize_grads=True
        )

        totals = torch.stack([met[0], *(current.sum() for current in currents)])
        others = torch.autograd.grad(totals.sum(), leaves[1:], materialize_grads=True)

    synapses = []
    for name, gradient in zip(names, (*first, *others), strict=True):
        leaving = gradient[0, 0].round()
        if not (gradient[0, 0] - leaving).abs().amax() < _ROUNDING:
            _require_no("functions that scale values, or windows that overlap")
        synapses.append((name, leaving))

    return synapses


def _require_no(objection: str | None) -> None:
    """Refuse a network of which something speaks against counting, in words."""
    require(
        objection is None,
        "classifier",
        "layers whose synapses can be counted",
        objection,
        "docs/energy.md lists them.",
    )


def _refuse_composed_weights(layers: Module) -> None:
    """Refuse, in the next pass, an input of weights that has met other weights.

    Spikes are 0 in that pass and biases are 1, so that the bias marks such an input."""
    for name, module in layers.named_modules():
        if not isinstance(module, nn.Linear | _ConvNd):
            continue

        def refuse(_: Module, inputs: Any, name: str = name) -> None:
            if inputs[0].any():
                _require_no(f"{name} after other weights, without neurons in between")

        module.register_forward_pre_hook(refuse)


@torch.no_grad()
def _replace_weights(network: SpikingNetwork) -> SpikingNetwork:
    """The network with weights of 0 and 1, biases of 1, and sums instead of pooling."""
    # Neurons of other frameworks may have parts.
    members = getattr(network.body, "members", {}).values()
    neurons = tuple(f"{member.name}." for member in members)

    for name, module in [*network.layers.named_modules()]:
        pool = _replace_pooling(name, module)
        if pool is not None:
            parent, _, place = name.rpartition(".")
            setattr(network.layers.get_submodule(parent), place, pool)
        elif isinstance(module, nn.Linear | _ConvNd):
            module.weight.copy_(module.weight != 0)

            convolves = isinstance(module, _ConvNd)
            size: Any = module.out_channels if convolves else module.out_features
            module.bias = nn.Parameter(module.weight.new_ones(size))
        elif isinstance(module, _NormBase) and module.running_var is not None:
            norm: Any = module
            # It passes values on as they are, or none where its weight is 0.
            norm.running_mean.zero_()
            norm.running_var.fill_(1)
            norm.eps = 0.0
            # The bias of the weights before it stays as it is.
            norm.bias = None
            if norm.weight is not None:
                norm.weight.copy_(norm.weight != 0)
        elif isinstance(module, Normalize):
            module.mean.zero_()
            module.std.fill_(1)
        else:
            is_known = isinstance(module, _KEPT) or any(module.children())
            is_neuron = f"{name}.".startswith(neurons)
            if module._parameters or not (is_known or is_neuron):
                _require_no(f"{name} ({type(module).__name__})")
    return network


def _replace_pooling(name: str, module: Module) -> Module | None:
    """Sums over the windows of a pooling; None for any other layer."""
    if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
        if getattr(module, "dilation", 1) not in (1, (1, 1)):
            _require_no(f"{name}, with gaps")
        return nn.AvgPool2d(
            module.kernel_size,
            module.stride,
            module.padding,
            module.ceil_mode,
            divisor_override=1,
        )

    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        # A sum is the mean times the size of a window.
        pool = nn.AdaptiveAvgPool2d(module.output_size)
        pool.register_forward_hook(lambda _, x, y: y * (x[0][0].numel() / y[0].numel()))
        return pool
    return None
