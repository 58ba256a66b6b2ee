"""The state equations of a spiking neuron, and the only simulation of them in the package."""

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from art_snn import fused
from art_snn.checks import require, require_number, set_fields
from art_snn.values import Setting, Values, is_uniform, least, most, operand, plus_scaled, setting

DECAYS = (1e-6, 1.0)
THRESHOLDS = (1e-4, 1e4)
"""With these all rules have finite gradients over eight steps, in single and double precision."""
POTENTIALS = (-1e4, 1e4)
SOFT_AND_HARD = "Hard sets the potential to zero, soft subtracts the threshold."
MOST_STEPS = 100_000


@dataclass(frozen=True, repr=False)
class Dynamics:
    """Leaky integrate-and-fire dynamics from rest, in discrete time.

    With input current x[t], potential u[t] before and v[t] after the reset, v[-1] = 0::

        u[t] = decay * v[t-1] + x[t]
        s[t] = 1 if u[t] >= threshold else 0
        v[t] = u[t] * (1 - s[t])            hard reset
        v[t] = u[t] - threshold * s[t]      soft reset

    Neurons of other frameworks have further parameters, which by default change nothing::

        u[t] = decay * v[t-1] + gain * x[t] + constant,   v[-1] = start
        s[t] = 1 if u[t] > threshold else 0               strict
        v[t] = u[t] * (1 - s[t]) + rest * s[t]            hard reset
        v[t] = u[t] - drop * s[t]                         soft reset
        v[t] = u[t]                                       no reset

    :param decay: share of the potential that survives one step, in [1e-6, 1]; 1 is the IF neuron.
    :param threshold: potential at which the neuron fires, in [1e-4, 1e4], in the unit of the
        current; with a hard reset to a lower potential that far above `rest`.
    :param reset: "hard" (to `rest`), "soft" (by subtraction of `drop`) or "none".
    :param gain: factor of the input current, in [1e-4, 1e4].
    :param constant: what is added to the current at every step, in [-1e4, 1e4].
    :param strict: whether the potential must exceed the threshold to fire.
    :param rest: potential after a hard reset, in [-1e4, 1e4].
    :param start: potential before the first step, in [-1e4, 1e4]; None is `rest`.
    :param drop: what a soft reset subtracts, in [1e-4, 1e4]; None is the threshold.

    A number may be a tensor of one element. All but `strict` may be tensors that broadcast to one
    step [N, ...], such as [K] behind a linear layer and [C, 1, 1] behind a convolution: each neuron
    then has its setting, kept as :class:`~art_snn.values.Values`.

    :raises ValueError: when a parameter is out of its range."""

    decay: Setting = 0.5
    threshold: Setting = 1.0
    reset: Literal["hard", "soft", "none"] = "hard"
    foreign: ClassVar[bool] = False
    """Whether they were read off a module of another framework, which has a gradient of its own."""
    unknown: ClassVar[str | None] = None
    """Why the equations are not known; None where they are."""
    _: KW_ONLY
    gain: Setting = 1.0
    constant: Setting = 0.0
    strict: bool = False
    rest: Setting = 0.0
    start: Setting = None
    drop: Setting = None

    def __post_init__(self) -> None:
        remedy = "Use 1.0 for a neuron without leak."
        decay = _checked("decay", self.decay, above=0, up_to=1, within=DECAYS, remedy=remedy)
        remedy, resets = SOFT_AND_HARD, ("hard", "soft", "none")
        require(self.reset in resets, "reset", "'hard', 'soft' or 'none'", repr(self.reset), remedy)
        set_fields(self, decay=decay)
        remedy = "Use 0.0, the neurons of the papers have none."
        for name in ("constant", "rest", "start"):
            value = self.rest if getattr(self, name) is None else getattr(self, name)
            set_fields(self, **{name: _checked(name, value, within=POTENTIALS, remedy=remedy)})
        expected, hard = "0 where the reset is not hard", self.reset == "hard"
        require(hard or self.rest == 0, "rest", expected, self.rest, "Leave it out.")
        remedy = "The neurons of the papers use 1.0."
        lowest = min(0.0, least(self.rest))
        threshold = _checked("threshold", self.threshold, above=lowest, remedy=remedy)
        set_fields(self, threshold=threshold)
        span = threshold - self.rest if self.resets_below else threshold
        _checked("threshold", span, within=THRESHOLDS, remedy=remedy)
        for name, value in {"gain": self.gain, "drop": self.drop}.items():
            if value is not None:
                number = _checked(name, value, above=0, within=THRESHOLDS, remedy=remedy)
                set_fields(self, **{name: number})
        set_fields(self, strict=bool(self.strict))
        fits, expected = self.drop is None or self.reset == "soft", "None unless the reset is soft"
        require(fits, "drop", expected, self.drop, "Leave it out, or use rest.")

    def __repr__(self) -> str:
        """The fields, of the further ones those that change something."""
        usual = {"start": self.rest, "drop": None}
        usual |= {field.name: field.default for field in fields(Dynamics)[3:7]}
        values = {field.name: getattr(self, field.name) for field in fields(Dynamics)}
        shown = [f"{k}={v!r}" for k, v in values.items() if k not in usual or usual[k] != v]
        return f"Dynamics({', '.join(shown)})"

    @property
    def has_rate_curve(self) -> bool:
        """Whether the rate is a function of the current: after a reset to below the threshold."""
        return self.obeys_equations and self.reset != "none" and self.resets_below

    @property
    def resets_below(self) -> bool:
        """Whether a hard reset leads below the threshold."""
        return least(self.threshold - self.rest) > 0

    @property
    def uniform(self) -> bool:
        """Whether every setting is one number for the whole layer."""
        return is_uniform(getattr(self, f.name) for f in fields(self))

    @property
    def obeys_equations(self) -> bool:
        """Whether neurons obey the equations above, and no subclass simulates in another way."""
        return self.unknown is None and type(self).simulate is Dynamics.simulate

    @property
    def is_standard(self) -> bool:
        """Whether the further parameters change nothing."""
        further = (self.gain, self.constant, self.strict, self.rest, self.start, self.drop)
        return further == (1, 0, False, 0, 0, None)

    @property
    def origin(self) -> Setting:
        """Potential from which those of the :attr:`standard` dynamics are counted.

        After a hard reset below the threshold that of the reset; where a soft reset subtracts
        `drop`, threshold - drop; otherwise 0."""
        if self.drop is not None:
            return self.threshold - self.drop
        return self.rest if self.resets_below else 0.0

    @property
    def standard(self) -> "Dynamics":
        """The dynamics without further parameters that :meth:`effective` currents drive alike.

        They differ in the first steps after another start, and for a potential at the threshold."""
        return Dynamics(self.decay, self.threshold - self.origin, self.reset)

    def effective(self, current: Tensor) -> Tensor:
        """What a current x is to the :attr:`standard` dynamics: gain * x + constant, from there."""
        shift = self.constant - (1 - self.decay) * self.origin
        return current.mul(operand(self.gain, current)).add(operand(shift, current))

    @torch.no_grad()
    def simulate(
        self, current: Tensor, potential: Tensor | None = None, spikes: Tensor | None = None
    ) -> Tensor:
        """Spikes [T, N, ...] of a layer that starts from rest, 0 or 1, in the dtype of the current.

        :param current: input current x [T, N, ...], floating point; may be an expanded view.
        :param potential: buffer [T, N, ...] that receives u, or None.
        :param spikes: buffer [T, N, ...] for the result, or None to make one."""
        if spikes is None:
            spikes = empty_steps(current)
        results = (spikes,) if potential is None else (spikes, potential)
        loop = _Steps(self, potential is not None)
        if not (self.uniform and fused.run_fused(loop, (current,), results)):
            self._simulate(current, potential, spikes)
        return spikes

    def _simulate(self, current: Tensor, potential: Tensor | None, spikes: Tensor) -> None:
        """:meth:`simulate`, step by step."""
        fires = torch.gt if self.strict else torch.ge
        v = self._at_start(spikes[0])
        for t in range(current.shape[0]):
            u = v if potential is None else potential[t]
            self._charge(current[t], v, spikes[t - 1] if t else None, u)
            fires(u, operand(self.threshold, u), out=spikes[t])
            self._discharge(u, spikes[t], v)

    def _at_start(self, like: Tensor) -> Tensor:
        """The potential before the first step, a new tensor."""
        return torch.zeros_like(like).add_(operand(self.start, like))

    def _charge(self, x: Tensor, v: Tensor, before: Tensor | None, u: Tensor) -> None:
        """Write u[t] from x[t], v[t-1], whose place it may take, and s[t-1], None at first."""
        if self.gain == 1:
            plus_scaled(x, v, self.decay, out=u)
        else:
            plus_scaled(torch.mul(v, operand(self.decay, v), out=u), x, self.gain, out=u)
        if self.constant != 0:
            u.add_(operand(self.constant, u))

    def _discharge(self, u: Tensor, spikes: Tensor, v: Tensor) -> None:
        """Write v[t] from u[t], whose place it may take, and s[t]."""
        if self.reset == "hard":
            torch.addcmul(u, u, spikes, value=-1, out=v)
            if self.rest != 0:
                plus_scaled(v, spikes, self.rest, out=v)
        elif self.reset == "soft":
            plus_scaled(u, spikes, -self.amount, out=v)
        elif v is not u:
            v.copy_(u)

    @property
    def amount(self) -> Setting:
        """What a soft reset subtracts."""
        return self.threshold if self.drop is None else self.drop

    def silent(self, potential: Tensor, out: Tensor | None = None) -> Tensor:
        """1 where a neuron of that potential u does not fire, and 0 elsewhere, in its dtype.

        :param out: a buffer for it, or None to make one."""
        out = torch.empty_like(potential) if out is None else out
        below = torch.le if self.strict else torch.lt
        return below(potential, operand(self.threshold, potential), out=out)


