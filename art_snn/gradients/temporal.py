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

from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Differentiable, Execution, Firing, Gradient, Site

CACHED_ELEMENTS = 2**19
"""Elements of one time step that the backward pass works on at a time, on the CPU."""


class TemporalGradient(Gradient):
    """A rule that back-propagates through time with a slope h in place of the spike's derivative.

    A new rule overrides :meth:`slope`, and sets `detach_reset` where its paper does so. Where a
    slope depends on nothing but the distance at the same place and time it sets `elementwise`,
    and is then asked for one time step at a time, which saves memory.
    """

    detach_reset: bool = False
    elementwise: ClassVar[bool] = False

    @abstractmethod
    def slope(self, distance: Tensor, site: Site) -> Tensor:
        """Slope h that replaces the derivative of the spikes.

        :param distance: u - threshold [T, N, ...], T = 1 if elementwise; not to be changed in
            place.
        :param site: the neuron, by name and dynamics.
        :return: slope [T, N, ...], a new tensor.
        """

    def logits(self, network: Differentiable, encoded: Tensor) -> Tensor:
        network.execution = Execution("through time", "a temporal rule needs every time step")
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
    slopes = None
    if not rule.elementwise:
        slopes = rule.slope(potential - site.dynamics.threshold, site)
    d = torch.empty_like(potential)
    for block in _blocks(potential):
        later = None
        for t in reversed(range(d.shape[0])):
            g, u, here = grad_spikes[t, block], potential[t, block], d[t, block]
            if slopes is None:
                h = rule.slope((u - site.dynamics.threshold)[None], site)[0]
            else:
                h = slopes[t, block]
            _one_step(site.dynamics, rule.detach_reset, g, h, u, later, here)
            later = here
    return d


def _one_step(
    dynamics: Dynamics,
    detach_reset: bool,
    g: Tensor,
    h: Tensor,
    u: Tensor,
    later: Tensor | None,
    here: Tensor,
) -> None:
    """Write d[t] to `here` from g[t], h[t], u[t] and d[t+1], which is None at the last step."""
    if later is None or detach_reset:
        torch.mul(g, h, out=here)
    elif dynamics.reset == "hard":
        torch.addcmul(g, later, u, value=-dynamics.decay, out=here).mul_(h)
    else:
        torch.sub(g, later, alpha=dynamics.decay * dynamics.threshold, out=here).mul_(h)
    if later is None:
        return
    if dynamics.reset == "hard":
        here.addcmul_(later, u < dynamics.threshold, value=dynamics.decay)
    else:
        here.add_(later, alpha=dynamics.decay)


def _blocks(potential: Tensor) -> list[slice]:
    """Parts of the batch whose tensors of one step fit together into a processor's cache."""
    samples = potential.shape[1]
    size = samples
    if potential.device.type == "cpu":
        size = max(1, CACHED_ELEMENTS * samples // max(1, potential[0].numel()))
    return [slice(start, start + size) for start in range(0, samples, max(1, size))]
