"""A network around one sample: a chain of affine maps between the neurons that are not fixed.

What no perturbation changes is folded into biases, in double precision. Boxes say how far currents
and logits of the network as computed may lie from those of exact arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from art_snn.bounds.bounding import Bounding, enclose_samples
from art_snn.bounds.box import Box, potential_rounding, round_toward, widening
from art_snn.bounds.firing import SpikeCounts
from art_snn.bounds.propagate import (
    MOST_STEPS,
    Choices,
    Domains,
    Ends,
    Layer,
    bound_sums,
    find_ends,
    keep_possible,
    list_constant_values,
    list_values,
    weigh_windows,
)
from art_snn.checks import invalid, require
from art_snn.composition import require_composed
from art_snn.encoders import Direct
from art_snn.engine.snapshot import AFFINE
from art_snn.gradients.base import NeuronRef
from art_snn.layers import Normalize, TimeDistributed, are_plain, copy_module, dtype_of, list_layers
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron
from art_snn.running.context import keep_modes

_CHUNK = 128
"""Rows of a map between layers that are computed at a time."""
_COMPARED, _CORNERS = 16, 2
"""Samples of which one is compared with the network itself, and points around it."""
_REMEDY = "certify_bounds with method='counts' bounds it, attacks break what they can."


class TooLarge(Exception):
    """More neurons are open than the maps between them may have rows."""


def read_chain(network: SpikingNetwork) -> tuple[list[NeuronRef], list[nn.Sequential], int]:
    """The chain that a network is, on the CPU in double precision, and its number of steps.

    Neurons, and affine maps of values [M, ...] before every layer of them, and after all.

    :raises ValueError: for a layer that has no place in one, by its name."""
    expected = "a chain of affine layers and neurons under direct encoding"

    def fits(condition: bool, got: str) -> None:
        require(condition, "classifier", expected, got, _REMEDY)

    fits(type(network) is SpikingNetwork, f"a {type(network).__name__}")
    fits(type(network.encoder) is Direct, f"{network.encoder}")
    require_composed(network, "classifier")

    steps = network.body.steps or 0
    copied = copy_module("classifier", network).double().cpu().eval()
    sites = list[NeuronRef]()
    segments = [list[nn.Module]()]
    for name, module in list_layers(copied.layers, "layers"):
        shown = f"{name} ({type(module).__name__})"
        fits(are_plain(module.modules()), f"{shown}, with code of its own")
        if isinstance(module, Neuron):
            words = "settings of single neurons or steps, several spikes in a step or a floor"
            fits(module.dynamics.uniform, f"{shown} with {words}")
            sites.append(NeuronRef(name, module.dynamics))
            segments.append([])
            continue
        fits(isinstance(module, TimeDistributed), shown)
        for inner in module.modules():
            affine = {*AFFINE, Normalize, TimeDistributed}
            fits(type(inner) in affine, f"{name}, with a {type(inner).__name__}")
        segments[-1].append(module)

    remedy = f"Use network.with_steps({MOST_STEPS}), which is another network. {_REMEDY}"
    require(steps <= MOST_STEPS, "classifier", f"at most {MOST_STEPS} time steps", steps, remedy)
    return sites, [nn.Sequential(*part) for part in segments], steps


class _Recording(SpikeCounts):
    """Bounds by counts that keep the boxes of currents and spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[Any, Any]] = []

    def fire(self, site: NeuronRef, current: Tensor) -> Tensor:
        spikes: Tensor = super().fire(site, current)
        self.kept.append((current, spikes))
        return spikes


@dataclass(frozen=True)
class Neurons:
    """All neurons of a layer, of which some are open.

    :param fixed: spikes of the others [T, ...], 0 where neurons are open.
    :param index: of the open ones [n], in one row.
    :param sets: what they may do [1, n, V].
    :param values: these."""

    fixed: Tensor
    index: Tensor
    sets: Tensor
    values: Choices


@dataclass(frozen=True)
class Reduced:
    """A network around one sample.

    :param layers: the last are the classes, where value 1 says that one is not behind the true one.
    :param root: the domains of one node.
    :param neurons: of every layer but the classes."""

    layers: tuple[Layer, ...]
    root: Domains
    neurons: tuple[Neurons, ...]


