"""Engine of the temporal rules: back-propagation through every time step of a layer.

One autograd function covers a layer over all its time steps. Its forward keeps the potential u and
nothing else of that size: the spikes follow from u >= threshold. Its backward is the recursion of
Wu et al. (2018), from t = T - 1 down with d[T] = 0, g = dL/ds and d = dL/dx::

    d[t] = g[t] h[t] + decay q[t] d[t+1]
    hard reset: q[t] = (1 - s[t]) - u[t] h[t]
    soft reset: q[t] = 1 - threshold h[t]
    no reset:   q[t] = 1

A detached reset drops the u h or the threshold h term. Further parameters of the dynamics
replace u by u - v_reset and the threshold by `reset_by`, and dL/dx is gain d. Where every
step has its decay, that of step t + 1 counts. Of several spikes in a step g h becomes g
H, with the sum H of h over their thresholds, and so does the h of a soft reset. Nothing
passes a floor that has moved v.

Where a graph of the gradient is asked for (`create_graph=True`), the recursion gives the
values, and a loop in plain autograd their graph. A spike has the slope h(z), z = u -
threshold, and that slope the derivative h'(z) by torch's autograd. So the second
derivative is that of the network in which a function with derivative h replaces the step.
Where a slope also depends on statistics of other potentials, these are held fixed, as in
the first one."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import saved_tensors_hooks

from art_snn.dynamics import (
    Dynamics,
    Operands,
    empty_steps,
    operand,
    plus_product,
    plus_scaled,
)
from art_snn.gradients.base import Body, Execution, Gradient, NeuronRef
from art_snn.gradients.shared import (
    Final,
    apply,
    attach_anchor,
    blocks,
    graph_task,
    has_no_second_derivative,
    straight_through,
    sum_slopes,
)
from art_snn.gradients.surrogates import Surrogate

THROUGH_TIME = Execution("through time", "a temporal rule needs every time step")

StepSlope = Callable[[Tensor, slice, slice], Tensor]
"""(u - threshold [t, n, ...] at some steps of some samples, these steps and samples) -> slope."""

Prepare = Callable[[Tensor, NeuronRef], StepSlope | None]
"""As :meth:`TemporalGradient.prepare`."""


class TemporalGradient(Gradient):
    """A rule that back-propagates through time with a slope h instead of the spike's derivative.

    A new rule overrides :meth:`slope`, and sets `detach_reset` where its paper does so.
    Where the slope depends on the distance alone it sets `elementwise`, and gets some
    steps and samples. Where torch can differentiate the slope, it has a
    :attr:`second_derivative`, and may say so."""

    surrogate: Surrogate | None = None
    """The form of the slope, of rules that take one."""
    detach_reset: bool = False
    elementwise: ClassVar[bool] = False

    @abstractmethod
    def slope(self, distance: Tensor, site: NeuronRef) -> Tensor:
        """Slope h that replaces the derivative of the spikes.

        :param distance: u - threshold [T, N, ...], or a part if elementwise; not to be changed.
        :return: slope of the same shape, a new tensor."""

    def slope_in_place(self, distance: Tensor, site: NeuronRef) -> Tensor:
        """The slope of an elementwise rule, which may overwrite the distance."""
        return self.slope(distance.clone(), site)

    def prepare(self, potential: Tensor, site: NeuronRef) -> StepSlope | None:
        """The slope function of one forward pass; None if :meth:`slope` gives its slopes.

        :param potential: u [T, N, ...], which the rule neither changes nor keeps."""
        return None

    def logits(self, body: Body, x: Tensor) -> Tensor:
        body.execution = THROUGH_TIME
        return body.run(body.encode(x), self.firing())

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        if dynamics.by_exchange:
            return None
        if not dynamics.obeys_equations:
            others = "it uses the equations of LIF and IF, and these neurons obey others"
            return dynamics.unknown or others
        single = "its slope is that of one threshold, and these neurons have one for every spike"
        return None if dynamics.max_spikes == 1 or self.elementwise else single

    def firing(self, prepare: Prepare | None = None) -> "TemporalFiring":
        """The firing of a neuron under this rule.

        :param prepare: takes the place of :meth:`prepare` for one pass; None leaves it."""
        return TemporalFiring(self, prepare or self.prepare)

    def fire_watched(self, site: NeuronRef, current: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes, and potentials u before the reset, [T, N, ...]; both have the rule's gradient."""
        if torch.is_grad_enabled() and current.requires_grad:
            spikes, _, potential = _ThroughTime.apply(current, self, site, self.prepare)  # type: ignore[no-untyped-call]  # Autograd's apply has no types.
            return spikes, potential
        potential = empty_steps(current)
        return site.dynamics.simulate(current, potential), potential


