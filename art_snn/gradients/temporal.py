"""Engine of the temporal rules: back-propagation through every time step of a layer.

One autograd function covers a layer over all its time steps. Its forward keeps the potential u and
nothing else of that size: the spikes follow from u >= threshold. Its backward is the recursion of
Wu et al. (2018), from t = T - 1 down with d[T] = 0, g = dL/ds and d = dL/dx::

    hard reset: d[t] = g[t] h[t] + decay d[t+1] ((1 - s[t]) - u[t] h[t])
    soft reset: d[t] = g[t] h[t] + decay d[t+1] (1 - threshold h[t])
    no reset:   d[t] = g[t] h[t] + decay d[t+1]

A detached reset drops the u h or the threshold h term. Further parameters of the dynamics replace
u by u - rest and the threshold by `drop`, and dL/dx is gain d."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from art_snn import fused
from art_snn.dynamics import Dynamics, currents_around, empty_steps
from art_snn.gradients.base import Differentiable, Execution, Firing, Gradient, Site
from art_snn.gradients.shared import (
    alike,
    anchored,
    apply,
    blocks,
    final,
    flat,
    has_no_second_derivative,
    is_repeated,
    task,
    valued,
)
from art_snn.gradients.twice import Further, current_of, differentiable
from art_snn.values import operand, plus_product, plus_scaled

THROUGH_TIME = Execution("through time", "a temporal rule needs every time step")

TENSORS = 16
"""Tensors of one step that stay in the cache at the same time."""

StepSlope = Callable[[Tensor, int, slice], Tensor]
"""(u - threshold [n, ...] at a step of some samples, the step, the samples) -> slope [n, ...]."""


class TemporalGradient(Gradient):
    """A rule that back-propagates through time with a slope h in place of the spike's derivative.

    A new rule overrides :meth:`slope`, and sets `detach_reset` where its paper does so. Where the
    slope depends on the distance alone it sets `elementwise`, and gets one time step at a time.
    Where torch can differentiate the slope, it has a :attr:`second_derivative`, and may say so."""

    detach_reset: bool = False
    elementwise: ClassVar[bool] = False

    @abstractmethod
    def slope(self, distance: Tensor, site: Site) -> Tensor:
        """Slope h that replaces the derivative of the spikes.

        :param distance: u - threshold [T, N, ...], T = 1 if elementwise; not to be changed.
        :return: slope [T, N, ...], a new tensor."""

    def slope_in_place(self, distance: Tensor, site: Site) -> Tensor:
        """The slope of a rule that is elementwise, which may take the place of the distance."""
        return self.slope(distance.clone(), site)

    @property
    def flat(self) -> bool:
        """Whether the slope is constant between jumps, so that it has the derivative 0 there."""
        return False

    def prepare(self, potential: Tensor, site: Site) -> StepSlope | None:
        """What gives the slope of a forward pass in place of :meth:`slope`, or None.

        :param potential: u [T, N, ...]; not to be changed or kept."""
        return None

    @property
    def recomputable(self) -> bool:
        """Whether the backward pass may compute potentials again, a part of the batch at a time."""
        # A rule of the user's gets distances in the shape of the layer.
        ours = type(self).slope_in_place is not TemporalGradient.slope_in_place
        return self.elementwise and ours and type(self).prepare is TemporalGradient.prepare

    def logits(self, network: Differentiable, x: Tensor) -> Tensor:
        network.execution = THROUGH_TIME
        return network.run(network.encode(x), self.firing())

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        if dynamics.obeys_equations:
            return None
        others = "it uses the equations of LIF and IF, and these neurons obey others"
        return dynamics.unknown or others

    def firing(self) -> Firing:
        """The firing of a neuron under this rule."""
        return Through(self)


@dataclass(frozen=True)
class Through:
    """The firing of neurons that are differentiated through time by a rule."""

    rule: TemporalGradient

    def __call__(self, site: Site, current: Tensor) -> Tensor:
        if torch.is_grad_enabled() and current.requires_grad:
            return apply(_ThroughTime, current, self.rule, site)
        return site.dynamics.simulate(current)


class _ThroughTime(torch.autograd.Function):
    """Spikes of one layer forward, the recursion of the module's docstring backward."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, rule: TemporalGradient, site: Site
    ) -> tuple[Tensor, Tensor]:
        # Whether only the sum over time will be read of the gradient at the current.
        ctx.summed = current.device.type == "cpu" and is_repeated(current)
        ctx.rule, ctx.site, ctx.at_step, ctx.steps = rule, site, None, len(current)
        ctx.further = Further()
        ctx.set_materialize_grads(False)
        # A current that repeats one step is less than the potentials, which follow from it.
        ctx.again = ctx.summed and rule.recomputable and site.dynamics.uniform
        if ctx.again:
            return anchored(ctx, rule, site.dynamics.simulate(current), current[:1])
        potential = empty_steps(current)
        spikes = site.dynamics.simulate(current, potential)
        ctx.at_step = rule.prepare(potential, site)
        return anchored(ctx, rule, spikes, potential)

    @staticmethod
    def backward(
        ctx: Any, grad_spikes: Tensor | None, grad_anchor: Tensor | None
    ) -> tuple[Tensor | None, None, None]:
        further = ctx.further.pop(task(), None)
        if grad_spikes is None:
            return further, None, None
        potential, anchor = ctx.saved_tensors
        graph = torch.is_grad_enabled()
        with torch.no_grad():
            if ctx.again:
                current = potential.expand(ctx.steps, *potential.shape[1:])
                d = _of_repeated(ctx.rule, ctx.site, grad_spikes, current)
                potential = _potentials(ctx.site.dynamics, current) if graph else current
            else:
                d = _recursion(ctx.rule, ctx.site, ctx.at_step, grad_spikes, potential, ctx.summed)
        if graph:
            d = with_graph(ctx, d, grad_spikes, potential, anchor)
        return d if further is None else d + further, None, None


