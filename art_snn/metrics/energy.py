"""Synaptic operations: what a sample costs on a chip that computes for every spike.

A spike costs one accumulate for each synapse of a non-zero weight that leaves its neuron: of a
convolution as many as its place has, fewer at borders. Chips fold batch norm into the weights next
to it, and pooling hands every spike on to the windows around it; neither costs anything. Where the
input is no spikes, each of its synapses costs a multiply-accumulate: at every step, or once where
all steps are the same."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from art_snn.checks import invalid, require, require_count
from art_snn.classifier.inputs import as_array, check_samples, require_network
from art_snn.gradients.base import Firing, Site, simulation
from art_snn.gradients.fixed import METADATA
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept

ACCUMULATE, MULTIPLY = 0.9, 4.6
"""Energy in pJ of an addition, and with a multiplication, of 32 bits at 45 nm (Horowitz 2014)."""
_REMEDY = "docs/energy.md lists the layers whose synapses are counted."


class Operations(NamedTuple):
    """Synaptic operations of N samples by L layers: the encoded input, then neurons as called.

    :param names: of the layers (L,), the first of which is "input".
    :param neurons: in each layer, int (L,).
    :param synapses: that leave it, float (L,): multiply-accumulates of a dense network.
    :param spikes: (N, L); 0 where the input is no spikes.
    :param operations: (N, L).
    :param dense: samples whose input costs multiply-accumulates, bool (N,)."""

    names: list[str]
    neurons: NDArray[np.int64]
    synapses: NDArray[np.float64]
    spikes: NDArray[np.float64]
    operations: NDArray[np.float64]
    dense: NDArray[np.bool_]

    @property
    def energy(self) -> NDArray[np.float64]:
        """An estimate in pJ (N,), of arithmetic alone: memory and leakage cost more."""
        first = np.where(self.dense, MULTIPLY, ACCUMULATE) * self.operations[:, 0]
        return np.asarray(first + ACCUMULATE * self.operations[:, 1:].sum(1))


class Synapses(NamedTuple):
    """How many synapses leave the input at a step [...], and every neuron of each layer [...]."""

    inputs: Tensor
    neurons: list[Tensor]
    names: list[str]


def synaptic_operations(
    classifier: PyTorchClassifier, x: np.ndarray, batch_size: int = 32
) -> NDArray[np.float64]:
    """Synaptic operations of samples: accumulates, and multiply-accumulates of a dense input.

    :param classifier: around a :class:`~art_snn.SpikingNetwork` whose neurons take all time steps
        in one call, of convolutions, linear layers, batch norms, pooling and sums.
    :param x: samples ``(N, *input_shape)``.
    :param batch_size: samples per pass.
    :return: float (N,).
    :raises TypeError: when x is no array of real numbers.
    :raises ValueError: for preprocessing, an operation whose synapses cannot be counted, two layers
        of weights without neurons in between, or a bad setting."""
    return np.asarray(count_operations(classifier, x, batch_size).operations.sum(1))


def count_operations(
    classifier: PyTorchClassifier, x: np.ndarray, batch_size: int = 32
) -> Operations:
    """The same layer by layer; parameters and errors are those of :func:`synaptic_operations`."""
    remedy = "Put it into the network: TimeDistributed(Normalize(mean, std), ...)."
    network = require_network("classifier", classifier, remedy)
    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    samples = as_array(check_samples(x, classifier.input_shape))
    synapses = count_synapses(network, classifier.input_shape)
    dtype, rows = network.dtype or torch.get_default_dtype(), list[Tensor]()
    with modes_kept(network, False), torch.no_grad():
        for start in range(0, len(samples), size):
            batch = torch.as_tensor(samples[start : start + size], dtype=dtype)
            rows.append(_count(network, batch.to(device_of(network)), synapses))
    layers = [synapses.inputs, *synapses.neurons]
    table = torch.cat([torch.zeros(0, 2 * len(layers) + 1, dtype=torch.float64), *rows]).numpy()
    spikes, operations = np.split(table[:, :-1], 2, axis=1)
    neurons = np.array([layer.numel() for layer in layers])
    total = np.array([float(layer.sum(dtype=torch.float64)) for layer in layers])
    return Operations(
        ["input", *synapses.names], neurons, total, spikes, operations, table[:, -1] > 0
    )


def _count(network: SpikingNetwork, x: Tensor, synapses: Synapses) -> Tensor:
    """Spikes and operations of every layer, and whether the input is dense [N, 2 L + 1]."""
    encoded, totals = network.encode(x), list[Tensor]()

    def fire(site: Site, current: Tensor) -> Tensor:
        spikes = simulation(site, current)
        totals.append(spikes.sum(0, dtype=torch.float64))
        return spikes

    network.run(encoded, fire)
    inputs, dense = input_operations(encoded, synapses)
    events = encoded.flatten(2).sum((0, 2), dtype=torch.float64).where(~dense, 0.0)
    spikes = [events, *(total.flatten(1).sum(1) for total in totals)]
    operations = [inputs, *(weigh(*pair) for pair in zip(totals, synapses.neurons, strict=True))]
    return torch.stack([*spikes, *operations, dense.double()], 1).cpu()


def weigh(totals: Tensor, synapses: Tensor) -> Tensor:
    """Operations [N] of so many spikes [N, ...] of neurons with so many synapses [...]."""
    return (totals * synapses).flatten(1).sum(1, dtype=torch.float64)


def input_operations(encoded: Tensor, synapses: Synapses) -> tuple[Tensor, Tensor]:
    """Operations of the encoded input [T, N, ...], and whether they are dense, [N] each.

    Whole numbers are spikes, but not of a direct encoding."""
    once = repeats_one_step(encoded)
    dense = synapses.inputs.sum(dtype=torch.float64) * (1 if once else len(encoded))
    if once:
        return dense.expand(encoded.shape[1]), encoded.new_ones(encoded.shape[1]).bool()
    whole = ((encoded >= 0) & (encoded == encoded.round())).flatten(2).all(2).all(0)
    spikes = weigh(encoded.sum(0, dtype=torch.float64), synapses.inputs)
    return torch.where(whole, spikes, dense), ~whole


def metered(network: SpikingNetwork, synapses: Synapses) -> SpikingNetwork:
    """The network, of the same layers, with a further logit: operations per step of a sample.

    Its gradient is that of the network's rule."""
    twin = network.twin()
    run = twin.run

    def run_metered(encoded: Tensor, firing: Firing) -> Tensor:
        totals = [input_operations(encoded, synapses)[0] / len(encoded)]
        layers = iter(synapses.neurons)

        def fire(site: Site, current: Tensor) -> Tensor:
            spikes = firing(site, current)
            totals.append(weigh(spikes.sum(0), next(layers)) / len(spikes))
            return spikes

        logits = run(encoded, fire)
        return torch.cat([logits, torch.stack(totals).sum(0)[:, None]], 1)

    vars(twin)["run"] = run_metered
    # Half precision cannot count as far.
    twin.gradient, twin.attack_dtype = network.rule, None
    return twin


