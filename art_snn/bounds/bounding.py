"""Passes of boxes through a network, from samples to margins, and of their corners.

Boxes see no state that a network keeps, no number that it draws, and no other sample of a batch. So
corners of some samples go through it in a batch, and one of them alone, twice. Every current and
logit must lie in its interval, be the same again, and alone what it is in the batch."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from art_snn.bounds.box import Box, Enclosure, Nonlinear, Unbounded, count_steps, widening
from art_snn.bounds.firing import Method
from art_snn.bounds.margins import bound_margins, mark_nonlinear
from art_snn.bounds.operations import Propagation
from art_snn.checks import invalid, require
from art_snn.dynamics import least, most
from art_snn.encoders import Frequency, draws
from art_snn.gradients.base import NeuronRef
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of, dtype_of
from art_snn.modulation import Gates
from art_snn.network import SpikingNetwork
from art_snn.running.context import keep_modes, set_in_block
from art_snn.running.run import RUN, NetworkRun

_REMEDY = "docs/bounds.md lists the layers that have bounds; attacks need none."
_BUDGET_ROUNDING = 2e-6
"""How much more than the budget counts as within it, in units of the largest value there may be,
or of 1."""

_Limits = tuple[Any, Any] | None
"""Lowest and highest values, which broadcast to the samples; None where there are none."""


def check_bounded(network: SpikingNetwork) -> None:
    """Refuse, by a ValueError, a network whose encoder, precision or neurons have no bounds."""
    drawn, encoder = draws(network.encoder), f"{network.encoder}"
    remedy = "art_snn.metrics.certify is for encoders that draw."
    require(not drawn, "classifier", "an encoder that draws nothing", encoder, remedy)
    for part in (network.encoder, *network.modules()):
        fits = not isinstance(part, Frequency | Gates)
        require(fits, "classifier", "encoder and layers with bounds", f"{part}", _REMEDY)
    dtype = dtype_of(network)
    fits, remedy = dtype in (torch.float32, torch.float64), "Use network.float()."
    require(fits, "classifier", "a network in single or double precision", f"{dtype}", remedy)
    lowered = torch.is_autocast_enabled(device_of(network).type)
    expected, remedy = "a call outside of torch.autocast", "Close its block first."
    require(not lowered, "classifier", expected, "one within it", remedy)
    objection = network.body.bounds_objection()
    expected = "a network whose neurons take all time steps in one call"
    require(objection is None, "classifier", expected, str(objection), _REMEDY)
    for site in network.body.neurons():
        got = f"{site.name} ({site.dynamics.unknown or 'of other equations'})"
        fits = site.dynamics.obeys_equations
        require(fits, "classifier", "LIF and IF neurons", got, _REMEDY)
        low, high = least(site.dynamics.decay), most(site.dynamics.decay)
        expected, got = "neurons with decays from 0 to 1", f"{site.name} ({low:g} to {high:g})"
        require(low >= 0 and high <= 1, "classifier", expected, got, _REMEDY)


class Bounding:
    """Passes of boxes through a network, as its modules are at present.

    :param limits: lowest and highest values of samples; None for none."""

    def __init__(
        self,
        network: SpikingNetwork,
        method: Method,
        eps: float,
        norm: float = np.inf,
        limits: _Limits = None,
    ) -> None:
        self.network, self.method = network, method
        self.eps, self.norm, self.limits = eps, norm, limits
        dynamics = [site.dynamics for site in network.body.neurons()]
        # Under a floor charge that comes early is not the same as charge that comes late.
        integrates = all((d.reset, d.floor, least(d.decay)) == ("soft", None, 1) for d in dynamics)
        self.averaged = method.averages and norm == np.inf and integrates

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A block for passes of constant weights, with the graph that they need."""
        with (
            keep_modes(self.network, False),
            torch.inference_mode(False),
            torch.enable_grad(),
            self.network.constant_weights(),
            set_in_block(RUN, NetworkRun(constant_weights=True)),
        ):
            yield

    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """The smallest margin [N] of samples [N, ...] of classes y [N]; -inf where none holds."""
        with self.evaluating():
            # Tensors of inference mode take no part in a graph.
            x, y = (part.clone() if part.is_inference() else part for part in (x, y))
            bounds = self.margins(x, y, checked=True).detach()
        smallest = bounds.scatter(1, y[:, None], torch.inf).amin(1)
        return smallest.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def margins(
        self, x: Tensor, y: Tensor, *, differentiable: bool = False, checked: bool = False
    ) -> Tensor:
        """Lower bounds of z_y - z_j [N, K], 0 for y itself.

        :param x: samples [N, ...] within the limits.
        :param y: class indices [N].
        :param differentiable: whether the bounds are to be differentiated by weights.
        :param checked: whether corners are to go through the network."""
        box = enclose_samples(x, self.eps, self.norm, self.limits)
        return bound_margins(self.spread(box, checked), y, differentiable=differentiable)

    def spread(self, box: Box, checked: bool = False) -> Box:
        """The box of the logits [N, K], from means over time where these will do."""
        if self.averaged:
            with suppress(Nonlinear):
                return self.run(box, checked)
            self.averaged = False
        return self.run(box, checked)

    def run(self, box: Box, checked: bool) -> Box:
        """The box of the logits [N, K], with the graph of its centres."""
        followed = list[_Followed]()

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            spikes = self.method.fire(site, current)
            followed.append(_Followed.of(f"currents of {site.name}", current, len(box)))
            return spikes

        def run(network: SpikingNetwork, x: Tensor) -> Tensor:
            encoded = network.body.encode(x)
            if self.averaged:
                with torch._C.DisableTorchFunction():
                    encoded = _average_steps(encoded)
            return network.body.run(encoded, fire)

        # What reaches the logits without passing a neuron must not escape the bounds of margins.
        centre = box.centre.detach().requires_grad_(torch.is_grad_enabled())
        marked = Box.around(mark_nonlinear(centre), box.enclosure)
        with _name_refusals(self.network):
            with Propagation(), self.network.body.changed(forward=run):
                logits = self.network(marked)
            if not isinstance(logits, Box):
                raise Unbounded("logits that do not depend on the input")
            if checked:
                steps = logits.rearrange(lambda part: part[None])
                followed.append(_Followed.of("logits", steps, len(box)))
                _check_corners(self.network, box, followed, self.averaged)
        return logits