def empty_steps(like: Tensor) -> Tensor:
    """A buffer [T, N, ...], contiguous, or with the channels last where those of a step are."""
    last = like.ndim == 5 and like[0].is_contiguous(memory_format=torch.channels_last)
    kept = torch.preserve_format if last else torch.contiguous_format
    return torch.empty_like(like, memory_format=kept)


def _checked(name: str, value: Any, **bounds: Any) -> Setting:
    """A setting whose numbers are all within the bounds of :func:`require_number`."""
    value = setting(value)
    numbers = [require_number(name, extreme, **bounds) for extreme in (least(value), most(value))]
    return value if isinstance(value, Values) else numbers[0]


@dataclass(frozen=True)
class _Steps(fused.Loop):
    """The same steps for :mod:`art_snn.fused`: x -> s, and u where the potential is asked for."""

    dynamics: Dynamics
    with_potential: bool

    carries: ClassVar[bool] = True

    def step(
        self, given: fused.Rows, before: fused.Rows | None, state: Tensor | None
    ) -> tuple[fused.Rows, Tensor]:
        (x,), dynamics = given, self.dynamics
        v = dynamics._at_start(x) if state is None else state
        u, after = torch.empty_like(x), torch.empty_like(x)
        dynamics._charge(x, v, None if before is None else before[0], u)
        s = (u > dynamics.threshold if dynamics.strict else u >= dynamics.threshold).to(u.dtype)
        dynamics._discharge(u, s, after)
        return (s, u) if self.with_potential else (s,), after

    def eager(self, given: fused.Rows, results: fused.Rows) -> None:
        potential = results[1] if self.with_potential else None
        self.dynamics._simulate(given[0], potential, results[0])

    def witness(self) -> "_Steps | None":
        """Where spikes agree, potentials may still not, and then other spikes will differ."""
        return None if self.with_potential else _Steps(self.dynamics, True)

    def trial(self, like: Tensor, generator: torch.Generator) -> fused.Rows:
        return (currents_around(self.dynamics, like, generator),)


