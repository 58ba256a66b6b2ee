"""Synaptic operations: what a sample costs on a chip that computes where there are spikes.

A spike costs one accumulate at each non-zero synapse that leaves its neuron: of a convolution as
many as there are at its place, fewer at borders. Chips fold batch norm into the weights next to it;
pooling hands every spike on to all windows around it. Where the input is no spikes, each of its
synapses costs a multiply-accumulate: at every step, or once where all steps are the same."""

from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from art_snn.checks import require, require_count
from art_snn.classifier.inputs import as_array, check_samples, require_network
from art_snn.composition import require_composed
from art_snn.gradients.base import Firing, NeuronRef, simulation
from art_snn.gradients.rate import probe
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import Normalize, copy_module, device_of
from art_snn.modulation import Noise
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron
from art_snn.running.context import keep_modes

ACCUMULATE, MULTIPLY = 0.9, 4.6
"""Energy in pJ of an addition, and with a multiplication, of 32 bits at 45 nm (Horowitz 2014)."""
_ROUNDING = 1e-3

Synapses = list[tuple[str, Tensor]]
"""How many leave each value [...] of one step of the input, and each neuron of every layer."""


def synaptic_operations(
    classifier: PyTorchClassifier, x: np.ndarray, batch_size: int = 32
) -> NDArray[np.float64]:
    """Synaptic operations of samples: accumulates, and multiply-accumulates of a dense input.

    :param classifier: around a :class:`~art_snn.SpikingNetwork` whose neurons take all time steps
        in one call, of convolutions, linear layers, batch norms, pooling of planes and sums.
    :param x: samples ``(N, *input_shape)``.
    :return: float (N,).
    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: for preprocessing, layers whose synapses cannot be counted, two layers of
        weights without neurons in between, or a bad setting."""
    return np.asarray(count_operations(classifier, x, batch_size)[:, :, 1].sum(1))


def count_operations(
    classifier: PyTorchClassifier, x: np.ndarray, batch_size: int = 32
) -> NDArray[np.float64]:
    """Spikes and operations of every layer (N, L, 2), as :func:`count_synapses` lists them.

    An input that is dense has no spikes."""
    network = require_network("classifier", classifier, "Put it into the network.")
    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    samples = as_array(check_samples(x, classifier.input_shape))
    (_, inputs), *layers = count_synapses(network, classifier.input_shape)
    pairs = list[Tensor]()
    """Spikes and operations [2, N] of the input and of every layer of neurons, for one batch."""

    def run(network: SpikingNetwork, x: Tensor) -> Tensor:
        encoded = network.body.encode(x)
        operations, dense = input_operations(encoded, inputs)
        events = encoded.flatten(2).sum((0, 2), dtype=torch.float64).where(~dense, 0.0)
        pairs.append(torch.stack([events, operations]))
        return network.body.run(encoded, fire)

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        spikes = simulation(site, current)
        _, leaving = layers[len(pairs) - 1]
        totals = spikes.sum(0, dtype=torch.float64)
        operations = count_accumulates(totals, leaving)
        pairs.append(torch.stack([totals.flatten(1).sum(1), operations]))
        return spikes

    counted = [np.zeros((0, 1 + len(layers), 2))]
    with keep_modes(network, False), torch.no_grad(), network.body.changed(forward=run):
        for start in range(0, len(samples), size):
            pairs.clear()
            network(torch.as_tensor(samples[start : start + size], device=device_of(network)))
            counted.append(torch.stack(pairs).permute(2, 0, 1).cpu().numpy())
    return np.concatenate(counted)


def count_accumulates(totals: Tensor, leaving: Tensor) -> Tensor:
    """Operations [N] of so many spikes [N, ...], of neurons that so many synapses leave [...]."""
    return (totals * leaving).flatten(1).sum(1, dtype=torch.float64)


def input_operations(encoded: Tensor, leaving: Tensor) -> tuple[Tensor, Tensor]:
    """Operations of the encoded input [T, N, ...], and whether it is no spikes, [N] each.

    Spikes are whole numbers that are not the same at all steps, as direct encoding has them."""
    once = repeats_one_step(encoded)
    whole = ((encoded >= 0) & (encoded == encoded.round())).flatten(2).all(2).all(0) & (not once)
    dense = leaving.sum(dtype=torch.float64) * (1 if once else len(encoded))
    events = encoded[0] if once else encoded.sum(0, dtype=torch.float64)
    return torch.where(whole, count_accumulates(events, leaving), dense), ~whole


