"""ASSG: a surrogate whose sharpness follows the potential of every neuron."""

import math
import weakref
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from art_snn.checks import require_number
from art_snn.gradients.base import Body, NeuronRef, with_memory
from art_snn.gradients.shared import align, blocks
from art_snn.gradients.surrogates import ATan, Surrogate
from art_snn.gradients.temporal import THROUGH_TIME, StepSlope, TemporalGradient

_SMALLEST = 1e-4
"""Keeps the sharpness finite where a neuron always sits at its threshold."""
_ROUNDING = 4
"""Units in the last place of single precision by which an attack may round two inputs apart."""
_SHARE: dict[str, Any] = {"at_least": 0, "up_to": 1, "remedy": "Usual is 0.9."}
_BOUNDS: dict[str, dict[str, Any]] = {
    # For these values gradients through eight steps are finite even at the threshold.
    "omega": {
        "above": 0,
        "within": (1e-3, 10.0),
        "remedy": "sharpness_of(0.85) is 2.65.",
    },
    "decay_mean": _SHARE,
    "decay_deviation": _SHARE,
    "relax": {"at_least": 0, "within": (0, 1e3), "remedy": "The paper uses 1.5."},
    "restart": {"at_least": 0, "within": (0, 1e6), "remedy": "A half is the default."},
}
"""The bounds of hyperparameters, as :func:`require_number` takes them."""


def sharpness_of(vanishing: float) -> float:
    """omega = 2 tan(pi A / 2) / pi of the arctangent with vanishing degree A in (0, 1)."""
    require_number(
        "vanishing", vanishing, above=0, below=1, remedy="The paper uses 0.85 to 0.90."
    )
    return 2 * math.tan(math.pi * vanishing / 2) / math.pi


@dataclass(frozen=True, kw_only=True)
class ASSG(TemporalGradient):
    """Adaptive-sharpness surrogate gradient (Wang et al., 2025): STBP with h_alpha(u - threshold).

    Each element (neuron, sample, step) has its own sharpness, from running moments of the distance
    z there over the forward passes of an attack::

        M <- decay_mean M + (1 - decay_mean) |z|
        D <- decay_deviation D + (1 - decay_deviation) | |z| - M |
        alpha = omega / (M + relax D + 1e-4)

    from M = 1 and D = 0. They belong to a sample, and ART gives no sign of a new one. So
    a sample starts afresh where an input value lies farther from the first one in its
    place than any step of an attack leads: than 2 eps within ``network.attacking(eps)``,
    otherwise than `restart` of the clip range. All samples start afresh where the shape
    of the batch or the network has changed.

    A new sample that is close to the earlier one in its place inherits the moments of
    that one. So does a random restart on the same samples. Call `network.forget()` in
    between. Until then the network keeps 2 numbers per element and thread or task, for
    the last eight rules.

    :param omega: scale of the sharpness, in [1e-3, 10]; :func:`sharpness_of` gives it for
        a vanishing degree A of the arctangent.
    :param surrogate: form of the slope. A sharpness alpha turns h into alpha h(alpha z).
    :param decay_mean, decay_deviation: shares b1 of M and b2 of D that survive a pass.
    :param relax: weight of the deviation, in [0, 1e3].
    :param restart: distance in units of the clip range, outside of `network.attacking`;
        in [0, 1e6]. Attacks move a value by 2 eps, so 0.5 suffices up to eps = 0.25.
        Above, use `network.attacking(eps)`; or 1, with `network.forget()` between
        batches.
    :param detach_reset: cut the gradient through the reset, as published."""

    omega: float = field(default_factory=lambda: sharpness_of(0.85))
    surrogate: Surrogate = field(default_factory=lambda: ATan(alpha=1.0))
    decay_mean: float = 0.9
    decay_deviation: float = 0.9
    relax: float = 1.5
    restart: float = 0.5
    detach_reset: bool = True
    remembers = True
    second_derivative = True

    def __post_init__(self) -> None:
        for name, bounds in _BOUNDS.items():
            require_number(name, getattr(self, name), **bounds)

    def slope(self, distance: Tensor, site: NeuronRef) -> Tensor:
        """Slope of a first pass."""
        moments = _PotentialMoments.at_rest(distance)
        moments.update(distance.abs(), self)
        return self.sharpen(distance, moments.scale(self))

    def sharpen(self, distance: Tensor, scale: Tensor) -> Tensor:
        """``alpha h(alpha z)`` for alpha = omega / scale, a tensor that is used up."""
        if type(self.surrogate) is ATan:  # In fewer passes over memory.
            factor = self.omega * self.surrogate.alpha / 2
            ratio = distance / scale
            scale.addcmul_(distance, ratio, value=(math.pi * factor) ** 2)
            return scale.new_full((), factor) / scale
        alpha = scale.reciprocal_().mul_(self.omega)
        return self.surrogate(distance * alpha).mul_(alpha)

    def logits(self, body: Body, x: Tensor) -> Tensor:
        encoded = body.encode(x)
        key = _key(body, encoded)
        # Taken out for the time of the pass, so that an interrupted one leaves nothing half done;
        # and once, of two tasks that were started with this memory.
        earlier = body.memory.get(self)
        body.memory = {rule: value for rule, value in body.memory.items() if rule != self}

        attack = earlier if earlier and earlier.key == key else None
        moments = attack.take() if attack else []
        moved = None
        if attack and moments:
            first = attack.first
            moved = attack.find_moved(x, self.reach(body))
        else:
            first = x.detach().clone()
        if moved is not None:
            first = torch.where(align(moved, x), x.detach(), first)

        following = iter(moments)
        updated: list[_PotentialMoments] = []

        def prepare(potential: Tensor, site: NeuronRef) -> StepSlope:
            layer = next(following, None) or _PotentialMoments.at_rest(potential)
            if moved is not None:
                layer.rest(moved)
            updated.append(layer)
            return self._update(layer, potential, site)

        body.execution = THROUGH_TIME
        with nullcontext() if attack else body.observe_writes():
            logits = body.run(encoded, self.firing(prepare))

        if not attack:
            # Without what the pass has written.
            key = _key(body, encoded)
        body.memory = with_memory(body.memory, self, _Attack(key, first, [updated]))
        return logits

    def _update(
        self, moments: "_PotentialMoments", potential: Tensor, site: NeuronRef
    ) -> StepSlope:
        """The slope function of a pass, whose potentials u [T, N, ...] the moments take in."""
        for block in blocks(potential, steps=len(potential)):
            z = potential[:, block] - site.dynamics.threshold
            moments.of(block).update(z.abs_(), self)

        return lambda distance, t, samples: self.sharpen(
            distance, moments.of(samples).scale(self, t)
        )

    def reach(self, body: Body) -> float:
        """How far an input value may lie from the first one of its sample."""
        context = body.context
        if not context.attacking:
            return self.restart * body.input_span
        return math.inf if context.radius is None else 2 * context.radius


