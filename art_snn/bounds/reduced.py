"""A network around one sample: a chain of affine maps between the neurons that are not fixed.

What no perturbation changes is folded into biases, in double precision. Boxes say how
far the currents and logits that the network computes may lie from those of exact
arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor, nn

from art_snn.bounds.bounding import Bounding, choose_corners, record_pass
from art_snn.bounds.box import Box, Ends, potential_rounding, round_toward, widening
from art_snn.bounds.propagate import (
    MOST_STEPS,
    Domains,
    Layer,
    TrainTable,
    bound_sums,
    find_ends,
    keep_possible,
    list_constant_trains,
    list_trains,
    weigh_windows,
)
from art_snn.checks import invalid, require
from art_snn.encoders import Direct
from art_snn.engine.body import LayeredBody
from art_snn.engine.kinds import kind_of
from art_snn.gradients.base import NeuronRef, simulation
from art_snn.hooks import require_composed
from art_snn.layers import TimeDistributed, are_plain, copy_module, dtype_of, list_layers
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron
from art_snn.running.context import keep_modes

_CHUNK = 128
"""Rows of a map between layers that are computed at a time."""
_COMPARED = 16
"""Of so many samples one is compared with the network itself."""
_REMEDY = "certify_bounds with method='counts' bounds it, attacks break what they can."


class TooLarge(Exception):
    """More neurons are open than the maps between them may have rows."""


def read_chain(
    network: SpikingNetwork,
) -> tuple[list[NeuronRef], list[nn.Sequential], int]:
    """Read a network as a chain, on the CPU in double precision.

    :return: the neurons; the affine maps of values [M, ...] before each of them, and
        after the last one; the number of time steps.
    :raises ValueError: for a layer that has no place in a chain, by its name."""
    expected = "a chain of affine layers and neurons under direct encoding"

    def fits(condition: bool, got: str) -> None:
        require(condition, "classifier", expected, got, _REMEDY)

    fits(isinstance(network.body, LayeredBody), "a model of another framework")
    fits(type(network.encoder) is Direct, f"{network.encoder}")
    require_composed(network, "classifier")

    copied = copy_module("classifier", network).double().cpu().eval()

    # A neuron ends a segment of affine layers and begins the next one.
    sites = []
    segments = [nn.Sequential()]
    for name, module in list_layers(copied.layers, "layers"):
        shown = f"{name} ({type(module).__name__})"
        fits(are_plain(module.modules()), f"{shown}, with code of its own")
        if isinstance(module, Neuron):
            words = (
                "settings of single neurons or steps, several spikes in a step, a floor "
                "or a synapse"
            )
            fits(module.dynamics.uniform, f"{shown} with {words}")
            sites.append(NeuronRef(name, module.dynamics))
            segments.append(nn.Sequential())
            continue

        fits(isinstance(module, TimeDistributed), shown)
        for inner in module.modules():
            fits(kind_of(inner).affine, f"{name}, with a {type(inner).__name__}")
        segments[-1].append(module)

    steps = network.body.steps or 0
    require(
        steps <= MOST_STEPS,
        "classifier",
        f"at most {MOST_STEPS} time steps",
        steps,
        f"Use network.with_steps({MOST_STEPS}), which is another network. {_REMEDY}",
    )
    return sites, segments, steps


@dataclass(frozen=True)
class ConstraintProblem:
    """What every counterexample near a sample fulfils.

    A neuron is fixed if it has one spike train within the budget, and open if it has
    more.

    :param layers: the open neurons, layer by layer, and the classes as the last layer: a
        class that is ahead of the true one has a margin of at most 0.
    :param root: the domains of one node, which has all counterexamples.
    :param fixed: spikes of each layer of neurons [T, ...], 0 where a neuron is open.
    :param opened: indices of the open neurons [n] in each flattened layer."""

    layers: list[Layer]
    root: Domains
    fixed: list[Tensor]
    opened: list[Tensor]


class ProblemBuilder:
    """Builds the constraint problems of a network around samples.

    :param bounding: bounds spikes by counts, within a budget in the maximum norm.
    :param most_open: the most neurons of a layer that may be open."""

    @torch.inference_mode(False)
    def __init__(self, bounding: Bounding, most_open: int = 4096) -> None:
        network = bounding.network
        self.bounding = bounding
        self.most_open = most_open
        self.built = 0
        self.sites, self.segments, self.steps = read_chain(network)
        self.dtype = dtype_of(network)
        first = self.sites[0]
        table = list_constant_trains(first.dynamics, self.steps, self.dtype)
        if table is None:
            raise invalid(
                "classifier",
                "first neurons with few trains under a constant current",
                first.name,
                _REMEDY,
            )
        self.first_table = table

    @torch.inference_mode(False)
    @torch.no_grad()
    def build(self, x: Tensor, y: int) -> ConstraintProblem:
        """Build the problem around a sample x [1, ...] of class y.

        :raises TooLarge: if more neurons are open than allowed."""
        box = self.bounding.enclose(x)
        several, errors = self._bound(box)
        low, high = [end.double().cpu().flatten(1) for end in box.ends]
        inputs = (low[None], high[None])

        # Before the first layer all pixels are open.
        fixed = [torch.zeros_like(low).view(box.shape)]
        opened = [torch.arange(low.numel(), device="cpu")]
        sets = list[Tensor]()
        layers = list[Layer]()
        for i, spikes in enumerate(several):
            # Where no step is unsure the box says the train, and the neuron is fixed.
            is_unsure = (spikes.radius[:, 0] > 0).any(0)
            unsure = is_unsure.flatten().nonzero()[:, 0].cpu()
            if len(unsure) > self.most_open:
                raise TooLarge

            weight, bias = self._linearize(i, fixed[-1], opened[-1], unsure)
            layer = self._build_layer(layers, weight, bias, errors[i].flatten()[unsure])
            if layer.inputs is not None:
                inputs = find_ends(sets[-1], layer.inputs, layer.inputs)

            fixed.append(spikes.centre[:, 0].double().cpu().contiguous())
            layer, possible, kept = _keep_open(layer, inputs, unsure, fixed[-1])
            layers.append(layer)
            sets.append(possible)
            opened.append(unsure[kept])

        classes = torch.arange(len(errors[-1]), device="cpu")
        weight, bias = self._linearize(len(layers), fixed[-1], opened[-1], classes)
        layers.append(self._build_classes(layers, weight, bias, errors[-1], y))
        if self.built % _COMPARED == 0:
            self._compare(box, errors)
        self.built += 1

        # The search computes in the precision of the network.
        low = round_toward(-inf, low, self.dtype)
        high = round_toward(inf, high, self.dtype)
        pixels = torch.maximum(-low, high)
        rounded = [_round_layer(layer, pixels, self.dtype) for layer in layers]
        ahead = torch.ones(1, len(classes), 2, dtype=torch.bool, device="cpu")
        root = Domains(low, high, [*sets, ahead])
        return ConstraintProblem(rounded, root, fixed[1:], opened[1:])

    def _bound(self, box: Box) -> tuple[list[Box], list[Tensor]]:
        """Send a box through the network.

        :return: the boxes of the spikes of every layer, and how far currents of every
            layer [...], and logits [K], may lie from exact arithmetic, at any step."""
        several = []
        errors = []

        def observe(site: NeuronRef, current: Box, spikes: Box) -> None:
            rounding = potential_rounding(
                site.dynamics, current.magnitude, self.steps, current.dtype
            )
            slack = current.slack.expand_as(current.centre)[:, 0]
            # |x - x'| <= slack + rounding
            errors.append(slack.double().cpu().amax(0) + float(rounding))
            several.append(spikes)

        with keep_modes(self.bounding.network, False):
            logits = self.bounding.run(box, observe=observe)
        _require_chain(len(several) == len(self.sites))
        errors.append(logits.slack.expand_as(logits.centre)[0].double().cpu())
        return several, errors

    def _linearize(
        self, i: int, fixed: Tensor, opened: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read segment i as an affine map: outputs = weight * amplitude * open spikes + bias.

        :param fixed: spikes of the neurons before [T, ...], 0 where a neuron is open.
        :param opened: indices of the open ones [m].
        :param index: of the outputs [n].
        :return: weight [n, m] and bias [T, n]."""
        segment = self.segments[i]
        amplitude = self.sites[i - 1].dynamics.amplitude if i else 1
        bias = segment(fixed[None] * amplitude)[0].flatten(1)[:, index]

        # The derivatives of outputs by inputs are the rows of the weight.
        rows = []
        for part in torch.split(index, _CHUNK):
            leaf = fixed.new_zeros(len(part), *fixed.shape[1:])
            with torch.enable_grad():
                # Each sample of a batch gives one row.
                out = segment(leaf.requires_grad_()[None])[0].flatten(1)
                entries = out.gather(1, part[:, None])
                (grad,) = torch.autograd.grad(entries.sum(), leaf)
            rows.append(grad.flatten(1))
        return torch.cat(rows)[:, opened], bias

    def _build_layer(
        self, before: Sequence[Layer], weight: Tensor, bias: Tensor, error: Tensor
    ) -> Layer:
        """Build the next layer of neurons, whose currents are W a s + b.

        :param weight, bias: of :meth:`_linearize`.
        :param error: how far currents may lie from exact arithmetic [n]."""
        if not before:
            # Currents W pixels + b are the same at all steps.
            return Layer(weight, bias, 2 * error[None], None, self.first_table)

        i = len(before)
        dynamics = self.sites[i].dynamics
        windows = weigh_windows(dynamics.decay, self.steps)
        # Sums of g x + c over a window, with F = sum d^(t-q) s[q] of open neurons, are
        # sum d^(t-q) (g (W a s[q] + b[q]) + c) = g a W F + sum d^(t-q) (g b[q] + c).
        scale = dynamics.gain * self.sites[i - 1].dynamics.amplitude
        base = windows @ (dynamics.gain * bias + dynamics.constant)
        inputs = before[-1].table.trains @ windows.T
        # |u - u'| <= sum d^(t-q) g |x - x'|, twice that to be safe.
        slack = windows.sum(1)[:, None] * (2 * dynamics.gain * error)
        return Layer(
            weight * scale, base, slack, inputs, list_trains(dynamics, self.steps)
        )

    def _build_classes(
        self, before: Sequence[Layer], weight: Tensor, bias: Tensor, error: Tensor, y: int
    ) -> Layer:
        """Build the layer of the margins of class y over all classes.

        The parameters are those of :meth:`_build_layer`, of logits instead of
        currents."""
        # z_y - z_k = (W_y - W_k) a mean s + b_y - b_k
        weight = (weight[y] - weight) * self.sites[-1].dynamics.amplitude
        bias = bias.mean(0)
        base = bias[y] - bias
        inputs = before[-1].table.trains.mean(1)[:, None]
        slack = 2 * (error[y] + error)
        # The class itself is never ahead.
        base[y] = 1
        slack[y] = 0

        # A class is ahead only if its margin is at most 0. Any margin allows that it
        # is not.
        most = weight.new_tensor([[inf], [0.0]])
        table = TrainTable(torch.zeros_like(most), torch.full_like(most, -inf), most)
        return Layer(weight, base[None], slack[None], inputs, table)

    def _compare(self, box: Box, errors: Sequence[Tensor]) -> None:
        """Refuse a network that computes something else than the chain at corners of a box.

        The chain is given the spikes that the network fires, so that rounding alone
        differs.

        :param box: of one sample [1, ...].
        :param errors: bounds of the difference, for the currents of every layer and
            logits."""
        corners = choose_corners(box)
        with keep_modes(self.bounding.network, False):
            calls = record_pass(self.bounding.network, corners)
        _require_chain(len(calls) == len(errors))

        # What enters every segment of the chain. What leaves it may differ by the error.
        values = corners.expand(self.steps, *corners.shape)
        for i, ((_, output), error) in enumerate(zip(calls, errors, strict=True)):
            exact = self.segments[i](values.double().cpu())
            if i < len(self.sites):
                site = self.sites[i]
                values = simulation(site, output) * site.dynamics.amplitude
            else:
                exact = exact.mean(0)
            _require_chain(((output.double().cpu() - exact).abs() <= error).all())


