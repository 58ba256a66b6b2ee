"""The state equations of a spiking neuron, and the only simulation of them in the package.

A setting of a layer of neurons is a number, or :class:`Values` that differ between neurons."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from art_snn.checks import require, require_count, require_number, set_fields

_THRESHOLDS = (1e-4, 1e4)
"""With these all rules have finite gradients over eight steps, in single and double precision."""
_USUAL = "The neurons of the papers use 1.0."
_POTENTIAL: dict[str, Any] = {
    "within": (-1e4, 1e4),
    "remedy": "Leave it out, the neurons of the papers have none.",
}
_FACTOR: dict[str, Any] = {"above": 0, "within": _THRESHOLDS, "remedy": _USUAL}
_SYNAPSE: dict[str, Any] = {
    "at_least": 0,
    "up_to": 0.9999,
    "remedy": "A synapse that never decays is no filter. 0 is for none.",
}
_BOUNDS = {
    "constant": _POTENTIAL,
    "v_reset": _POTENTIAL,
    "v_start": _POTENTIAL,
    "floor": _POTENTIAL,
    "gain": _FACTOR,
    "reset_by": _FACTOR,
    "amplitude": _FACTOR,
}
"""The bounds of settings that may be left out, as :func:`require_number` takes them."""
SOFT_AND_HARD = "Hard sets the potential to zero, soft subtracts the threshold."
MOST_STEPS = 100_000

_Operation: TypeAlias = Callable[[Any, Any], Any]


def _apply_to_numbers(operation: _Operation) -> _Operation:
    """The operation of Values with another operand."""

    def apply(values: Values, other: Any) -> Any:
        if isinstance(other, Tensor):
            return operation(values.at(other), other)
        return Values(operation(values.numbers, getattr(other, "numbers", other)))

    return apply


class Values:
    """Numbers that broadcast to one time step [N, ...] of a layer, instead of one number.

    They are compared and hashed by value. Arithmetic with a tensor gives a tensor of its
    dtype and device, otherwise Values again.

    :param numbers: a tensor [C, 1, 1], [K] or of any other shape without the batch axis."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers.detach().to("cpu", torch.float64, copy=True)
        # Without negative zeros, which equal others.
        self._key = (tuple(self.numbers.shape), (self.numbers + 0.0).numpy().tobytes())

    def at(self, like: Tensor) -> Tensor:
        """The numbers in the dtype and on the device of another tensor."""
        return self.numbers.to(like.device, like.dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Values) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __format__(self, spec: str) -> str:
        return f"{least(self):{spec}} to {most(self):{spec}}"

    def __repr__(self) -> str:
        return f"({self:.4g}, {self.numbers.numel()} values)"

    __add__ = __radd__ = _apply_to_numbers(operator.add)
    __sub__ = _apply_to_numbers(operator.sub)
    __rsub__ = _apply_to_numbers(lambda values, other: other - values)
    __mul__ = __rmul__ = _apply_to_numbers(operator.mul)
    __truediv__ = _apply_to_numbers(operator.truediv)
    __rtruediv__ = _apply_to_numbers(lambda values, other: other / values)

    def __neg__(self) -> Values:
        return Values(-self.numbers)


Setting: TypeAlias = Any
"""A setting of a layer of neurons: a number for all, or Values, which type checkers cannot say.

A decay may also be a tuple, with one setting for each time step."""


