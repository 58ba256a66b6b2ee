"""Passes of boxes through a network, from samples to margins."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.bounds.box import Box, Enclosure, EuclideanBudget, Nonlinear, Unbounded
from art_snn.bounds.firing import Method
from art_snn.bounds.margins import bound_margins
from art_snn.bounds.operations import Propagation
from art_snn.bounds.rounding import widening
from art_snn.checks import invalid
from art_snn.dynamics import least
from art_snn.gradients.fixed import hold_weights
from art_snn.gradients.shared import repeats_one_step
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept

REMEDY = "docs/bounds.md lists the layers that have bounds; attacks need none."
_BUDGET_ROUNDING = 2e-6
"""How much more than the budget counts as within it, in units of the largest value there may be,
or of 1."""

_Limits = tuple[Any, Any] | None
"""Lowest and highest values, which broadcast to the samples; None where there are none."""


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
        integrates = all(one.reset == "soft" and least(one.decay) == 1 for one in dynamics)
        self.averaged = method.averages and norm == np.inf and integrates

    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """The smallest margin [N] of samples [N, ...] of classes y [N]; -inf where none holds."""
        with (
            modes_kept(self.network, False),
            torch.inference_mode(False),
            torch.enable_grad(),
            hold_weights(True),
        ):
            # Tensors of inference mode take no part in a graph.
            x, y = (part.clone() if part.is_inference() else part for part in (x, y))
            bounds = self.margins(x, y).detach()
        smallest = bounds.scatter(1, y[:, None], torch.inf).amin(1)
        return smallest.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def margins(self, x: Tensor, y: Tensor, *, differentiable: bool = False) -> Tensor:
        """Lower bounds of z_y - z_j [N, K], 0 for y itself.

        :param x: samples [N, ...] within the limits.
        :param y: class indices [N].
        :param differentiable: whether the bounds are to be differentiated by weights."""
        return bound_margins(self.logits(x), y, differentiable=differentiable)

    def logits(self, x: Tensor) -> Box:
        """The box of the logits [N, K] of samples [N, ...], with the graph of its centres."""
        box = enclose_samples(x, self.eps, self.norm, self.limits)
        if self.averaged:
            try:
                return self._run(box)
            except Nonlinear:
                self.averaged = False
        return self._run(box)

    def _run(self, box: Box) -> Box:
        with _name_refusals(self.network):
            with Propagation():
                encoded = self.network.encode(box)
            if self.averaged:
                encoded = _average_steps(encoded)
            with Propagation():
                logits = self.network.run(encoded, self.method.fire)
        assert isinstance(logits, Box)
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
    except (Unbounded, OverflowError) as error:
        modules = network.named_modules()
        names = {module: f"{name} ({type(module).__name__})" for name, module in modules if name}
        frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        passed = [names[m] for m in frames if isinstance(m, nn.Module) and m in names]
        got = f"{passed[-1] if passed else 'the network'}, with {error}"
        expected = "a network of layers whose outputs can be bounded"
        raise invalid("classifier", expected, got, REMEDY) from error