def count_synapses(network: SpikingNetwork, shape: tuple[int, ...]) -> Synapses:
    """The non-zero synapses of a network for samples of a shape.

    They are gradients at spikes through the same layers with weights of 0 and 1.

    :raises ValueError: as :func:`synaptic_operations`."""
    objection = network.bounds_objection()
    expected = "a network whose neurons take all time steps in one call"
    require(objection is None, "classifier", expected, str(objection), _REMEDY)
    sites, leaves, currents = list[Site](), list[Tensor](), list[Tensor]()

    def start(like: Tensor) -> Tensor:
        leaves.append(torch.zeros_like(like, dtype=torch.float64).contiguous().requires_grad_())
        return leaves[-1].as_subclass(_Tally)

    def fire(site: Site, current: Tensor) -> Tensor:
        sites.append(site)
        currents.append(current.as_subclass(Tensor))
        return start(currents[-1].detach())

    with modes_kept(network, False), torch.inference_mode(False), torch.enable_grad():
        sample = torch.zeros(1, *shape, dtype=network.dtype, device=device_of(network))
        try:
            logits = network.run(start(network.encode(sample)), fire).as_subclass(Tensor)
        except (RuntimeError, TypeError) as error:  # Or what no tally goes through.
            expected = "a network of layers whose synapses can be counted"
            raise invalid("classifier", expected, str(error), _REMEDY) from error
        # What has met no weight is no synapse of the readout, or of the input.
        met = [part * (part.detach() != 0) for part in (logits, *currents)]
        total = met[0].sum() + sum(part.sum() for part in currents)
        options: Any = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        (inputs,) = torch.autograd.grad(sum(part.sum() for part in met), leaves[0], **options)
        neurons = torch.autograd.grad(total, leaves[1:], **options)
    first, *others = (leaf.amax(0)[0].float() for leaf in (inputs, *neurons))
    return Synapses(first, others, [site.name for site in sites])