def with_graph(ctx: Any, d: Tensor, g: Tensor, potential: Tensor, anchor: Tensor) -> Tensor:
    """The gradient d at the current, differentiable again or refusing it."""
    rule, site = ctx.rule, ctx.site
    if not rule.second_derivative:
        return final(d, anchor, rule)
    at_step = ctx.at_step or _at_step(rule, site, potential)

    def slope(distance: Tensor, t: int) -> Tensor:
        h = at_step(distance, t, slice(None))
        if torch.is_grad_enabled() and not (h.requires_grad or rule.flat):
            raise has_no_second_derivative(rule)
        return h

    current = current_of(anchor, potential, ctx.further)
    graph = differentiable(site.dynamics, slope, rule.detach_reset, g, potential, current)
    return valued(d, graph)


def _recursion(
    rule: TemporalGradient,
    site: Site,
    at_step: StepSlope | None,
    grad_spikes: Tensor,
    potential: Tensor,
    summed: bool,
) -> Tensor:
    """d [T, N, ...] from g and u [T, N, ...]; if summed a view that repeats its mean over time."""
    dynamics = site.dynamics
    d = torch.empty_like(potential[:2] if summed else potential)
    # In single precision at least, since there may be many steps.
    wide = torch.promote_types(potential.dtype, torch.float32)
    total = torch.zeros_like(potential[0], dtype=wide) if summed else None
    fusible = rule.elementwise and at_step is None and not summed and dynamics.uniform
    if not (fusible and fused.run_fused(_BackSteps(rule, site), (grad_spikes, potential), (d,))):
        g, u, here, added = grad_spikes, potential, d, total
        if rule.recomputable and at_step is None and dynamics.uniform and alike(g, u):
            g, u, here = flat(g), flat(u), flat(d)
            added = None if total is None else flat(total[None])[0]
        if at_step is None:
            at_step = in_place(rule, site) if rule.elementwise else _at_step(rule, site, u)
        backward_steps(rule, site, at_step, g, u, here, added)
    if total is not None:
        d = total.div_(len(potential))
    if dynamics.gain != 1:
        d.mul_(operand(dynamics.gain, d))
    return d.to(potential.dtype).expand_as(potential)


def _of_repeated(rule: TemporalGradient, site: Site, g: Tensor, current: Tensor) -> Tensor:
    """The mean over time of d, repeated [T, N, ...], for a current that repeats one step.

    Potentials are computed again, a part of the neurons at a time."""
    wide = torch.promote_types(current.dtype, torch.float32)
    total = torch.zeros_like(current[0], dtype=wide)
    rows, x, added = g, current, total
    if alike(g, current):
        rows, x, added = flat(g), flat(current), flat(total[None])[0]
    size = blocks(rows, TENSORS)[:1]
    buffers = [torch.empty_like(x[:, part]) for part in 2 * size]

    def potential(part: slice) -> Tensor:
        u, spikes = (buffer[:, : x[0, part].shape[0]] for buffer in buffers)
        site.dynamics.simulate(x[:, part], u, spikes)
        return u

    backward_steps(
        rule, site, in_place(rule, site), rows, potential, torch.empty_like(x[:2]), added
    )
    d = total.div_(len(current))
    if site.dynamics.gain != 1:
        d.mul_(operand(site.dynamics.gain, d))
    return d.to(current.dtype).expand_as(current)


