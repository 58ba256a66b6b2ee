"""Passes of boxes through a network, from samples to margins, and of their corners.

Boxes see no state that a network keeps, no number that it draws, and no other sample of a
batch. So corners of some samples go through it in a batch, and one of them alone, twice.
Every current and logit must lie in its interval, be the same again, and be the same alone
as in the batch."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.utils._python_dispatch import TorchDispatchMode

from art_snn.bounds.box import Box, Nonlinear, Unbounded, count_steps, widening
from art_snn.bounds.firing import BoundingMethod
from art_snn.bounds.margins import bound_margins, mark_nonlinear
from art_snn.bounds.operations import Propagation
from art_snn.checks import invalid, require
from art_snn.dynamics import least, most
from art_snn.encoders import Frequency, draws
from art_snn.gradients.base import Firing, NeuronRef, simulation
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of, dtype_of
from art_snn.modulation import Gates
from art_snn.network import SpikingNetwork
from art_snn.randomness import draws_numbers, mirror_samples
from art_snn.running.context import RUN, NetworkRun, change_run, keep_modes, set_in_block

_REMEDY = (
    "Of a model with a loop over time, take the layers alone, without repeat and mean, and say "
    "how many steps there are. docs/bounds.md lists the layers that have bounds; attacks need none."
)
_BUDGET_ROUNDING = 2e-6
"""Tolerance of the budget, relative to the largest allowed value (at least 1)."""

Observer = Callable[[NeuronRef, Box, Box], object]
"""What is told of every neuron in a pass: (site, box of currents, box of spikes)."""
_Limits = tuple[Any, Any] | None
"""Lowest and highest values, which broadcast to the samples; None where there are
none."""


def check_bounded(network: SpikingNetwork) -> None:
    """Refuse, by a ValueError, a network whose encoder, precision or neurons have no bounds."""
    require(
        not draws(network.encoder),
        "classifier",
        "an encoder that draws nothing",
        f"{network.encoder}",
        "art_snn.metrics.certify is for encoders that draw.",
    )
    for part in (network.encoder, *network.modules()):
        require(
            not isinstance(part, Frequency | Gates),
            "classifier",
            "encoder and layers with bounds",
            f"{part}",
            _REMEDY,
        )

    dtype = dtype_of(network)
    require(
        dtype in (torch.float32, torch.float64),
        "classifier",
        "a network in single or double precision",
        f"{dtype}",
        "Use network.float().",
    )
    require(
        not torch.is_autocast_enabled(device_of(network).type),
        "classifier",
        "a call outside of torch.autocast",
        "one within it",
        "Close its block first.",
    )
    objection = network.body.bounds_objection()
    require(
        objection is None,
        "classifier",
        "a network whose neurons take all time steps in one call",
        objection,
        _REMEDY,
    )
    for site in network.body.neurons():
        _check_neurons(site)


def _check_neurons(site: NeuronRef) -> None:
    """Refuse neurons of other equations, and those whose potentials grow by themselves."""
    dynamics = site.dynamics
    require(
        dynamics.obeys_equations,
        "classifier",
        "LIF and IF neurons",
        f"{site.name} ({dynamics.unknown or 'of other equations'})",
        _REMEDY,
    )
    low = least(dynamics.decay)
    high = most(dynamics.decay)
    require(
        low >= 0 and high <= 1,
        "classifier",
        "neurons with decays from 0 to 1",
        f"{site.name} ({low:g} to {high:g})",
        _REMEDY,
    )


@dataclass(eq=False, repr=False)
class Bounding:
    """Passes of boxes through a network, as its modules are at present.

    :param eps, norm: the budget, in norm numpy.inf or 2.
    :param limits: the lowest and the highest values of samples; None for no limits.
    :raises ValueError: for a network that :func:`check_bounded` refuses."""

    network: SpikingNetwork
    method: BoundingMethod
    eps: float
    norm: float = np.inf
    limits: _Limits = None

    def __post_init__(self) -> None:
        check_bounded(self.network)
        self.averaged = self.method.counts and self.norm == np.inf
        for site in self.network.body.neurons():
            dynamics = site.dynamics
            # Under a floor charge that comes early is not the same as charge that
            # comes late.
            self.averaged &= (
                least(dynamics.decay) == 1
                and dynamics.floor is None
                and not dynamics.has_synapse
                and dynamics.reset == "soft"
            )

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Open a block for passes of constant weights, with the graph that bounds need."""
        with (
            keep_modes(self.network, False),
            torch.inference_mode(False),
            torch.enable_grad(),
            self.network.constant_weights(),
            set_in_block(RUN, NetworkRun(constant_weights=True)),
        ):
            yield

    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """Bound the margin [N] of samples [N, ...] of classes y [N]; -inf if no bound holds."""
        with self.evaluating():
            # Tensors of inference mode take no part in a graph.
            x, y = [part.clone() if part.is_inference() else part for part in (x, y)]
            bounds = self.margins(x, y).detach()
        smallest = bounds.scatter(1, y[:, None], torch.inf).amin(1)
        return smallest.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def margins(self, x: Tensor, y: Tensor, *, differentiable: bool = False) -> Tensor:
        """Bound z_y - z_j [N, K] from below for every class j; 0 for y itself.

        :param x: samples [N, ...] within the limits.
        :param y: class indices [N].
        :param differentiable: True to differentiate the bounds by weights. Otherwise
            corners go through the network, too."""
        logits = self.spread(self.enclose(x), checked=not differentiable)
        return bound_margins(logits, y, differentiable=differentiable)

    def enclose(self, x: Tensor) -> Box:
        """Enclose all samples within the budget around x [N, ...], and within the limits."""
        return enclose_samples(x, self.eps, self.norm, self.limits)

    def spread(
        self, box: Box, checked: bool = False, observe: Observer | None = None
    ) -> Box:
        """Return the box of the logits [N, K], from means over time if these suffice.

        Otherwise the box goes through the network a second time. The parameters are those
        of :meth:`run`."""
        if self.averaged:
            with suppress(Nonlinear):
                return self.run(box, checked, observe, averaged=True)
            self.averaged = False
        return self.run(box, checked, observe)

    def run(
        self,
        box: Box,
        checked: bool = False,
        observe: Observer | None = None,
        averaged: bool = False,
    ) -> Box:
        """Return the box of the logits [N, K], with the graph of its centres.

        :param checked: True to send corners through the network.
        :param observe: called with every neuron.
        :param averaged: True for means over time in place of steps."""
        followed = []

        def select(bounds: Box) -> Box:
            rows = _choose_rows(len(box)) if bounds.shape[1] == len(box) else []
            return bounds.without_graph().rows(rows)

        def fire(site: NeuronRef, current: Any) -> Box:
            spikes = self.method.fire(site, current)
            if checked:
                followed.append((f"currents of {site.name}", select(current)))
            if observe is not None:
                observe(site, current, spikes)
            return spikes

        def run(network: SpikingNetwork, x: Tensor) -> Tensor:
            encoded = network.body.encode(x)
            if averaged:
                with torch._C.DisableTorchFunction():
                    encoded = average_steps(encoded)
            with change_run(samples=len(box)):
                return network.body.run(encoded, fire)

        # What reaches the logits without passing a neuron must not escape the bounds
        # of margins.
        centre = box.centre.detach().requires_grad_(torch.is_grad_enabled())
        marked = replace(box, centre=mark_nonlinear(centre))
        with _name_refusals(self.network):
            with Propagation(), self.network.body.changed(forward=run):
                logits = self.network(marked)
            if not isinstance(logits, Box):
                raise Unbounded("logits that do not depend on the input")

            if checked:
                step = logits.rearrange(lambda part: part[None])
                followed.append(("logits", select(step)))
                _check_corners(self.network, box, followed, averaged)
        return logits