def metered(network: SpikingNetwork, synapses: Synapses) -> SpikingNetwork:
    """The network with a further logit: operations of a sample per step, by the same rule."""
    twin = network.with_gradient(network.rule)
    run = twin.body.run

    def run_metered(encoded: Tensor, firing: Firing) -> Tensor:
        layers = iter(leaving for _, leaving in synapses)
        totals = [input_operations(encoded, next(layers))[0] / len(encoded)]

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            spikes = firing(site, current)
            totals.append(count_accumulates(spikes.sum(0), next(layers)) / len(spikes))
            return spikes

        return torch.cat([run(encoded, fire), torch.stack(totals).sum(0)[:, None]], 1)

    vars(twin.body)["run"] = run_metered
    return twin


def count_synapses(network: SpikingNetwork, shape: tuple[int, ...]) -> Synapses:
    """The non-zero synapses of a network for samples of a shape.

    They are gradients at spikes through a copy of the layers with weights of 0 and 1.

    :raises ValueError: as :func:`synaptic_operations`."""
    require_composed(network, "classifier")
    objection = network.body.bounds_objection()
    _require(objection is None, objection)
    with torch.inference_mode(False), torch.enable_grad():
        counting = _replace_weights(copy_module("classifier", network).eval()).float()
        sample = torch.zeros(1, *shape, device=device_of(network))
        encoded = torch.zeros_like(counting.body.encode(sample)[:1].detach()).contiguous()
        objection = probe(counting.body, encoded)
        _require(objection is None, objection)
        for name, module in counting.layers.named_modules():
            if isinstance(module, nn.Linear | _ConvNd):
                # Its bias marks what has met a weight; spikes are 0 here.
                words = f"{name} after other weights, without neurons in between"
                module.register_forward_pre_hook(lambda _, x, w=words: _require(not x[0].any(), w))
        names, leaves, currents = ["input"], [encoded.requires_grad_()], list[Tensor]()

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            names.append(site.name)
            currents.append(current)
            leaves.append(torch.zeros_like(current).requires_grad_())
            return leaves[-1]

        logits = counting.body.run(encoded, fire)
        met = [(part * (part.detach() != 0)).sum() for part in (logits, *currents)]
        how: Any = {"retain_graph": True, "materialize_grads": True, "allow_unused": True}
        # An input that no weight meets is not multiplied.
        first = torch.autograd.grad(torch.stack(met).sum(), leaves[:1], **how)
        ends = torch.stack([met[0], *(current.sum() for current in currents)])
        others = torch.autograd.grad(ends.sum(), leaves[1:], **how)
    layers = [leaving[0, 0] for leaving in (*first, *others)]
    whole = all((part - part.round()).abs().amax() < _ROUNDING for part in layers)
    _require(whole, "functions that scale values, or windows that overlap")
    return list(zip(names, (part.round() for part in layers), strict=True))


def _require(holds: bool, got: object) -> None:
    expected, remedy = "layers whose synapses can be counted", "docs/energy.md lists them."
    require(holds, "classifier", expected, str(got), remedy)


@torch.no_grad()
def _replace_weights(network: SpikingNetwork) -> SpikingNetwork:
    """The network with weights of 0 and 1, biases of 1, and sums in the place of pooling."""
    for name, module in [*network.layers.named_modules()]:
        if isinstance(module, nn.Linear | _ConvNd):
            module.weight.copy_(module.weight != 0)
            size = module.out_channels if isinstance(module, _ConvNd) else module.out_features
            module.bias = nn.Parameter(module.weight.new_ones(size))
        elif isinstance(module, _NormBase) and module.running_var is not None:
            norm: Any = module
            norm.running_mean.zero_()
            norm.running_var.fill_(1)
            norm.eps, norm.bias = 0.0, None
            if norm.weight is not None:
                norm.weight.copy_(norm.weight != 0)
        elif isinstance(module, Normalize):
            module.mean.zero_()
            module.std.fill_(1)
        elif isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
            _require(getattr(module, "dilation", 1) in (1, (1, 1)), f"{name}, with gaps")
            form: Any = {k: getattr(module, k) for k in ("stride", "padding", "ceil_mode")}
            sums = nn.AvgPool2d(module.kernel_size, **form, divisor_override=1)
            _exchange(network.layers, name, sums)
        elif isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
            pool = nn.AdaptiveAvgPool2d(module.output_size)
            pool.register_forward_hook(lambda _, x, y: y * (x[0][0].numel() / y[0].numel()))
            _exchange(network.layers, name, pool)
        else:
            kept = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Sequential, _DropoutNd, Neuron, Noise)
            supported = isinstance(module, kept) or any(module.children())
            # Of other frameworks' neurons also the parts.
            members = getattr(network, "members", {}).values()
            places = (f"{member.name}." for member in members)
            supported |= f"{name}.".startswith(tuple(places))
            _require(supported and not module._parameters, f"{name} ({type(module).__name__})")
    return network


def _exchange(layers: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, place = name.rpartition(".")
    setattr(layers.get_submodule(parent), place, module)