@dataclass(frozen=True)
class TemporalFiring:
    """The firing of a neuron under a temporal rule, whose slopes `prepare` gives."""

    rule: TemporalGradient
    prepare: Prepare

    def __call__(self, site: NeuronRef, current: Tensor) -> Tensor:
        if torch.is_grad_enabled() and current.requires_grad:
            return apply(_ThroughTime, current, self.rule, site, self.prepare)
        return site.dynamics.simulate(current)

    def slope_at(self, distance: Tensor, site: NeuronRef) -> Tensor:
        """The slope [N, ...], a new tensor, of spikes of one step at u - threshold."""
        if self.rule.elementwise:
            return self.rule.slope(distance, site)
        steps = distance[None]
        at_step = self.prepare(steps, site) or _at_step(self.rule, site, steps)
        return at_step(steps, slice(None), slice(None))[0]


class _ThroughTime(Function):
    """Spikes of one layer forward, the recursion of the module's docstring backward."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        rule: TemporalGradient,
        site: NeuronRef,
        prepare: Prepare,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.rule, ctx.site, ctx.further = rule, site, {}
        ctx.set_materialize_grads(False)
        # True if only the sum over time will be read of the gradient at the current.
        repeated = type(current.grad_fn).__name__ == "_RepeatBackward"  # By repeat_step.
        ctx.summed = current.device.type == "cpu" and repeated
        potential = empty_steps(current)
        spikes = site.dynamics.simulate(current, potential)
        ctx.at_step = prepare(potential, site)
        return (*attach_anchor(ctx, rule, spikes, potential), potential.detach())

    @staticmethod
    def backward(
        ctx: Any,
        grad_spikes: Tensor | None,
        grad_anchor: Tensor | None,
        grad_potential: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        further = ctx.further.pop(graph_task(), None)
        if grad_spikes is None and grad_potential is None:
            return further, None, None, None
        potential, anchor = ctx.saved_tensors
        grad_spikes = torch.zeros_like(potential) if grad_spikes is None else grad_spikes
        with torch.no_grad():
            d = _recursion(ctx, grad_spikes, potential, grad_potential)
        if torch.is_grad_enabled():
            if grad_potential is not None:
                raise has_no_second_derivative("a loss on potentials")
            d = _with_graph(ctx, d, grad_spikes, potential, anchor)
        return d if further is None else d + further, None, None, None


def _with_graph(
    ctx: Any, d: Tensor, g: Tensor, potential: Tensor, anchor: Tensor
) -> Tensor:
    """The gradient d at the current, which can be differentiated again if the rule allows it."""
    rule, site = ctx.rule, ctx.site
    if not rule.second_derivative:
        return apply(Final, d, anchor, rule)
    at_step = ctx.at_step or _at_step(rule, site, potential)
    flat = rule.surrogate is not None and rule.surrogate.flat

    def slope(distance: Tensor, t: int) -> Tensor:
        h = at_step(distance[None], slice(t, t + 1), slice(None))[0]
        if torch.is_grad_enabled() and not (h.requires_grad or flat):
            raise has_no_second_derivative(rule)
        return h

    # It has the graph of the current, which is not kept; the anchor leads to this function.
    current = apply(_Current, anchor, potential, ctx.further)
    with torch.enable_grad():
        spikes = _spikes(rule, site, slope, potential, current)
        (graph,) = torch.autograd.grad(spikes, current, g, create_graph=True)
    return straight_through(d, graph)


def _recursion(ctx: Any, g: Tensor, u: Tensor, at_u: Tensor | None) -> Tensor:
    """d [T, N, ...] from g and u [T, N, ...]; if `ctx.summed`, its mean over time, repeated.

    :param at_u: the gradient at u apart from that through the spikes; None for 0."""
    rule, site, dynamics = ctx.rule, ctx.site, ctx.site.dynamics
    at_step = ctx.at_step or _at_step(rule, site, u, in_place=True)
    decays = dynamics.decays(len(u))
    last = len(u) - 1
    # So that four tensors of all time steps stay in the cache.
    parts = blocks(u, 4 * len(u))
    z = torch.empty_like(u[:, parts[0]])
    q = torch.empty_like(z)
    total = torch.empty_like(u[0]) if ctx.summed else None
    d = torch.empty_like(u) if total is None else total
    for block in parts:
        us = u[:, block]
        n = us.shape[1]
        distance = torch.sub(us, operand(dynamics.threshold, u), out=z[:, :n])
        h = at_step(distance, slice(None), block)
        qs = _shares(rule, site, us[:last], h[:last], q[:last, :n])
        here = d[:, block] if total is None else z[:, :n]
        torch.mul(g[:, block], h, out=here)
        ds = (here if at_u is None else here.add_(at_u[:, block])).unbind()
        for t in range(last - 1, -1, -1):
            plus_product(ds[t], ds[t + 1], qs[t], decays[t + 1], out=ds[t])
        if total is not None:
            total[block] = here.mean(0)
    if dynamics.gain != 1:
        d.mul_(operand(dynamics.gain, d))
    return d.expand_as(u)


def _shares(
    rule: TemporalGradient, site: NeuronRef, u: Tensor, h: Tensor, out: Tensor
) -> Tensor:
    """q [T, N, ...] from u and h, written to `out` where it is not 1 throughout."""
    dynamics, threshold = site.dynamics, operand(site.dynamics.threshold, u)
    q = u.new_ones(()).expand(u.shape)
    if dynamics.reset == "hard":
        below = torch.le if dynamics.strict else torch.lt
        q = below(u, threshold, out=out)
        if not rule.detach_reset:
            first = h if dynamics.max_spikes == 1 else rule.slope(u - threshold, site)
            plus_product(
                q,
                u if dynamics.v_reset == 0 else u - dynamics.v_reset,
                first,
                -1,
                out=out,
            )
    elif dynamics.reset == "soft" and not rule.detach_reset:
        q = plus_scaled(q, h, -dynamics.reset_amount, out=out)
    return q if dynamics.floor is None else q * (dynamics.above_floor(u) > 0)


def _at_step(
    rule: TemporalGradient, site: NeuronRef, potential: Tensor, in_place: bool = False
) -> StepSlope:
    """A function that gives the slope at some steps of some samples.

    :param in_place: True if the slope of an elementwise rule may overwrite the distance."""
    if rule.elementwise:
        slope = partial(rule.slope_in_place if in_place else rule.slope, site=site)
        return lambda distance, t, samples: sum_slopes(slope, distance, site.dynamics)
    slopes = rule.slope(potential - site.dynamics.threshold, site)
    return lambda distance, t, samples: slopes[t, samples]


_Slope = Callable[[Tensor, int], Tensor]
"""(u - threshold [N, ...] at a step, the step) -> slope [N, ...]."""


def _spikes(
    rule: TemporalGradient,
    site: NeuronRef,
    slope: _Slope,
    potential: Tensor,
    current: Tensor,
) -> Tensor:
    """Spikes [T, N, ...] of the state equations, with their graph.

    :param potential: u of the simulation [T, N, ...].
    :param current: a tensor [T, N, ...] with the graph of the current; its values are not read."""
    dynamics = site.dynamics
    settings = Operands(dynamics, potential)
    threshold = settings.threshold
    floor = settings.floor
    decays = [operand(decay, potential) for decay in dynamics.decays(len(potential))]
    soft = dynamics.reset == "soft"
    drop = settings.reset_amount if soft else 0
    spikes = []
    v = None
    for t, (value, x) in enumerate(zip(potential, current, strict=True)):
        charge = settings.gain * x
        u = straight_through(value, charge if v is None else charge + decays[t] * v)
        fired = dynamics.fire(value.detach())
        s = apply(_Spike, u - threshold, fired, slope, t)
        spikes.append(s)
        if dynamics.max_spikes != 1 and not soft:
            fired = fired.clamp(max=1)
            s = apply(_Spike, u - threshold, fired, lambda z, _: rule.slope(z, site), t)
        s = fired if rule.detach_reset else s
        v = u - drop * s
        if dynamics.reset == "hard":
            v = u * (1 - s) + settings.v_reset * s
        v = v if floor is None else (v - floor).relu() + floor
    return torch.stack(spikes)


class _Current(Function):
    """A broadcast zero that stands for the current.

    Its gradient [T, N, ...] is added to `further`, under the number of the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, anchor: Tensor, like: Tensor, further: dict[int, Tensor]
    ) -> Tensor:
        ctx.further = further
        return like.new_zeros(()).expand(like.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        earlier = ctx.further.get(graph_task())
        ctx.further[graph_task()] = grad if earlier is None else earlier + grad
        return grad.new_empty(0), None, None


class _Spike(Function):
    """Known spikes forward; backward the gradient times the slope at z, with a graph."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, fired: Tensor, slope: _Slope, t: int) -> Tensor:
        ctx.save_for_backward(z)
        ctx.slope, ctx.t = slope, t
        return fired.view_as(fired)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (z,) = ctx.saved_tensors
        # Slopes write into what they have made; the graph keeps copies.
        with saved_tensors_hooks(lambda x: x.detach().clone(), lambda x: x):
            h = ctx.slope(z, ctx.t)
        return grad * h, None, None, None
