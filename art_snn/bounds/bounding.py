"""Passes of boxes through a network, from samples to margins."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.bounds.box import Box, Enclosure, EuclideanBudget, Nonlinear, Unbounded
from art_snn.bounds.corners import check_corners, take_rows
from art_snn.bounds.firing import Method
from art_snn.bounds.margins import bound_margins
from art_snn.bounds.operations import Propagation
from art_snn.bounds.rounding import widening
from art_snn.checks import invalid, require
from art_snn.dynamics import least, most
from art_snn.encoders import Frequency, draws
from art_snn.gradients.base import Site
from art_snn.gradients.fixed import WEIGHTS_HELD
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of
from art_snn.modulation import Gates
from art_snn.network import THROUGH, SpikingNetwork
from art_snn.passes import modes_kept, within

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
    dtype = network.dtype or torch.get_default_dtype()
    fits, remedy = dtype in (torch.float32, torch.float64), "Use network.float()."
    require(fits, "classifier", "a network in single or double precision", f"{dtype}", remedy)
    lowered = torch.is_autocast_enabled(device_of(network).type)
    expected, remedy = "a call outside of torch.autocast", "Close its block first."
    require(not lowered, "classifier", expected, "one within it", remedy)
    objection = network.bounds_objection()
    expected = "a network whose neurons take all time steps in one call"
    require(objection is None, "classifier", expected, str(objection), _REMEDY)
    for site in network.sites():
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
        dynamics = [site.dynamics for site in network.sites()]
        # Under a floor charge that comes early is not the same as charge that comes late.
        integrates = all((d.reset, d.floor, least(d.decay)) == ("soft", None, 1) for d in dynamics)
        self.averaged = method.averages and norm == np.inf and integrates

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A block for passes of constant weights, with the graph that they need."""
        with (
            modes_kept(self.network, False),
            torch.inference_mode(False),
            torch.enable_grad(),
            within(WEIGHTS_HELD, True),
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
        followed = list[tuple[Any, ...]]()

        def fire(site: Site, current: Tensor) -> Tensor:
            spikes = self.method.fire(site, current)
            followed.append((f"currents of {site.name}", *take_rows(current, len(box))))
            return spikes

        def run(network: SpikingNetwork, x: Tensor) -> Tensor:
            encoded = network.encode(x)
            if self.averaged:
                with torch._C.DisableTorchFunction():
                    encoded = _average_steps(encoded)
            return network.run(encoded, fire)

        with _name_refusals(self.network):
            with Propagation(), within(THROUGH, run):
                logits = self.network(box)
            if not isinstance(logits, Box):
                raise Unbounded("logits that do not depend on the input")
            if checked:
                steps = logits.rearrange(lambda part: part[None])
                followed.append(("logits", *take_rows(steps, len(box))))
                check_corners(self.network, box, followed, self.averaged)
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
        budget = EuclideanBudget(eps, torch.ones_like(x))
        return Box.around(x, Enclosure(torch.maximum(high - x, x - low), slack, budget=budget))
    return Box.around((low + high) / 2, Enclosure((high - low) / 2, slack))


def _average_steps(encoded: Any) -> Box:
    """Means over the steps up to each one, of time steps [T, N, ...]."""
    assert isinstance(encoded, Box)
    enclosure, averaged = encoded.enclosure, len(encoded)
    if repeats_one_step(encoded):
        return Box.around(encoded.centre, replace(enclosure, averaged=averaged, unmixed=True))
    steps = torch.arange(1, averaged + 1, device=encoded.device, dtype=encoded.dtype)
    steps = steps.view(-1, *(1,) * (encoded.ndim - 1))
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