def currents_around(dynamics: Dynamics, like: Tensor, generator: torch.Generator) -> Tensor:
    """Currents [T, M] like `like`: random, next to the threshold, or tiny, huge or not finite."""
    noise = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    span = dynamics.threshold - dynamics.origin
    x: Tensor = (noise * span + span / 2) / dynamics.gain
    around, extreme, limits = slice(1, None, 3), slice(2, None, 24), torch.finfo(like.dtype)
    quarters = torch.randint(-5, 6, like.shape, generator=generator, device=like.device)
    off = quarters.to(like.dtype) * (limits.eps * abs(dynamics.threshold) / 4)
    values = (limits.tiny / 4, limits.max, float("inf"), -float("inf"), float("nan"), 0.0)
    kinds = torch.tensor(values, dtype=like.dtype, device=like.device)
    kind = torch.randint(len(values), like.shape, generator=generator, device=like.device)
    x[:, extreme] = torch.where(noise > 1, kinds[kind], x)[:, extreme]
    v = dynamics._at_start(x[0])
    u = torch.empty_like(v)
    fired: Tensor | None = None
    for t in range(len(x)):
        missing = dynamics.threshold - dynamics.decay * v - dynamics.constant
        x[t, around] = (missing.add_(off[t]) / dynamics.gain)[around]
        dynamics._charge(x[t], v, fired, u)
        fired = dynamics.silent(u).neg_().add_(1)
        dynamics._discharge(u, fired, v)
    return x