class Reduction:
    """Reduces a network around samples.

    :param most: neurons of a layer that may be open."""

    @torch.inference_mode(False)
    def __init__(
        self, network: SpikingNetwork, eps: float, limits: Any = None, most: int = 4096
    ) -> None:
        self.network, self.eps, self.limits, self.most = network, eps, limits, most
        self.reduced = 0
        self.sites, self.segments, self.steps = read_chain(network)
        first, dtype = self.sites[0], dtype_of(network)
        constant = list_constant_values(first.dynamics, self.steps, dtype)
        if constant is None:
            expected = "first neurons with few trains under a constant current"
            raise invalid("classifier", expected, first.name, _REMEDY)
        self.constant = constant

    @torch.inference_mode(False)
    @torch.no_grad()
    def around(self, x: Tensor, y: int) -> Reduced:
        """The network around a sample x [1, ...] of class y.

        :raises TooLarge: where more neurons are open than there may be."""
        recording = _Recording()
        bounding = Bounding(self.network, recording, self.eps, limits=self.limits)
        bounding.averaged = False
        box = enclose_samples(x, self.eps, torch.inf, self.limits)
        with keep_modes(self.network, False):
            logits = bounding.run(box, checked=False)
        _require_chain(len(recording.kept) == len(self.sites))

        low, high = (end.double().cpu() for end in box.ends)
        neurons, layers, errors = list[Neurons](), list[Layer](), list[Tensor]()
        for i, (current, spikes) in enumerate(recording.kept):
            unsure = (spikes.enclosure.radius[:, 0] > 0).any(0).flatten().nonzero()[:, 0].cpu()
            if len(unsure) > self.most:
                raise TooLarge
            fixed = spikes.centre[:, 0].double().cpu().contiguous()
            errors.append(self._bound_error(i, current))
            if not neurons:
                layer = self._first_layer(low, unsure, errors[i])
                sums = bound_sums(layer, low.flatten(1)[None], high.flatten(1)[None])
            else:
                layer = self._next_layer(i, neurons[-1], unsure, errors[i])
                assert layer.inputs is not None
                ends = find_ends(neurons[-1].sets, layer.inputs, layer.inputs)
                sums = bound_sums(layer, *ends)
            some, kept = _open(layer.values, sums, unsure, fixed)
            neurons.append(some)
            weight, base, slack = layer.weight[kept], layer.base[:, kept], layer.slack[:, kept]
            layers.append(replace(layer, weight=weight, base=base, slack=slack))
        errors.append(_error(logits)[0])
        layers.append(self._classes(neurons[-1], y, errors[-1]))

        if self.reduced % _COMPARED == 0:
            self._compare(box, errors)
        self.reduced += 1

        dtype = torch.promote_types(dtype_of(self.network), torch.float32)
        low = round_toward(-inf, low.flatten(1), dtype)
        high = round_toward(inf, high.flatten(1), dtype)
        layers = [_narrow(layer, torch.maximum(-low, high), dtype) for layer in layers]
        ahead = torch.ones(1, len(layers[-1].weight), 2, dtype=torch.bool, device="cpu")
        root = Domains(low, high, (*(some.sets for some in neurons), ahead))
        return Reduced(tuple(layers), root, tuple(neurons))

    def _bound_error(self, i: int, current: Any) -> Tensor:
        """How far currents [...] of layer i may lie from exact arithmetic, at any step."""
        dynamics = self.sites[i].dynamics
        rounding = potential_rounding(dynamics, current.magnitude, len(current), current.dtype)
        return _error(current.rearrange(lambda part: part[:, 0])).amax(0) + float(rounding)

    def _compare(self, box: Box, errors: Sequence[Tensor]) -> None:
        """Refuse a network that computes something else than the chain at corners of a box.

        The chain is given the spikes that the network fires, so that rounding alone differs.

        :param box: of one sample [1, ...].
        :param errors: bounds of this difference for the currents of every layer, and for logits."""
        generator = torch.Generator("cpu").manual_seed(0)
        shape = (_CORNERS, *box.shape[1:])
        sides = torch.randint(0, 2, shape, generator=generator, device="cpu") * 2 - 1
        corners = box.centre + box.enclosure.radius * sides.to(box.device)
        values = list[Tensor]()
        inputs = [corners.expand(self.steps, *shape)]

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            spikes = site.dynamics.simulate(current)
            values.append(current)
            inputs.append(spikes * site.dynamics.amplitude)
            return spikes

        def run(network: SpikingNetwork, x: Tensor) -> Tensor:
            return network.body.run(network.body.encode(x), fire)

        with keep_modes(self.network, False), self.network.body.changed(forward=run):
            values.append(self.network(corners))

        _require_chain(len(values) == len(errors))
        expected = [self.segments[i](part.double().cpu()) for i, part in enumerate(inputs)]
        expected[-1] = expected[-1].mean(0)
        for value, exact, error in zip(values, expected, errors, strict=True):
            _require_chain(bool(((value.double().cpu() - exact).abs() <= error).all()))

    def rows(self, i: int, shape: Sequence[int], index: Tensor) -> Tensor:
        """Derivatives of those outputs of segment i by all of its inputs [len(index), m]."""
        rows = []
        for part in torch.split(index, _CHUNK):
            leaf = torch.zeros(len(part), *shape, dtype=torch.float64, device="cpu")
            with torch.enable_grad():
                out = self.apply(i, leaf.requires_grad_()).flatten(1).gather(1, part[:, None])
                (grad,) = torch.autograd.grad(out.sum(), leaf)
            rows.append(grad.flatten(1))
        return torch.cat(rows)

    def apply(self, i: int, values: Tensor) -> Tensor:
        """Outputs [M, ...] of segment i."""
        out: Tensor = self.segments[i](values[None])[0]
        return out

    def _first_layer(self, like: Tensor, index: Tensor, error: Tensor) -> Layer:
        weight = self.rows(0, like.shape[1:], index)
        base = self.apply(0, torch.zeros_like(like)).flatten()[index]
        return Layer(weight, base[None], 2 * error.flatten()[index][None], None, self.constant)

    def _next_layer(self, i: int, before: Neurons, index: Tensor, error: Tensor) -> Layer:
        dynamics, steps = self.sites[i].dynamics, self.steps
        windows = weigh_windows(dynamics.decay, steps)
        height = self.sites[i - 1].dynamics.amplitude
        weight = self.rows(i, before.fixed.shape[1:], index)[:, before.index]
        currents = self.apply(i, before.fixed * height).flatten(1)[:, index]
        base = windows @ (dynamics.gain * currents + dynamics.constant)
        slack = windows.sum(1)[:, None] * (2 * dynamics.gain * error.flatten()[index])
        inputs = before.values.trains @ windows.T
        values = list_values(dynamics, steps)
        return Layer(weight * (dynamics.gain * height), base, slack, inputs, values)

    def _classes(self, before: Neurons, y: int, error: Tensor) -> Layer:
        """The margins of class y over all classes."""
        last, height = len(self.sites), self.sites[-1].dynamics.amplitude
        rows = self.rows(last, before.fixed.shape[1:], torch.arange(len(error), device="cpu"))
        logits = self.apply(last, before.fixed * height).mean(0)
        weight = (rows[y] - rows)[:, before.index] * height
        base, slack = logits[y] - logits, 2 * (error[y] + error)
        base[y], slack[y] = 1, 0  # The class itself is not ahead.
        ends = torch.tensor([[torch.inf], [0.0]], dtype=torch.float64, device="cpu")
        values = Choices(torch.zeros(2, 1, device="cpu"), torch.full_like(ends, -torch.inf), ends)
        inputs = before.values.trains.mean(1)[:, None]
        return Layer(weight, base[None], slack[None], inputs, values)


