"""How research code writes that a neuron fires: one row for every form, and what `adapt` does.

`test_firing_forms.py` holds every row, and `docs/firing_table.py` writes them out as tables of the
documentation. The reference of a row is the same loop with a triangle in place of the form."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import one_hot, relu

FEATURES, HIDDEN, CLASSES, STEPS = 12, 16, 4, 5
THETA = 0.8
ONE = torch.ones(())
EXACT, KEPT = "exact", "keeps its gradient"
UNSEEN = "none by an autograd function or a comparison"
NO_STAIRCASE = "does not rise from 0 at a few values of one argument"
Spike = Callable[[Tensor, Any], Tensor]


def as_function(forward: Callable[..., Any], slope: Callable[..., Any] = abs) -> Callable[..., Any]:
    """An autograd function with this forward; the slope of its first argument is one of its own."""

    def keep_and_run(ctx, *args):
        ctx.first = args[0]
        return forward(ctx, *args)

    def backward(ctx, grad, *others):
        return grad * slope(ctx.first), None, None

    methods = {"forward": staticmethod(keep_and_run), "backward": staticmethod(backward)}
    return type("Fire", (Function,), methods).apply


fire = as_function(lambda ctx, z: (z >= 0).to(z))
triangle = as_function(lambda ctx, z: (z >= 0).to(z), lambda z: (1 - z.abs()).clamp(min=0))


class Loop(nn.Module):  # Leaky neurons, [T, N, FEATURES] -> [T, N, CLASSES].
    def __init__(self, spike: Spike, reset: Callable[..., Tensor], before: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(FEATURES, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, CLASSES)
        nn.init.normal_(self.first.weight, std=0.6)
        self.theta: Any = THETA
        self.spike, self.start_again, self.before = spike, reset, before

    def current(self, x: Tensor, spikes: Tensor) -> Tensor:
        return self.first(x)

    def threshold(self, spikes: Tensor) -> Any:
        return self.theta

    def forward(self, x: Tensor) -> Tensor:
        v = spikes = x.new_zeros(x.shape[1], HIDDEN)
        outputs = []
        for step in x:
            u = 0.8 * v + self.current(step, spikes)
            spikes = self.spike(u, self.threshold(spikes))
            v = self.start_again(u, spikes, self.theta)
            outputs.append(self.last(spikes))
        return torch.stack(outputs)


class Recurrent(Loop):
    """with recurrent weights and a threshold that spikes raise"""

    def current(self, x: Tensor, spikes: Tensor) -> Tensor:
        return self.first(x) + self.second(spikes)

    def threshold(self, spikes: Tensor) -> Any:
        return self.theta + 0.5 * spikes


class Learnt(Loop):
    """with a threshold that is learnt"""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.theta = nn.Parameter(torch.full((HIDDEN,), THETA))


class AllSteps(Loop):
    """all time steps in one call"""

    def forward(self, x: Tensor) -> Tensor:
        ages = torch.arange(STEPS)[:, None] - torch.arange(STEPS)
        u = torch.einsum("ts,snh->tnh", (0.8**ages).tril(), self.first(x))
        return self.last(self.spike(u, self.theta))


class SecondLayer(Loop):
    """after a layer that is seen"""

    def current(self, x: Tensor, spikes: Tensor) -> Tensor:
        return self.second(self.before(self.first(x) - THETA))


def compiled(*args: Any) -> nn.Module:
    """in a model that torch.compile compiled"""
    return torch.compile(Loop(*args), backend="eager")


ARGUMENTS: Mapping[str, Callable[[Tensor, Any], Any]] = {
    "u": lambda u, theta: u,
    "theta": lambda u, theta: theta,
    "z": lambda u, theta: u - theta,
    "p": lambda u, theta: torch.sigmoid(u - theta),
    "hard": lambda u, theta: (u >= theta).to(u),
    "soft": lambda u, theta: torch.sigmoid(4 * (u - theta)),
    "steepness": lambda u, theta: 100.0,
    "last_spike": lambda u, theta: torch.ones_like(u),
}
"""What a form computes its spikes of, by the names of its arguments."""


def subtract(u: Tensor, s: Tensor, theta: Any) -> Tensor:
    return u - theta * s.detach()


@dataclass(frozen=True)
class Form:
    """One way in which neurons fire, or are reset.

    :param spike: gives the spikes; it is the forward of an autograd function if it takes ctx.
    :param used: where it is used.
    :param expected: EXACT, KEPT, or the key word of the refusal.
    :param same: u, theta -> the spikes of the reference, with triangles.
    :param reset: u, spikes, theta -> the potential from which the next step starts.
    :param same_reset: that of the reference, where it differs.
    :param note: what the expression does not say; otherwise the loop says it."""

    spike: Callable[..., Any] = lambda z: fire(z)
    used: str = "hand-written"
    expected: str = EXACT
    same: Spike = lambda u, theta: triangle(u - theta)
    reset: Callable[..., Tensor] = subtract
    same_reset: Callable[..., Tensor] | None = None
    loop: Callable[..., nn.Module] = Loop
    dtype: torch.dtype = torch.float32
    largest_error: float = 1e-6
    note: str = ""

    def __str__(self) -> str:
        """The expression of the spikes, or of the reset where the row is about that."""
        about = self.spike if self.reset is subtract else self.reset
        names = ", ".join(inspect.signature(about).parameters)
        code = expressions()[about.__code__.co_firstlineno]
        code = f"`forward({names}): {code}`" if names.startswith("ctx") else f"`{code}`"
        note = self.note or self.loop.__doc__
        return f"{code}, {note}" if note else code

    def loops(self) -> tuple[nn.Module, nn.Module]:
        """The model, and its reference."""
        names = list(inspect.signature(self.spike).parameters)
        form = as_function(self.spike) if names[0] == "ctx" else self.spike
        values = [ARGUMENTS[name] for name in names if name != "ctx"]

        def spike(u: Tensor, theta: Any) -> Tensor:
            output = form(*[value(u, theta) for value in values])
            return output[0] if isinstance(output, tuple) else output

        same = spike if self.expected == KEPT else self.same
        reference = self.loop(same, self.same_reset or self.reset, triangle)
        return self.loop(spike, self.reset, fire).to(self.dtype), reference.to(self.dtype)


@cache
def expressions() -> dict[int, str]:
    """What the first lambda of every line of this file returns."""
    text = Path(__file__).read_text(encoding="utf-8")
    lambdas = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Lambda)]
    lambdas.sort(key=lambda node: (node.lineno, -node.col_offset))
    sources = {node.lineno: ast.get_source_segment(text, node.body) or "" for node in lambdas}
    return {line: " ".join(source.split()) for line, source in sources.items()}


def without_graph(form: Callable[[], Tensor]) -> Tensor:
    with torch.no_grad():
        return form()


def assign(values: Tensor, mask: Tensor, number: Any) -> Tensor:
    values[mask] = number
    return values


def put_into(soft: Tensor, hard: Tensor) -> Tensor:
    soft.data = hard
    return soft


def step(z: Tensor) -> Tensor:
    return (z >= 0).to(z)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    heaviside = torch.jit.script(step)


def ternary(u: Tensor, theta: Any) -> Tensor:
    return triangle(u - theta) - triangle(-u - theta)


def levels(u: Tensor, theta: Any) -> Tensor:
    return triangle(u - theta) + triangle(u - 2 * theta)


def gated(u: Tensor, theta: Any) -> Tensor:
    return triangle(u - theta) * triangle(u - 0.4)


FUNCTIONS = [
    Form(lambda ctx, z: (z >= 0).to(z), "SpikingJelly"),
    Form(lambda ctx, z: torch.zeros_like(z).masked_fill_(z > 0, 1), "the tutorial of spytorch"),
    Form(lambda ctx, z, steepness: (z > 0).to(z), "snnTorch, Norse"),
    Form(lambda ctx, z, last_spike: (z > 0).float(), "STDB"),
    Form(lambda ctx, u: u.gt(THETA).float(), "STBP", note="THETA is the function's own"),
    Form(lambda ctx, u, theta: (u >= theta).to(u), "lava-dl"),
    Form(lambda ctx, theta, u: (u >= theta).to(u)),
    Form(lambda ctx, u, theta: (u > theta).to(u), loop=Learnt),
    Form(lambda ctx, z: torch.heaviside(z, torch.ones(())), "PSN", loop=AllSteps),
    Form(lambda ctx, z: heaviside(z), note="torch.jit compiled `heaviside`"),
    Form(lambda ctx, z: torch.from_numpy((z.numpy() >= 0).astype("float32"))),
    Form(lambda ctx, z: (z >= 0) * 2.5, same=lambda u, theta: 2.5 * triangle(u - theta)),
    Form(
        lambda ctx, u: u.clamp(0, 16).round(),
        "SpikeYOLO, with fewer levels",
        same=lambda u, theta: sum(triangle(u - k - 0.5) for k in range(16)),
    ),
    Form(lambda ctx, u: (u > THETA).to(u) - (u < -THETA).to(u), same=ternary),
    Form(lambda u, theta: fire(u - theta) - fire(-u - theta), same=ternary),
    Form(lambda u, theta: fire(u / theta - 1), "DIET-SNN", same=lambda u, t: triangle(u / t - 1)),
    Form(lambda u, theta: theta * fire(u - theta), "QCFS", same=lambda u, t: t * triangle(u - t)),
    Form(lambda u, theta: fire(u - theta) * fire(u - 0.4), "QKFormer", same=gated),
    Form(lambda ctx, u: ((u >= THETA).to(u), u), expected="it returns a tuple"),
    Form(lambda ctx, u, z: (u + z >= THETA).to(u), expected=NO_STAIRCASE),
    Form(lambda ctx, z: (z < 0).to(z), expected=NO_STAIRCASE),
    Form(lambda ctx, u: (u >= THETA) * u, expected=NO_STAIRCASE),
    Form(lambda ctx, u: (u / THETA).floor().clamp(min=0), expected=NO_STAIRCASE),
    Form(lambda ctx, u: u.clamp(0, 17).round(), expected=NO_STAIRCASE, note="18 levels"),
    Form(lambda ctx, u: u.cumsum(0), expected=NO_STAIRCASE, loop=AllSteps),
    Form(lambda ctx, z: torch.sign(z), expected=NO_STAIRCASE, note="without 0"),
    Form(lambda ctx, p: torch.bernoulli(p), expected=NO_STAIRCASE),
]
COMPARISONS = [
    Form(lambda u, theta: (u >= theta).float(), "BindsNET"),
    Form(lambda z: (z > 0).to(z.dtype)),
    Form(lambda u, theta: (torch.full_like(u, theta) <= u).float()),
    Form(lambda u, theta: (~(u < theta)).type_as(u)),
    Form(lambda u, theta: 1 - (u < theta).float()),
    Form(lambda u, theta: (u >= theta).int().float()),
    Form(lambda u, theta: (u >= theta) * 1.0),
    Form(lambda u, theta: ((u >= theta) & (u.detach() < 99)).float(), note="a refractory time"),
    Form(lambda u, theta: ((u >= theta) | (u.detach() < -99)).float()),
    Form(lambda u, theta: ((u >= theta) ^ (u.detach() < -99)).float()),
    Form(lambda u, theta: ((u >= theta) * (u >= 0.4)).float(), same=gated),
    Form(lambda u, theta: (u >= theta).unsqueeze(0)[0, :].float()),
    Form(lambda z: without_graph(lambda: z >= 0).float()),
    Form(lambda u, theta: torch.where(u >= theta, 1.0, 0.0)),
    Form(lambda z: torch.where(condition=torch.ge(other=ONE - 1, input=z), other=0.0, input=ONE)),
    Form(lambda u, theta: torch.zeros_like(u).masked_fill(u >= theta, 1.0)),
    Form(lambda u, theta: assign(torch.zeros_like(u), u >= theta, 1)),
    Form(lambda z: torch.heaviside(z, ONE)),
    Form(lambda z: (torch.sign(z) + 1) / 2),
    Form(lambda z: torch.sign(z).clamp(min=0)),
    Form(lambda z: relu(torch.sign(z))),
    Form(lambda u, theta: (u >= theta).float() - (u <= -theta).float(), same=ternary),
    Form(lambda u, z: torch.where(z > 0, 1, torch.where(u < -THETA, -1.0, 0.0)), same=ternary),
    Form(lambda u, z: assign(assign(torch.zeros_like(u), z > 0, 1), u < -THETA, -1), same=ternary),
    Form(lambda u, theta: sum((u >= k * theta).float() for k in (1, 2)), same=levels),
    Form(lambda u: (u[..., None] >= THETA * torch.arange(1, 3)).float().sum(-1), same=levels),
    Form(lambda u, z: torch.stack([z >= 0, u >= 2 * THETA]).float().sum(0), same=levels),
    Form(lambda z: torch.cat([z[:3] >= 0, z[3:] >= 0]) * 1.0),
    Form(lambda z: torch.cat([z[:, :6] >= 0, z[:, 6:] >= 0], dim=-1).float()),
    Form(lambda u, theta: (u >= theta) * u, same=lambda u, theta: triangle(u - theta) * u),
    Form(
        lambda p: (torch.rand_like(p) < p).float(),
        same=lambda u, t: triangle(torch.sigmoid(u - t) - torch.rand_like(u)),
    ),
]
SUMS = [
    Form(lambda hard, soft: (hard - soft).detach() + soft, "IM-Loss"),
    Form(lambda hard, soft: soft + (hard - soft).detach()),
    Form(lambda hard, soft: soft - (soft - hard).detach()),
    Form(lambda hard, soft: hard.detach() - soft.detach() + soft),
    Form(lambda hard, soft: soft + hard.detach() - soft.detach()),
    Form(lambda hard, soft: soft - soft.detach() + hard),
    Form(lambda hard, soft: hard + (soft - soft.detach())),
    Form(lambda hard, soft: -soft.detach() + soft + hard),
    Form(lambda u, soft: soft + without_graph(lambda: (u >= THETA).to(u) - soft)),
    Form(lambda z, soft: (fire(z) - soft).detach() + soft),
    Form(lambda hard, u: (hard - u.clamp(0, 1)).detach() + u.clamp(0, 1)),
    Form(lambda hard, z: hard.detach() + torch.sigmoid(z) - torch.sigmoid(z).detach()),
    Form(lambda hard, u: 3 * hard + u - u.detach(), same=lambda u, t: 3 * triangle(u - t)),
    Form(lambda u, z: (torch.sign(z) - u).detach() + u, same=lambda u, t: 2 * triangle(u - t) - 1),
    Form(lambda u, hard: (hard - (u < -THETA).float()).detach() + u - u.detach(), same=ternary),
]
INJECTED = [
    Form(lambda hard, z: hard.detach() + (z - z.detach()) * relu(1 - z.abs()).detach()),
    Form(lambda u, p: (u - u.detach()) * (p * (1 - p)).detach() + (u > THETA).float()),
    Form(lambda z: torch.heaviside(z, ONE).detach() + (z - z.detach()) / (1 + z * z).detach()),
    Form(lambda z: torch.where(z > 0, 1.0, 0.0) - (z.detach() - z) * torch.exp(-z * z).detach()),
    Form(lambda hard, u, z: hard + torch.mul(torch.exp(-z.detach().abs()), u - u.detach())),
    Form(lambda hard, z: hard + (z - z.detach()) * without_graph(lambda: torch.exp(-z * z))),
    Form(lambda hard, u, p: hard.detach() + u * p.detach() - (u * p.detach()).detach()),
]
STATES = [
    Form(used="SpikingJelly", reset=lambda u, s, theta: u - theta * s),
    Form(used="STBP, SpikingJelly", reset=lambda u, s, theta: u * (1 - s)),
    Form(used="spytorch, Norse", reset=lambda u, s, theta: u * (1 - s.detach())),
    Form(used="SpikingJelly", reset=lambda u, s, theta: (1 - s) * u + s * -0.1),
    Form(used="snnTorch", reset=lambda u, s, theta: u - theta * fire(u - theta).detach()),
    Form(reset=lambda u, s, theta: u - without_graph(lambda: theta * s)),
    Form(reset=lambda u, s, theta: torch.where(s > 0, 0.0, u)),
    Form(used="BindsNET", reset=lambda u, s, theta: u.masked_fill_(s > 0, 0.0)),
    Form(reset=lambda u, s, theta: u.sub_(s.detach()), spike=lambda ctx, u: u.gt(THETA) * 1.0),
    Form(
        used="STDB, DIET-SNN",
        reset=lambda u, s, theta: u - theta * (u > theta).float(),
        same_reset=lambda u, s, theta: u - theta * triangle(u - theta),
        note="also the reset has a slope",
    ),
    Form(lambda u, theta: (u > theta).to(u), "LSNN", loop=Recurrent),
    Form(lambda u, theta: (u > theta).to(u), loop=Learnt),
    Form(lambda z: (z > 0).to(z), "double precision", dtype=torch.float64, largest_error=1e-12),
]
UNSEEN_FORMS = [
    Form(lambda u: u.clamp(0, 1).round(), expected=UNSEEN),
    Form(lambda z: without_graph(lambda: (z > 0).float()), expected=UNSEEN),
    Form(lambda u, theta: (u.detach() >= theta).float(), expected=UNSEEN),
    Form(lambda u, theta: (u.data >= theta).float(), expected=UNSEEN),
    Form(lambda hard: hard.detach(), expected=UNSEEN),
    Form(lambda z: torch.from_numpy((z.detach().numpy() >= 0).astype("float32")), expected=UNSEEN),
    Form(lambda z: torch.zeros_like(z).add_(z >= 0), expected=UNSEEN),
    Form(lambda z: torch.add(torch.zeros_like(z), z >= 0, alpha=2), expected=UNSEEN),
    Form(lambda z: assign(torch.zeros_like(z), z >= 0, z[z >= 0]), expected=UNSEEN),
    Form(lambda z: torch.zeros_like(z).index_put((z >= 0,), ONE), expected=UNSEEN),
    Form(lambda u: one_hot(u.argmax(1), HIDDEN).to(u), expected=UNSEEN),
    Form(lambda z: heaviside(z), expected=UNSEEN, note="torch.jit compiled `heaviside`"),
    Form(expected="torch.compile hides its spikes", loop=compiled),
    Form(lambda u: u + (u.round() - u).detach(), expected=KEPT, loop=SecondLayer),
    Form(lambda p: p + (torch.bernoulli(p) - p).detach(), expected=KEPT, loop=SecondLayer),
    Form(lambda z, soft: soft + (z.detach() > 0) - soft.detach(), expected=KEPT, loop=SecondLayer),
    Form(lambda hard, soft: soft + (hard - soft).data, expected=KEPT, loop=SecondLayer),
    Form(lambda hard, soft: put_into(soft, hard), expected=KEPT, loop=SecondLayer),
    Form(lambda u, theta: torch.where(u >= theta, u, 0.0), expected=KEPT, loop=SecondLayer),
]
FORMS: Mapping[str, list[Form]] = {
    "Autograd functions": FUNCTIONS,
    "Comparisons": COMPARISONS,
    "Straight-through sums": SUMS,
    "Forward gradient injection": INJECTED,
    "Resets, thresholds and loops": STATES,
    "Forms that are not seen": UNSEEN_FORMS,
}