def enclose_samples(x: Tensor, eps: float, norm: float, limits: _Limits) -> Box:
    """Enclose all samples within a budget around x [N, ...], and within the limits.

    :param norm: numpy.inf or 2."""
    # x - eps <= x' <= x + eps, and lowest <= x' <= highest.
    low = x - eps
    high = x + eps
    largest = x.abs().amax() + eps
    if limits is not None:
        lowest, highest = [
            torch.as_tensor(end, dtype=x.dtype, device=x.device) for end in limits
        ]
        low = torch.maximum(low, lowest)
        high = torch.minimum(high, highest)
        widest = torch.maximum(lowest.abs().amax(), highest.abs().amax())
        if widest.isfinite():
            # The largest value that an attack may meet, in this batch or in others.
            largest = widest
    slack = _BUDGET_ROUNDING * largest.clamp_min(1.0)
    if norm == 2:
        # sum ((x' - x) / eps)^2 <= 1
        radius = torch.maximum(high - x, x - low)
        return Box(x, radius, slack, budget=torch.full_like(x, eps))
    return Box((low + high) / 2, (high - low) / 2, slack)


def average_steps(encoded: Any) -> Box:
    """Take means over the steps up to each one, of time steps [T, N, ...]."""
    assert isinstance(encoded, Box)
    steps = len(encoded)
    if steps == 1 or repeats_one_step(encoded):
        return replace(encoded, averaged=steps, constant=True)
    # |mean (x - m)| <= mean r
    counts = count_steps(encoded)
    centre = encoded.centre.cumsum(0) / counts
    radius = encoded.radius.cumsum(0) / counts
    # |mean x| <= max |x|, of which rounding is a share.
    magnitude = encoded.magnitude
    slack = encoded.slack.amax() + magnitude * widening(steps, encoded)
    return Box(centre, radius, slack, magnitude, steps)


