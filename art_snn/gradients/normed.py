"""Neurons behind batch norm in training mode, which keep neither their currents nor potentials.

Batch norm keeps its input x for the backward pass. Currents are ``scale x + shift`` with one scale
and one shift per channel, and spikes are the layer's output: so the potentials of a part of the
batch are computed again, in the cache, when the recursion of :mod:`art_snn.gradients.temporal`
needs them. Forward the spikes take the place of the currents."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from art_snn.dynamics import Dynamics
from art_snn.gradients.base import Firing, Site
from art_snn.gradients.shared import alike, anchored, apply, is_last, task
from art_snn.gradients.temporal import (
    TemporalGradient,
    Through,
    backward_steps,
    in_place,
    with_graph,
)
from art_snn.gradients.twice import Further
from art_snn.values import operand


def rule_of(firing: Firing) -> TemporalGradient | None:
    """The rule by which neurons fire, where their potentials may be computed again; or None."""
    rule = firing.rule if isinstance(firing, Through) else None
    return rule if rule is not None and rule.recomputable else None


def fired(
    rule: TemporalGradient, site: Site, norm: nn.BatchNorm2d, x: Tensor, steps: int
) -> Tensor:
    """Spikes [T, N, C, H, W] of neurons whose current is norm(x), x [T * N, C, H, W]."""
    y, mean, rest = _normalised(norm, x)
    if not y.requires_grad:
        return site.dynamics.simulate(_with_time(y, steps))
    with torch.no_grad():
        scale = rest if norm.weight is None else norm.weight * rest
        shift = -mean * scale if norm.bias is None else norm.bias - mean * scale
        scale, shift = (values.view(-1, 1, 1) for values in (scale, shift))
    return _with_time(apply(_InPlace, y, steps, rule, site, x.detach(), scale, shift), steps)


def _with_time(x: Tensor, steps: int) -> Tensor:
    """[T * N, ...] -> [T, N, ...]."""
    return x.view(steps, len(x) // steps, *x.shape[1:])


def _normalised(norm: nn.BatchNorm2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the layer gives in training mode, mean and 1 / standard deviation per channel."""
    share, tracked = norm.momentum, norm.num_batches_tracked
    if norm.track_running_stats and tracked is not None:
        tracked.add_(1)
        share = 1 / float(tracked) if share is None else share
    running = (norm.running_mean, norm.running_var) if norm.track_running_stats else (None, None)
    return torch.native_batch_norm(
        x, norm.weight, norm.bias, *running, True, share or 0.0, norm.eps
    )


class _InPlace(Function):
    """Currents, whose place the spikes take; the gradient is that at the currents."""

    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        steps: int,
        rule: TemporalGradient,
        site: Site,
        x: Tensor,
        scale: Tensor,
        shift: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.mark_dirty(y)
        currents = _with_time(y, steps)
        site.dynamics._simulate(currents, None, currents)
        ctx.rule, ctx.site, ctx.steps, ctx.at_step = rule, site, steps, None
        ctx.further = Further()
        ctx.set_materialize_grads(False)
        return anchored(ctx, rule, y, y, x, scale, shift)

    @staticmethod
    def backward(
        ctx: Any, grad_spikes: Tensor | None, grad_anchor: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        d = ctx.further.pop(task(), None)
        if grad_spikes is not None:
            first = _gradient(ctx, _with_time(grad_spikes, ctx.steps))
            d = first if d is None else d + first
        return None if d is None else d.flatten(0, 1), *[None] * 6


def _gradient(ctx: Any, g: Tensor) -> Tensor:
    """d [T, N, ...] at the currents from g at the spikes, with a graph where one is asked for."""
    spikes, x, scale, shift, anchor = ctx.saved_tensors
    spikes, x = _with_time(spikes, ctx.steps), _with_time(x, ctx.steps)
    d, graph = torch.empty_like(spikes), torch.is_grad_enabled()
    with torch.no_grad():
        rows = [g, spikes, x, d]
        axes: tuple[int, ...] = (-1, 1, 1)
        if is_last(x) and alike(g, x) and ctx.site.dynamics.uniform:
            # In the order of the memory, [T, N * H * W, C].
            rows, axes = [t.movedim(2, -1).flatten(1, 3) for t in rows], (-1,)
        at_spikes, fires, inputs, here = rows
        again = _Again(ctx.site.dynamics, fires, inputs, scale.view(axes), shift.view(axes))
        backward_steps(ctx.rule, ctx.site, in_place(ctx.rule, ctx.site), at_spikes, again, here)
        if ctx.site.dynamics.gain != 1:
            d.mul_(operand(ctx.site.dynamics.gain, d))
    if not graph:
        return d
    with torch.no_grad():
        values = scale.view(-1, 1, 1), shift.view(-1, 1, 1)
        u = _Again(ctx.site.dynamics, spikes, x, *values)(slice(None))
    return with_graph(ctx, d, g, u, anchor)


@dataclass
class _Again:
    """Potentials of neurons that fired so, from what batch norm made their currents of."""

    dynamics: Dynamics
    spikes: Tensor
    x: Tensor
    scale: Tensor
    shift: Tensor
    potential: Tensor | None = None

    def __call__(self, part: slice) -> Tensor:
        """u [T, n, ...] of a part of the batch, in a buffer that the next call overwrites."""
        spikes, x = self.spikes[:, part], self.x[:, part]
        if self.potential is None:
            self.potential = torch.empty_like(x)
            self.y, self.v = torch.empty_like(x[0]), torch.empty_like(x[0])
        n, before = x.shape[1], None
        y, v, potential = self.y[:n], self.v[:n], self.potential[:, :n]
        v.copy_(self.dynamics._at_start(v))
        for u, s, at_norm in zip(potential, spikes, x, strict=True):
            torch.addcmul(self.shift, at_norm, self.scale, out=y)
            self.dynamics._charge(y, v, before, u)
            self.dynamics._discharge(u, s, v)
            before = s
        return potential
