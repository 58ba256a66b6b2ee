"""Engine of the temporal rules: back-propagation through every time step of a layer.

One autograd function covers a whole layer over all its time steps. Its forward keeps the potential
u and nothing else of that size, since the spikes follow from u >= threshold. Its backward is the
recursion of Wu et al. (2018), from t = T - 1 down with d[T] = 0, g = dL/ds and d = dL/dx::

    hard reset: d[t] = g[t] h[t] + decay d[t+1] ((1 - s[t]) - u[t] h[t])
    soft reset: d[t] = g[t] h[t] + decay d[t+1] (1 - threshold h[t])

A detached reset drops the u h or the threshold h term.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from art_snn.gradients.base import Differentiable, Firing, Gradient, Site


class TemporalGradient(Gradient):
    """A rule that back-propagates through time with a slope h in place of the spike's derivative.

    A new rule overrides :meth:`slope`, and sets `detach_reset` where its paper does so.
    """

    detach_reset: bool = False
    elementwise: ClassVar[bool] = False

    @abstractmethod
    def slope(self, distance: Tensor, site: Site) -> Tensor:
        """Slope h that replaces the derivative of the spikes.

        :param distance: u - threshold [T, N, ...]; not to be changed in place.
        :param site: the neuron, by name and dynamics.
        :return: slope [T, N, ...], a new tensor.
        """

    def logits(self, network: Differentiable, encoded: Tensor) -> Tensor:
        return network.run(encoded, self.firing())

    def firing(self) -> Firing:
        """The firing of a neuron under this rule."""

        def fire(site: Site, current: Tensor) -> Tensor:
            if torch.is_grad_enabled() and current.requires_grad:
                spikes: Tensor = _ThroughTime.apply(current, self, site)  # type: ignore[no-untyped-call]
                return spikes
            return site.dynamics.simulate(current)

        return fire


class _ThroughTime(torch.autograd.Function):
    """Spikes of one layer forward, the recursion of the module's docstring backward."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, rule: TemporalGradient, site: Site) -> Tensor:
        potential = torch.empty(current.shape, dtype=current.dtype, device=current.device)
        spikes = site.dynamics.simulate(current, potential)
        ctx.save_for_backward(potential)
        ctx.rule, ctx.site = rule, site
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor) -> tuple[Tensor, None, None]:
        (potential,) = ctx.saved_tensors
        return _recursion(ctx.rule, ctx.site, grad_spikes, potential), None, None


def _recursion(
    rule: TemporalGradient, site: Site, grad_spikes: Tensor, potential: Tensor
) -> Tensor:
    """d [T, N, ...] from g and u [T, N, ...], as in the module's docstring."""
    decay, threshold = site.dynamics.decay, site.dynamics.threshold
    hard = site.dynamics.reset == "hard"
    slopes = None if rule.elementwise else rule.slope(potential - threshold, site)
    d = torch.empty_like(potential)
    later = torch.zeros_like(potential[0])
    silent = torch.empty_like(later)
    for t in reversed(range(d.shape[0])):
        u, g = potential[t], grad_spikes[t]
        h = rule.slope((u - threshold)[None], site)[0] if slopes is None else slopes[t]
        if rule.detach_reset:
            torch.mul(g, h, out=d[t])
        else:
            torch.addcmul(g, later, u, value=-decay, out=d[t]) if hard else torch.sub(
                g, later, alpha=decay * threshold, out=d[t]
            )
            d[t].mul_(h)
        if hard:
            d[t].addcmul_(later, torch.lt(u, threshold, out=silent), value=decay)
        else:
            d[t].add_(later, alpha=decay)
        later = d[t]
    return d