@contextmanager
def _name_refusals(network: SpikingNetwork) -> Iterator[None]:
    """Turn what has no bounds into a ValueError that names the innermost module."""
    try:
        yield
    except Nonlinear:
        raise
    except (Unbounded, OverflowError, RuntimeError) as error:
        words, _, _ = str(error).partition(".\n")
        if isinstance(error, RuntimeError) and "TorchScript" not in words:
            raise
        place = "the network"
        names = {module: name for name, module in network.named_modules()}
        for frame, _ in traceback.walk_tb(error.__traceback__):
            module = frame.f_locals.get("self")
            if isinstance(module, Module) and names.get(module):
                place = f"{names[module]} ({type(module).__name__})"
        raise invalid(
            "classifier",
            "a network of layers whose outputs can be bounded",
            f"{place}, with {words}",
            _REMEDY,
        ) from error


_TERMS = 64
"""Sums of so many terms may differ by rounding in batches of two sizes."""


def _choose_rows(samples: int) -> list[int]:
    """Choose three of the samples, or the first of fewer."""
    if samples > 2:
        return list(range(0, samples // 3 * 3, samples // 3))
    return list(range(min(samples, 1)))


def choose_corners(box: Box) -> Tensor:
    """Choose the lowest corner, the highest, and a random one [3, ...], of the compared samples.

    Of a Euclidean ball they are points at the budget in these directions."""
    rows = _choose_rows(len(box))
    centre = box.centre[rows]
    generator = torch.Generator("cpu").manual_seed(len(box))
    shape = (3, *centre.shape[1:])
    sides = torch.randint(2, shape, generator=generator, device="cpu") * 2 - 1
    sides[0] = -1
    sides[1] = 1
    length = 1 if box.budget is None else centre[0].numel() ** 0.5
    return centre + box.radius[rows] * sides.to(centre.device) / length


@torch.no_grad()
def _check_corners(
    network: SpikingNetwork, box: Box, followed: list[tuple[str, Box]], averaged: bool
) -> None:
    """Refuse currents and logits at corners of a box [N, ...] that its bounds do not allow.

    :param followed: names and boxes of all currents and of the logits, for the compared
        samples; there is no sample if samples are on another axis.
    :param averaged: True if those are of means over the steps up to each one."""
    corners = choose_corners(box)
    # Neurons also fire at random for the last corner: after a point elsewhere, and alone.
    alone = corners[2:]
    batch = torch.cat([corners, mirror_samples(corners)[2:], alone])
    passes = list[list[tuple[str, Tensor]]]()

    def follow(x: Tensor) -> list[tuple[str, Tensor]]:
        return record_pass(network, x, _draw_spikes(len(x)))

    def follow_all() -> None:
        # The one alone once more, after others: calls may keep a state.
        passes.extend(follow(x) for x in (alone, batch, alone))

    if draws_numbers(follow_all, batch.device) or batch.is_cuda:
        with _NoDraws():  # type: ignore[no-untyped-call]  # torch has no types here.
            record_pass(network, batch)

    for (name, bounds), *calls in zip(followed, *passes, strict=False):
        names, (one, real, same) = zip(*calls, strict=True)
        if set(names) != {name} or not torch.equal(one, same):
            raise Unbounded(f"{name} of one sample that change from pass to pass")
        if not bounds.numel():
            continue
        rounding = widening(_TERMS, one) * one.abs().amax()
        near = 2 * bounds.slack.amax() + rounding
        if ((one - real[:, 4:]).abs() > near).any():
            raise Unbounded(f"{name} of one sample that depend on others in its batch")

        real = real[:, :3]
        if averaged:
            real = real.double().cumsum(0) / count_steps(real.double())
        if not bounds.contains(real):
            raise Unbounded(f"{name} outside of their bounds at a corner")
    _, logits = followed[-1]
    if not logits.contains(network(corners)[None]):
        raise Unbounded(
            "logits outside of their bounds at a corner, in a call of the network"
        )


def _draw_spikes(samples: int) -> Firing:
    """Return a firing that draws the spikes of the last two samples, or of the only one.

    They are the same at every step, so that no layer is silent, and in every pass."""
    numbers = count()

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(next(numbers))
        if current.shape[1] != samples:
            return simulation(site, current)

        shape = (2, *current.shape[2:])
        drawn = torch.randint(2, shape, generator=generator, device="cpu").to(current)
        last = drawn[-samples:].expand(len(current), -1, *shape[1:])
        if samples > 2:
            return torch.cat([simulation(site, current[:, :-2]), last], 1)
        return last.contiguous() if RUN.get().firing is None else last

    return fire


def record_pass(
    network: SpikingNetwork, x: Tensor, firing: Firing = simulation
) -> list[tuple[str, Tensor]]:
    """Call the network, and list names and currents [T, N, ...] of all neurons, and logits."""
    calls = []

    def fire(site: NeuronRef, current: Tensor) -> Tensor:
        calls.append((f"currents of {site.name}", current))
        return firing(site, current)

    body = network.body
    with body.changed(forward=lambda _, x: body.run(body.encode(x), fire)):
        logits = network(x)[None]
    return [*calls, ("logits", logits)]


class _NoDraws(TorchDispatchMode):
    """Within the block, and in the present thread, torch draws no random numbers."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unbounded(f"{func.overloadpacket.__name__}, which draws at random")
        return func(*args, **(kwargs or {}))