def setting(value: Any) -> Any:
    """A tensor or parameter as a number where it has one element, else as Values."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().item() if value.numel() == 1 else Values(value)


def least(value: Setting) -> float:
    """The smallest number of a setting."""
    if isinstance(value, tuple):
        return min(map(least, value))
    return float(value.numbers.min()) if isinstance(value, Values) else value


def most(value: Setting) -> float:
    """The largest number of a setting."""
    if isinstance(value, tuple):
        return max(map(most, value))
    return float(value.numbers.max()) if isinstance(value, Values) else value


def plus_scaled(a: Tensor, x: Tensor, factor: Setting, out: Tensor) -> Tensor:
    """Write ``a + factor x`` to `out`, which may be any of them."""
    if isinstance(factor, Values):
        return torch.addcmul(a, x, factor.at(x), out=out)
    return torch.add(a, x, alpha=factor, out=out)


def plus_product(a: Tensor, x: Tensor, y: Tensor, factor: Setting, out: Tensor) -> Tensor:
    """Write ``a + factor x y`` to `out`, which may be any of them."""
    if isinstance(factor, Values):
        return plus_scaled(a, x * y, factor, out)
    return torch.addcmul(a, x, y, value=factor, out=out)


def operand(value: Setting, like: Tensor) -> Any:
    """A setting as an operand: a number, or a tensor like the other one."""
    return value.at(like) if isinstance(value, Values) else value


class Operands:
    """The settings of neurons as operands for a tensor, by the names that they have."""

    def __init__(self, dynamics: Dynamics, like: Tensor) -> None:
        self._dynamics = dynamics
        self._like = like

    def __getattr__(self, name: str) -> Any:
        return operand(getattr(self._dynamics, name), self._like)


@dataclass(frozen=True, repr=False)
class Dynamics:
    """Leaky integrate-and-fire dynamics from rest, in discrete time.

    With input current x[t], potential u[t] before and v[t] after the reset, v[-1] = 0::

        u[t] = decay * v[t-1] + x[t]
        s[t] = 1 if u[t] >= threshold else 0
        v[t] = u[t] * (1 - s[t])            hard reset
        v[t] = u[t] - threshold * s[t]      soft reset

    Neurons of other frameworks have further parameters, which by default change nothing::

        u[t] = decay * v[t-1] + gain * x[t] + constant,   v[-1] = v_start
        s[t] = 1 if u[t] > threshold else 0               strict
        v[t] = u[t] * (1 - s[t]) + v_reset * s[t]         hard reset
        v[t] = u[t] - reset_by * s[t]                     soft reset
        v[t] = u[t]                                       no reset
        output[t] = amplitude * s[t]

    Where a synapse lies before the potential, its current i takes the place of x in u::

        i[t] = synapse * i[t-1] + x[t],   i[-1] = 0
        u[t] = decay * v[t-1] + gain * i[t - lag] + constant

    Some chips and simulators count several spikes in a step, and keep potentials above a floor::

        s[t] = min(trunc(max(u[t], 0) / threshold), max_spikes)
        v[t] = max(v[t], floor)                           after the reset

    :param decay: share of the potential that survives one step, in [1e-6, 1] or 0; 1 is
        the IF neuron, 0 forgets. A list of T settings in [-10, 10] has that of v[t-1] for
        every step t.
    :param threshold: potential at which the neuron fires, in [1e-4, 1e4], in the unit of
        the current; with a hard reset to a lower potential that far above `v_reset`.
    :param reset: "hard" (to `v_reset`), "soft" (by subtraction of `reset_by`) or "none".
    :param gain: factor of the input current, in [1e-4, 1e4].
    :param constant: what is added to the current at every step, in [-1e4, 1e4].
    :param strict: True if the potential must exceed the threshold to fire.
    :param v_reset: potential after a hard reset, in [-1e4, 1e4].
    :param v_start: potential before the first step, in [-1e4, 1e4]; None is `v_reset`.
    :param reset_by: what a soft reset subtracts, in [1e-4, 1e4]; None is the threshold.
    :param amplitude: what a spike gives the next layer, in [1e-4, 1e4].
    :param max_spikes: most spikes of a step, None for any. A number other than 1 needs
        neurons without strict, v_reset and reset_by.
    :param floor: lowest potential after a step, in [-1e4, 1e4] and at most `v_reset`, or None.
    :param synapse: share of the synaptic current that survives one step, in [0, 0.9999].
    :param lag: 1 if the potential gets the synaptic current of the step before, else 0.

    A number may be a tensor of one element. All but `strict` and `max_spikes` may be
    tensors that broadcast to one step [N, ...], such as [K] after a linear layer and
    [C, 1, 1] after a convolution: each neuron then has its setting, kept as
    :class:`Values`.

    :raises ValueError: when a parameter is out of its range."""

    decay: Setting = 0.5
    threshold: Setting = 1.0
    reset: Literal["hard", "soft", "none"] = "hard"
    foreign: ClassVar[bool] = False
    """True if they were read off a module of another framework, which has a gradient of its own."""
    unknown: ClassVar[str | None] = None
    """Why the equations are not known; None where they are."""
    by_exchange: ClassVar[bool] = False
    """True if rules that need slopes alone apply, although the equations are not known."""
    _: KW_ONLY
    gain: Setting = 1.0
    constant: Setting = 0.0
    strict: bool = False
    v_reset: Setting = 0.0
    v_start: Setting = None
    reset_by: Setting = None
    amplitude: Setting = 1.0
    max_spikes: int | None = 1
    floor: Setting = None
    synapse: Setting = 0.0
    lag: Literal[0, 1] = 0

    def __post_init__(self) -> None:
        set_fields(self, decay=_check_decay(self.decay), strict=bool(self.strict))
        require(
            self.reset in ("hard", "soft", "none"),
            "reset",
            "'hard', 'soft' or 'none'",
            repr(self.reset),
            SOFT_AND_HARD,
        )

        if self.v_start is None:
            set_fields(self, v_start=self.v_reset)
        for name, bounds in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None:
                set_fields(self, **{name: _check(name, value, **bounds)})

        set_fields(self, synapse=_check("synapse", self.synapse, **_SYNAPSE))
        remedy = "1 is for neurons that get the current of the step before."
        require(self.lag in (0, 1), "lag", "0 or 1", self.lag, remedy)
        remedy = f"{_USUAL} A neuron that never fires has no spikes to differentiate."
        lowest = min(0.0, least(self.v_reset))
        threshold = _check("threshold", self.threshold, above=lowest, remedy=remedy)
        set_fields(self, threshold=threshold)
        span = threshold - self.v_reset if self.resets_below else threshold
        _check("threshold", span, within=_THRESHOLDS, remedy=remedy)
        self._check_together()

    def _check_together(self) -> None:
        """Refuse settings that others do not allow."""
        require(
            self.v_reset == 0 or self.reset == "hard",
            "v_reset",
            "0 where the reset is not hard",
            self.v_reset,
            "Leave it out.",
        )

        require(
            self.reset_by is None or self.reset == "soft",
            "reset_by",
            "None unless the reset is soft",
            self.reset_by,
            "Leave it out, or use v_reset.",
        )

        if self.max_spikes is not None:
            require_count("max_spikes", self.max_spikes, remedy="None is for any number.")
        further = (self.strict, self.v_reset, self.reset_by)
        require(
            self.max_spikes == 1 or further == (False, 0, None),
            "max_spikes",
            "1, unless neurons fire at the threshold and are reset to 0 or by it",
            self.max_spikes,
            (
                "Leave out strict, v_reset and reset_by. A neuron that rounds its potential has "
                "constant=0.5 * (1 - decay) and v_start=0.5 instead."
            ),
        )

        require(
            self.floor is None or most(self.floor - self.v_reset) <= 0,
            "floor",
            f"at most v_reset, {self.v_reset:g}",
            self.floor,
            "sinabs' IAF has minus the threshold, None is for no floor.",
        )

    def __repr__(self) -> str:
        """The fields, of the further ones those that change something."""
        names = ("decay", "threshold", "reset", *self._changed)
        words = (f"{name}={getattr(self, name)!r}" for name in names)
        return f"Dynamics({', '.join(words)})"

    @property
    def _changed(self) -> list[str]:
        """The further parameters that change something."""
        usual = {field.name: field.default for field in fields(Dynamics)[3:]}
        usual["v_start"] = self.v_reset
        return [name for name, value in usual.items() if getattr(self, name) != value]

    @property
    def resets_below(self) -> bool:
        """True if a hard reset leads below the threshold."""
        return least(self.threshold - self.v_reset) > 0

    @property
    def uniform(self) -> bool:
        """True if each setting is one number, with one spike in a step, no floor, no synapse."""
        varied = any(isinstance(value, Values | tuple) for value in vars(self).values())
        single = self.max_spikes == 1 and self.floor is None
        return single and not (varied or self.has_synapse)

    @property
    def obeys_equations(self) -> bool:
        """True if neurons obey the equations above, and no subclass simulates in another way."""
        return self.unknown is None and type(self).simulate is Dynamics.simulate

    @property
    def has_synapse(self) -> bool:
        """True if a synapse filters the current before it charges the potential."""
        return self.lag == 1 or self.synapse != 0

    @property
    def membrane(self) -> Dynamics:
        """The same neurons behind their synapse, which :meth:`filter` stands for."""
        membrane = copy(self)
        set_fields(membrane, synapse=0.0, lag=0)
        return membrane

    @property
    def synapse_gain(self) -> Setting:
        """By how much the synaptic current rises with the current of the same step."""
        return 1.0

    @property
    def is_standard(self) -> bool:
        """True if the further parameters change nothing; the amplitude changes no spike."""
        return {"amplitude"}.issuperset(self._changed)

    @property
    def origin(self) -> Setting:
        """The potential that is 0 in the :attr:`standard` dynamics.

        It is `v_reset` where a hard reset leads below the threshold, and threshold -
        reset_by where a soft reset subtracts `reset_by`. Otherwise it is 0."""
        if self.reset_by is not None:
            return self.threshold - self.reset_by
        return self.v_reset if self.resets_below else 0.0

    @property
    def standard(self) -> Dynamics:
        """Dynamics without further parameters, which :meth:`effective` currents drive alike.

        Their spikes may differ in the first steps after another start, for a potential at
        the threshold, and where a floor lifts potentials. `max_spikes` is kept."""
        return Dynamics(
            self.decay,
            self.threshold - self.origin,
            self.reset,
            max_spikes=self.max_spikes,
        )

    def effective(self, current: Tensor) -> Tensor:
        """The current that drives the :attr:`standard` dynamics as x drives these.

        It is gain * x + constant - (1 - decay) * origin. If every step has its own decay,
        the mean of the decays is taken."""
        decay = self.decay
        if isinstance(decay, tuple):
            decay = sum(decay) / len(decay)
        shift = self.constant - (1 - decay) * self.origin
        return current.mul(operand(self.gain, current)).add(operand(shift, current))

    def decays(self, steps: int) -> tuple[Setting, ...]:
        """The decay of each time step.

        :raises ValueError: when the neurons have decays for another number of steps."""
        if not isinstance(self.decay, tuple):
            return (self.decay,) * steps
        expected, got = f"one for each of {steps} time steps", len(self.decay)
        require(
            got == steps, "decay", expected, got, "Run the network for as many steps."
        )
        return self.decay

    @torch.no_grad()
    def simulate(
        self,
        current: Tensor,
        potential: Tensor | None = None,
        spikes: Tensor | None = None,
    ) -> Tensor:
        """Spikes [T, N, ...] of a layer that starts from rest, in the dtype of the current.

        :param current: input current x [T, N, ...], floating point; may be an expanded view.
        :param potential: buffer [T, N, ...] that receives u, or None.
        :param spikes: buffer [T, N, ...] for the result, or None to make one."""
        if spikes is None:
            spikes = empty_steps(current)
        decays = self.decays(len(current))
        last = len(current) - 1
        first = type(self)._charge is Dynamics._charge and (
            self.gain,
            self.constant,
            self.v_start,
        ) == (1, 0, 0)
        v = torch.empty_like(spikes[0]) if first else self._at_start(spikes[0])
        fires = self._fires
        threshold = operand(self.threshold, v)
        if self.max_spikes == 1 and not isinstance(threshold, Tensor):
            # Made one here, not in every comparison.
            threshold = torch.full((), threshold, dtype=v.dtype, device="cpu")
        before: Tensor | None = None
        steps = self._synaptic_steps(current) if self.has_synapse else current
        for t, (x, s) in enumerate(zip(steps, spikes, strict=True)):
            u = v if potential is None else potential[t]
            if t == 0 and first:  # The potential is the current.
                u = x if potential is None else u.copy_(x)
            else:
                self._charge(x, v, before, u, decays[t])
            fires(u, threshold, out=s)
            if t < last:
                self._reset(u, s, v)
                self._apply_floor(v)
            before = s
        return spikes

    @torch.no_grad()
    def filter(self, current: Tensor) -> Tensor:
        """Synaptic currents i [T, N, ...] that charge the potential, from x [T, N, ...]."""
        filtered = empty_steps(current)
        for step, i in zip(filtered, self._synaptic_steps(current), strict=True):
            step.copy_(i)
        return filtered

    def _synaptic_steps(self, current: Tensor) -> Iterator[Tensor]:
        """The synaptic current [N, ...] of every step, in one tensor, which stays in the cache."""
        i = torch.zeros_like(current[0])
        for x in current:
            if self.lag:
                yield i
            self._pass_synapse(x, i)
            if not self.lag:
                yield i

    def _pass_synapse(self, x: Tensor, i: Tensor) -> None:
        """Write i[t] from x[t] in the place of i[t-1]."""
        plus_scaled(x, i, self.synapse, out=i)

    def fire(self, u: Tensor) -> Tensor:
        """The spikes of a step at potentials u, in their dtype."""
        return self._fires(u, operand(self.threshold, u), out=torch.empty_like(u))

    @property
    def _fires(self) -> Callable[..., Tensor]:
        if self.max_spikes == 1:
            return torch.gt if self.strict else torch.ge
        return lambda u, threshold, out: torch.div(
            u, threshold, rounding_mode="trunc", out=out
        ).clamp_(0, self.max_spikes)

    def _at_start(self, like: Tensor) -> Tensor:
        """The potential before the first step, a new tensor."""
        return torch.zeros_like(like).add_(operand(self.v_start, like))

    def _charge(
        self, x: Tensor, v: Tensor, before: Tensor | None, u: Tensor, decay: Setting
    ) -> None:
        """Write u[t] from x[t], v[t-1], whose place it may take, s[t-1], or None, and decay."""
        if self.gain == 1:
            plus_scaled(x, v, decay, out=u)
        else:
            plus_scaled(torch.mul(v, operand(decay, v), out=u), x, self.gain, out=u)
        if self.constant != 0:
            u.add_(operand(self.constant, u))

    def _reset(self, u: Tensor, spikes: Tensor, v: Tensor) -> None:
        """Write v[t], before a floor, from u[t], whose place it may take, and s[t]."""
        if self.reset == "hard":
            spikes = spikes if self.max_spikes == 1 else spikes.clamp(max=1)
            torch.addcmul(u, u, spikes, value=-1, out=v)
            if self.v_reset != 0:
                plus_scaled(v, spikes, self.v_reset, out=v)
        elif self.reset == "soft" and self.max_spikes == 1:
            plus_scaled(u, spikes, -self.reset_amount, out=v)
        elif self.reset == "soft":  # In two roundings, as sinabs.
            torch.sub(u, spikes * operand(self.threshold, u), out=v)
        elif v is not u:
            v.copy_(u)

    def _apply_floor(self, v: Tensor) -> None:
        """Bring potentials v after a reset to the floor at least, in place."""
        if self.floor is not None:
            floor = operand(self.floor, v)
            v.sub_(floor).relu_().add_(floor)  # sinabs rounds like this.

    @property
    def reset_amount(self) -> Setting:
        """The potential that a soft reset subtracts."""
        return self.threshold if self.reset_by is None else self.reset_by

    def above_floor(self, u: Tensor) -> Tensor:
        """Height of potentials u above the floor after the reset, before the floor lifts them."""
        v = torch.empty_like(u)
        self._reset(u, self.fire(u), v)
        return v.sub_(operand(self.floor, v))


def empty_steps(like: Tensor) -> Tensor:
    """A buffer [T, N, ...], contiguous, or with the channels last where those of a step are."""
    last = like.ndim == 5 and like[0].is_contiguous(memory_format=torch.channels_last)
    kept = torch.preserve_format if last else torch.contiguous_format
    return torch.empty_like(like, memory_format=kept)


def _check(name: str, value: Any, **bounds: Any) -> Setting:
    """A setting whose numbers are all within the bounds of :func:`require_number`."""
    value = setting(value)
    if not isinstance(value, Values):
        return require_number(name, value, **bounds)
    for extreme in (least(value), most(value)):
        require_number(name, extreme, **bounds)
    return value


def _check_decay(decay: Any) -> Setting:
    """A decay, or a tuple of one for each time step, in its range."""
    remedy = "Use 1.0 for a neuron without leak."
    if isinstance(decay, list | tuple):
        require(decay, "decay", "one for each time step", "none", remedy)
        within = (-10.0, 10.0)
        return tuple(_check("decay", one, within=within, remedy=remedy) for one in decay)
    decay = setting(decay)
    within = (0.0 if least(decay) == 0 else 1e-6, 1.0)
    return _check("decay", decay, at_least=0, up_to=1, within=within, remedy=remedy)