def enclose_samples(x: Tensor, eps: float, norm: float, limits: _Limits) -> Box:
    """All samples within a budget around x [N, ...], and within the limits.

    :param norm: numpy.inf or 2."""
    low, high, ends = x - eps, x + eps, []
    if limits is not None:
        ends = [torch.as_tensor(end, dtype=x.dtype, device=x.device) for end in limits]
        low, high = torch.maximum(low, ends[0]), torch.minimum(high, ends[1])
    if ends and all(end.isfinite().all() for end in ends):
        # The largest value that an attack may meet, in this batch or in others.
        largest = torch.stack([end.abs().amax() for end in ends]).amax()
    else:
        largest = x.abs().amax() + eps
    slack = _BUDGET_ROUNDING * largest.clamp_min(1.0)
    if norm == 2:
        budget = torch.full_like(x, eps)
        return Box.around(x, Enclosure(torch.maximum(high - x, x - low), slack, budget=budget))
    return Box.around((low + high) / 2, Enclosure((high - low) / 2, slack))


def _average_steps(encoded: Any) -> Box:
    """Means over the steps up to each one, of time steps [T, N, ...]."""
    assert isinstance(encoded, Box)
    enclosure, averaged = encoded.enclosure, len(encoded)
    if repeats_one_step(encoded):
        return encoded.revise(averaged=averaged, unmixed=True)
    steps = count_steps(encoded)
    centre, radius = (part.cumsum(0) / steps for part in (encoded.centre, enclosure.radius))
    slack = enclosure.slack.amax() + encoded.magnitude * widening(averaged, encoded)
    return Box.around(centre, Enclosure(radius, slack, encoded.magnitude, averaged))


@contextmanager
def _name_refusals(network: SpikingNetwork) -> Iterator[None]:
    """Refuse what has no bounds by the name of the innermost module that called for it."""
    try:
        yield
    except Nonlinear:
        raise
    except (Unbounded, OverflowError, RuntimeError) as error:
        words, _, _ = str(error).partition(".\n")
        if isinstance(error, RuntimeError) and "TorchScript" not in words:
            raise
        modules = network.named_modules()
        names = {module: f"{name} ({type(module).__name__})" for name, module in modules if name}
        frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        passed = [names[m] for m in frames if isinstance(m, nn.Module) and m in names]
        got = f"{passed[-1] if passed else 'the network'}, with {words}"
        expected = "a network of layers whose outputs can be bounded"
        raise invalid("classifier", expected, got, _REMEDY) from error


_TERMS = 64
"""Sums of so many terms may differ by rounding in batches of two sizes."""