def _require_chain(same: bool) -> None:
    """Refuse a network where a pass has shown that it is not the chain that was read off it."""
    got = "one that computes something else at a point within the budget"
    require(same, "classifier", "a network that is the chain of its layers", got, _REMEDY)


def _error(box: Any) -> Tensor:
    """How far what is computed may lie from exact arithmetic, in the shape of the centres."""
    error: Tensor = box.enclosure.slack.expand_as(box.centre).double().cpu()
    return error


def _open(values: Choices, sums: Ends, index: Tensor, fixed: Tensor) -> tuple[Neurons, Tensor]:
    """The neurons of that index that have several trains, and their places in the index.

    :param sums: of these neurons.
    :param fixed: spikes [T, ...] of the layer where they are sure; written to."""
    sets = torch.ones(1, len(index), len(values.trains), dtype=torch.bool, device="cpu")
    keep_possible(sets, values, sums)
    low, high = (end[:, 0] for end in find_ends(sets, values.trains, values.trains))
    still = (low == high).all(0)
    # An open neuron adds nothing here, and all that it does by its sets.
    fixed.flatten(1)[:, index] = torch.where(still, low, 0.0)
    kept = (~still).nonzero()[:, 0]
    return Neurons(fixed, index[kept], sets[:, kept], values), kept


def _narrow(layer: Layer, pixels: Tensor, dtype: torch.dtype) -> Layer:
    """The same in a precision, with a slack for what rounding does there to sums and limits.

    :param pixels: their largest absolute values [1, m]."""
    most = pixels.double() if layer.inputs is None else layer.inputs.abs().amax(0)[:, None]
    weight, base, slack = layer.weight.to(dtype), layer.base, layer.slack
    sizes = (layer.weight.abs() * most[:, None]).sum(-1) + base.abs() + slack
    slack = round_toward(inf, slack + widening(weight.shape[1], weight) * sizes, dtype)
    inputs = None if layer.inputs is None else layer.inputs.to(dtype)
    return Layer(weight, base.to(dtype), slack, inputs, layer.values.narrow(dtype))