def _key(body: Body, encoded: Tensor) -> tuple[Any, ...]:
    """A key that remains the same in one attack."""
    return encoded.shape, encoded.dtype, encoded.device, body.version_key(exact=True)


@dataclass
class _PotentialMoments:
    """Running moments of |u - threshold|, both [T, N, ...]."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def at_rest(cls, like: Tensor) -> "_PotentialMoments":
        """M = 1 and D = 0."""
        return cls(torch.ones_like(like), torch.zeros_like(like))

    def rest(self, samples: Tensor) -> None:
        """Set the samples that a mask [N] names back to M = 1 and D = 0."""
        mask = align(samples, self.mean, 1)
        self.mean.masked_fill_(mask, 1)
        self.deviation.masked_fill_(mask, 0)

    def update(self, distance: Tensor, rule: ASSG) -> None:
        """Take in |z| [T, N, ...], which is used up."""
        self.mean.lerp_(distance, 1 - rule.decay_mean)
        self.deviation.lerp_(distance.sub_(self.mean).abs_(), 1 - rule.decay_deviation)

    def scale(self, rule: ASSG, t: slice = slice(None)) -> Tensor:
        """M + relax D + 1e-4 of every element, or of those of some steps."""
        return torch.add(self.mean[t], self.deviation[t], alpha=rule.relax).add_(
            _SMALLEST
        )

    def of(self, samples: slice | Tensor) -> "_PotentialMoments":
        """The moments of some samples, a slice of them as views."""
        return _PotentialMoments(self.mean[:, samples], self.deviation[:, samples])


@dataclass
class _Attack:
    """The memory of an attack: first inputs, and moments in order of calls."""

    key: tuple[Any, ...]
    first: Tensor
    moments: list[list[_PotentialMoments]]
    """One entry until a pass takes it; of two tasks only one can remove that."""

    def of(self, samples: Tensor) -> "_Attack":
        """The memory of some of the samples, bool [N]."""
        # Rows, since a mask on the CPU would be sent to the device for every layer.
        samples = samples.nonzero()[:, 0].to(self.first.device)
        first = self.first[samples]
        (steps, _, *sizes), *others = self.key
        key = (torch.Size((steps, len(first), *sizes)), *others)
        moments = [[layer.of(samples) for layer in layers] for layers in self.moments]
        return _Attack(key, first, moments)

    def take(self) -> list[_PotentialMoments]:
        """The moments, once, for a pass to change; copies of those that a graph still reads."""
        try:
            moments = self.moments.pop()
        except IndexError:
            return []
        layers = [(weakref.ref(m), m.mean, m.deviation) for m in moments]
        moments.clear()
        taken = []
        for reader, mean, deviation in layers:
            if reader() is not None:
                mean = mean.clone()
                deviation = deviation.clone()
            taken.append(_PotentialMoments(mean, deviation))
        return taken

    def find_moved(self, x: Tensor, reach: float) -> Tensor | None:
        """The samples [N] that lie out of reach of their first inputs and start afresh, if any."""
        x = x.detach()
        rounding = _ROUNDING * max(
            torch.finfo(x.dtype).eps, torch.finfo(torch.float32).eps
        )
        least = (x - self.first).abs() - rounding * (x.abs() + self.first.abs())
        # Not by >, since a distance that is no number shows nothing.
        moved = ~(least <= reach).flatten(1).all(1)
        return moved if moved.any() else None