@dataclass(frozen=True)
class _Followed:
    """Bounds of the currents of a layer, or of the logits, for the samples that are compared.

    :param name: in complaints.
    :param centre, reach: of the intervals [T, n, ...], rounding included; one step of those that
        are all equal, and no sample where samples are on another axis.
    :param slack: the most of what rounding adds, a scalar."""

    name: str
    centre: Tensor
    reach: Tensor
    slack: Tensor

    @staticmethod
    @torch.no_grad()
    def of(name: str, box: Any, samples: int) -> "_Followed":
        """What is kept of a box [T, N, ...]."""
        with torch._C.DisableTorchFunction():
            rows = _choose_rows(samples) if box.shape[1] == samples else slice(0)
            steps = slice(1) if repeats_one_step(box.centre) else slice(None)

            def choose(part: Tensor) -> Tensor:
                return part[steps, rows] if part.shape == box.shape else part

            slack = choose(box.enclosure.slack)
            reach = choose(box.enclosure.radius) + slack
            most = slack.amax() if slack.numel() else slack
            return _Followed(name, choose(box.centre).clone(), reach, most)

    def contains(self, real: Tensor) -> bool:
        """True if values [T, n, ...] lie in their intervals."""
        return bool(((real - self.centre).abs_() <= self.reach).all())


def _choose_rows(samples: int) -> slice:
    """Three of the samples, or the first of fewer."""
    return slice(0, samples // 3 * 3, samples // 3) if samples > 2 else slice(1)


def _choose_corners(box: Box) -> Tensor:
    """The lowest corner, the highest, and a random one [3, ...], of the samples that are compared.

    Of a Euclidean ball they are points at the budget in these directions."""
    rows = _choose_rows(len(box))
    centre, radius = box.centre[rows], box.enclosure.radius[rows]
    generator = torch.Generator("cpu").manual_seed(len(box))
    sides = torch.randint(0, 2, (3, *centre.shape[1:]), generator=generator, device="cpu") * 2 - 1
    sides[0], sides[1] = -1, 1
    length = 1 if box.enclosure.budget is None else centre[0].numel() ** 0.5
    return centre + radius * sides.to(centre.device) / length


@torch.no_grad()
def _check_corners(
    network: SpikingNetwork, box: Box, followed: list[_Followed], averaged: bool = False
) -> None:
    """Refuse currents and logits at corners of a box [N, ...] that its bounds do not allow.

    :param followed: bounds of all currents and of the logits.
    :param averaged: whether those are of means over the steps up to each one."""
    corners = _choose_corners(box)
    # Of the last, at random, neurons also fire at random: after a point elsewhere, and alone.
    alone, state, spikes = corners[2:], torch.get_rng_state(), dict[int, Tensor]()
    batch = torch.cat([corners, corners.amin() + corners.amax() - alone, alone])
    passes = [_follow(network, x, spikes) for x in (batch, alone, alone)]
    if batch.is_cuda or not torch.equal(state, torch.get_rng_state()):
        with _NoDraws():  # type: ignore[no-untyped-call]
            _follow(network, batch, spikes)

    for bounds, *calls in zip(followed, *passes, strict=False):
        name = bounds.name
        real, one, same = (current for _, current in calls)
        if any(call[0] != name for call in calls) or not torch.equal(one, same):
            raise Unbounded(f"{name} of one sample that change from pass to pass")
        if not bounds.centre.numel():
            continue
        near = 2 * bounds.slack + widening(_TERMS, one) * one.abs().amax()
        if ((one - real[:, 4:]).abs() > near).any():
            raise Unbounded(f"{name} of one sample that depend on others in its batch")
        real = real[:, :3]
        if averaged:
            real = real.double().cumsum(0) / count_steps(real.double())
        if not bounds.contains(real):
            raise Unbounded(f"{name} outside of their bounds at a corner")
    if not followed[-1].contains(network(corners)[None]):
        raise Unbounded("logits outside of their bounds at a corner, in a call of the network")


def _follow(
    network: SpikingNetwork, x: Tensor, spikes: dict[int, Tensor]
) -> list[tuple[str, Tensor]]:
    """Names and currents [T, N, ...] of all neurons for samples x, and the logits at the end.

    :param spikes: of the last two samples, or the only one, by the number of the call, the same at
        every step, so that no layer is silent; where they are missing, they are drawn."""
    calls, generator = list[tuple[str, Tensor]](), torch.Generator("cpu").manual_seed(0)

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        calls.append((f"currents of {site.name}", current))
        if current.shape[1] != len(x):
            return site.dynamics.simulate(current)
        if len(calls) not in spikes:
            drawn = torch.randint(0, 2, (2, *current.shape[2:]), generator=generator, device="cpu")
            spikes[len(calls)] = drawn.to(current)
        last = spikes[len(calls)][-len(x) :]
        last = last.expand(len(current), *last.shape)
        if len(x) > 2:
            return torch.cat([site.dynamics.simulate(current[:, :-2]), last], 1)
        return last.contiguous() if RUN.get().firing is None else last

    with network.body.changed(
        forward=lambda network, x: network.body.run(network.body.encode(x), fire)
    ):
        logits = network(x)[None]
    return [*calls, ("logits", logits)]


class _NoDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block, and in the present thread, torch draws no random numbers."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unbounded(f"{func.overloadpacket.__name__}, which draws at random")
        return func(*args, **(kwargs or {}))