def _require_chain(same: object) -> None:
    """Refuse a network that a pass has shown not to be the chain of its layers."""
    require(
        same,
        "classifier",
        "a network that is the chain of its layers",
        "one that computes something else at a point within the budget",
        _REMEDY,
    )


def _keep_open(
    layer: Layer, inputs: Ends, index: Tensor, fixed: Tensor
) -> tuple[Layer, Tensor, Tensor]:
    """Keep the neurons of a layer that have several trains, and write the spikes of the others.

    :param inputs: the ends of what enters the layer.
    :param index: of the layer's neurons among all.
    :param fixed: spikes [T, ...] of all neurons of the layer, to write to.
    :return: the layer of open neurons, their trains, and their places in the index."""
    # Rule out the trains that no sum causes.
    trains = layer.table.trains
    possible = torch.ones(1, len(index), len(trains), dtype=torch.bool, device="cpu")
    keep_possible(possible, layer.table, bound_sums(layer, *inputs))

    # A neuron is fixed where all trains left agree at every step.
    fewest, most = find_ends(possible, trains, trains)
    is_fixed = (fewest == most).all(0)[0]
    # An open neuron adds nothing to biases: all that it does is in its trains.
    fixed.flatten(1)[:, index] = torch.where(is_fixed, fewest[:, 0], 0.0)

    kept = (~is_fixed).nonzero()[:, 0]
    some = replace(
        layer,
        weight=layer.weight[kept],
        base=layer.base[:, kept],
        slack=layer.slack[:, kept],
    )
    return some, possible[:, kept], kept


def _round_layer(layer: Layer, pixels: Tensor, dtype: torch.dtype) -> Layer:
    """Round a layer to a precision, and add to its slack what this does to sums and limits.

    :param pixels: the largest absolute values of pixels [1, m]."""
    weight = layer.weight.to(dtype)
    inputs = layer.inputs
    most = pixels.double()
    if inputs is not None:
        most = inputs.abs().amax(0)[:, None]
        inputs = inputs.to(dtype)

    # |W x + b| <= |W| max |x| + |b| + slack, of which rounding is a share.
    sizes = (layer.weight.abs() * most[:, None]).sum(-1) + layer.base.abs() + layer.slack
    slack = layer.slack + widening(weight.shape[1], weight) * sizes
    slack = round_toward(inf, slack, dtype)
    return Layer(weight, layer.base.to(dtype), slack, inputs, layer.table.round(dtype))