def _potentials(dynamics: Dynamics, current: Tensor) -> Tensor:
    """u [T, n, ...] of neurons with this current."""
    potential = empty_steps(current)
    dynamics.simulate(current, potential)
    return potential


def backward_steps(
    rule: TemporalGradient,
    site: Site,
    at_step: StepSlope,
    grad_spikes: Tensor,
    potential: Tensor | Callable[[slice], Tensor],
    d: Tensor,
    total: Tensor | None = None,
) -> None:
    """Write dL/du [T, N, ...] to d, step by step, or add it up [N, ...] and write the last two.

    :param potential: u [T, N, ...], or what gives that of a part of the batch."""
    parts, steps = blocks(grad_spikes, TENSORS), len(grad_spikes)
    scratch = torch.empty_like(d[0, parts[0]] if parts else d[0])
    for block in parts:
        us = potential(block) if callable(potential) else potential[:, block]
        z, later = scratch[: us.shape[1]], None
        for t in reversed(range(steps)):
            g, u, here = grad_spikes[t, block], us[t], d[t % len(d), block]
            torch.sub(u, operand(site.dynamics.threshold, u), out=z)
            h = at_step(z, t, block)
            _one_step(site.dynamics, rule.detach_reset, g, h, u, later, here, z)
            later = here
            if total is not None:
                total[block].add_(here)


def _at_step(rule: TemporalGradient, site: Site, potential: Tensor) -> StepSlope:
    """The rule's slope, one step at a time where it is elementwise."""
    if rule.elementwise:
        return lambda distance, t, samples: rule.slope(distance[None], site)[0]
    slopes = rule.slope(potential - site.dynamics.threshold, site)
    return lambda distance, t, samples: slopes[t, samples]


def in_place(rule: TemporalGradient, site: Site) -> StepSlope:
    """The slope of a rule that is elementwise, one step at a time, in place of the distance."""
    return lambda distance, t, samples: rule.slope_in_place(distance[None], site)[0]


def _one_step(
    dynamics: Dynamics,
    detach_reset: bool,
    g: Tensor,
    h: Tensor,
    u: Tensor,
    later: Tensor | None,
    here: Tensor,
    scratch: Tensor | None = None,
) -> None:
    """Write d[t] to `here` from g[t], h[t], u[t] and d[t+1], which is None at the last step."""
    if later is None or detach_reset or dynamics.reset == "none":
        torch.mul(g, h, out=here)
    elif dynamics.reset == "hard":
        fall = u if dynamics.rest == 0 else u - dynamics.rest
        plus_product(g, later, fall, -dynamics.decay, out=here).mul_(h)
    else:
        plus_scaled(g, later, -dynamics.decay * dynamics.amount, out=here).mul_(h)
    if later is None:
        return
    if dynamics.reset == "hard":
        plus_product(here, later, dynamics.silent(u, scratch), dynamics.decay, out=here)
    else:
        plus_scaled(here, later, dynamics.decay, out=here)


@dataclass(frozen=True)
class _BackSteps(fused.Loop):
    """The recursion for :mod:`art_snn.fused`, of a rule that is elementwise: g, u -> d."""

    rule: TemporalGradient
    site: Site

    backwards: ClassVar[bool] = True
    exact: ClassVar[bool] = False

    def step(
        self, given: fused.Rows, before: fused.Rows | None, state: Tensor | None
    ) -> tuple[fused.Rows, None]:
        (g, u), dynamics, here = given, self.site.dynamics, torch.empty_like(given[1])
        h = self.rule.slope((u - dynamics.threshold)[None], self.site)[0]
        later = None if before is None else before[0]
        _one_step(dynamics, self.rule.detach_reset, g, h, u, later, here)
        return (here,), None

    def eager(self, given: fused.Rows, results: fused.Rows) -> None:
        backward_steps(self.rule, self.site, in_place(self.rule, self.site), *given, *results)

    def trial(self, like: Tensor, generator: torch.Generator) -> fused.Rows:
        u = torch.empty_like(like)
        dynamics = self.site.dynamics
        dynamics._simulate(currents_around(dynamics, like, generator), u, torch.empty_like(like))
        u = u.nan_to_num(0, 0, 0).clamp(-10 * dynamics.threshold, 10 * dynamics.threshold)
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device), u

    def tolerance(self, given: fused.Rows, expected: fused.Rows) -> Tensor:
        """In units of the last place of the largest terms that are added up in a column."""
        (g, _), (d,) = given, expected
        largest = (d[-1] / g[-1]).abs().nan_to_num(0, 0, 0).max()
        terms = d.abs().amax(0) + largest * g.abs().amax(0)
        return 64 * torch.finfo(d.dtype).eps * terms