class _Tally(Tensor):
    """Values in whose graph every non-zero weight is 1: 0 at spikes, above it after a weight."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        rule = _RULES.get(name)
        if rule is None and not (func in METADATA or name in _MOVES):
            raise NotImplementedError(name)
        if rule is None:
            return super().__torch_function__(func, types, args, kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            output = rule(func, *args, **(kwargs or {}))
        return output.as_subclass(_Tally)


def _meet(func: Any, x: Tensor, weight: Tensor, bias: Any = None, *rest: Any, **how: Any) -> Tensor:
    """A linear layer or a convolution."""
    if x.any():
        raise NotImplementedError(f"{func.__name__} of what no neuron has fired")
    counted: Tensor = func(x, weight.detach().ne(0).to(x.dtype), None, *rest, **how)
    return counted + 1


def _norm(
    func: Any, x: Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None, *rest: Any
) -> Tensor:
    """Batch norm, whose scales are part of the weights next to it."""
    if mean is None or (rest and rest[0]):
        raise NotImplementedError("batch norm by the statistics of the batch")
    return x if weight is None else x * weight.detach().ne(0).view(-1, *(1,) * (x.ndim - 2))


def _gather(
    func: Any,
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    *rest: Any,
    **how: Any,
) -> Tensor:
    """Pooling: every value at all windows around it."""
    axes, maximum = int(func.__name__[-2]), func.__name__.startswith("max")
    given = dict(zip(("dilation", "ceil_mode") if maximum else ("ceil_mode",), rest, strict=False))
    given |= how
    if given.get("dilation", 1) not in (1, (1,) * axes):
        raise NotImplementedError(f"{func.__name__} with gaps")

    def sizes(value: Any, before: int) -> tuple[int, ...]:
        several = value if isinstance(value, tuple | list) else (value,) * axes
        return (*(before,) * (axes == 1), *several)

    pool = functional.avg_pool3d if axes == 3 else functional.avg_pool2d
    windows = sizes(kernel_size, 1), sizes(stride or kernel_size, 1), sizes(padding, 0)
    planes = x.unsqueeze(-2) if axes == 1 else x
    sums = pool(planes, *windows, given.get("ceil_mode", False), True, 1)
    return sums.squeeze(-2) if axes == 1 else sums


def _adapt(func: Any, x: Tensor, output_size: Any, *rest: Any, **how: Any) -> Tensor:
    """Pooling to a number of windows, which cover every value once."""
    axes = int(func.__name__[-2])
    sides = x.shape[-axes:]
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * axes
    counts = [side if n is None else n for side, n in zip(sides, given, strict=True)]
    if any(side % n for side, n in zip(sides, counts, strict=True)):
        raise NotImplementedError(f"{func.__name__} with windows that overlap")
    kernel = tuple(side // n for side, n in zip(sides, counts, strict=True))
    return _gather(getattr(functional, f"avg_pool{axes}d"), x, kernel)


def _join(func: Any, a: Any, b: Any, **how: Any) -> Tensor:
    """A sum of two branches; a number changes no synapse."""
    if isinstance(a, _Tally) and isinstance(b, _Tally):
        return torch.add(a, b)
    return _scale(func, a, b)


def _scale(func: Any, a: Any, b: Any, **how: Any) -> Tensor:
    """A product with numbers, which are part of weights."""
    if isinstance(a, _Tally) and isinstance(b, _Tally):
        raise NotImplementedError("a product of two values that depend on the input")
    x, number = (a, b) if isinstance(a, _Tally) else (b, a)
    return x.expand(torch.broadcast_shapes(x.shape, getattr(number, "shape", ())))


def _total(func: Any, x: Tensor, *axes: Any, dtype: Any = None, **how: Any) -> Tensor:
    """A sum or a mean, of which each part is a synapse."""
    return torch.sum(x, *axes, **how)


_MOVES = {
    *("flatten", "reshape", "view", "unflatten", "expand", "contiguous", "clone", "transpose"),
    *("permute", "squeeze", "unsqueeze", "movedim", "__getitem__", "chunk", "split", "unbind"),
    *("cat", "stack", "pad", "dropout", "dropout1d", "dropout2d", "dropout3d", "to", "float"),
    *("double", "neg", "__neg__", "__get__"),
}
"""Functions of torch that move values, or change none."""
_RULES: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), _meet)
    | {"batch_norm": _norm, "mean": _total, "sum": _total}
    | {f"{kind}_pool{n}d": _gather for kind in ("avg", "max") for n in (1, 2, 3)}
    | {f"adaptive_{kind}_pool{n}d": _adapt for kind in ("avg", "max") for n in (1, 2, 3)}
    | dict.fromkeys(("add", "__add__", "__radd__", "sub", "__sub__", "rsub", "__rsub__"), _join)
    | dict.fromkeys(("mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide"), _scale)
)
"""What other functions do to tallies, by their names."""
