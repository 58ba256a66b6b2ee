"""Modules next to neurons that change what they receive or give: gains, noise and random gates."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require_count, require_number
from art_snn.dynamics import MOST_STEPS
from art_snn.gradients.names import parse_call, parse_object


class Modulation(nn.Module):
    """A module on tensors [T, N, ...] before neurons, or `after` them."""

    after: ClassVar[bool] = False

    @property
    def varies(self) -> bool:
        """True if its output differs from call to call, or is another function at every step."""
        return True


class Gains(Modulation):
    """Currents times a learnt gain for every step, which starts at 1 (DLIF, Ding et al., 2024).

    In front of :class:`~art_snn.LIF` that is u[t] = decay v[t-1] + p[t] x[t]. A mean over all steps
    is multiplied by the mean gain, for rules by conversion.

    :param steps: time steps T, the length of `gain`.
    :raises ValueError: for a number of steps that is no count."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        remedy = "Gains need an encoder that knows its time steps."
        steps = require_count("steps", steps, up_to=MOST_STEPS, remedy=remedy)
        self.gain = nn.Parameter(torch.ones(steps))

    def reset_parameters(self) -> None:
        """Set all gains to 1."""
        nn.init.ones_(self.gain)

    def forward(self, current: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...].

        :raises ValueError: for another number of steps."""
        gain = self.gain.mean(0, keepdim=True) if len(current) == 1 else self.gain
        if len(gain) != len(current):
            expected, got = f"{len(gain)} time steps, as many as gains", f"{len(current)}"
            raise invalid("current", expected, got, "Build the network for that many.")
        return current * gain.view(-1, *(1,) * (current.ndim - 1)).to(current.dtype)

    def extra_repr(self) -> str:
        return f"steps={len(self.gain)}"


class Noise(Modulation):
    """Currents with Gaussian noise in training mode, without it in evaluation mode (TGO, 2026).

    A potential u then fires with probability Phi((u - threshold) / sigma).

    :param sigma: deviation of the noise of a step, above 0, in the unit of the threshold.
    :raises ValueError: for another number."""

    affine = True

    def __init__(self, sigma: float = 0.2) -> None:
        super().__init__()
        limits, remedy = (1e-6, 1e4), "0.1 to 0.3 are usual."
        self.sigma = require_number("sigma", sigma, above=0, within=limits, remedy=remedy)

    @property
    def varies(self) -> bool:
        """True in training mode."""
        return self.training

    def forward(self, current: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        if not self.training:
            return current
        noise = torch.randn(current.shape, dtype=current.dtype, device=current.device)
        return current + self.sigma * noise

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}"


MODULATIONS: Mapping[str, type[Modulation]] = MappingProxyType({"gains": Gains, "noise": Noise})
"""The modules by name."""


def parse_modulation(text: str, steps: int | None) -> Modulation:
    """The module of a text: "gains", "gates" or "noise(sigma=0.2)".

    :param steps: time steps T, which gains need.
    :raises ValueError: for an unknown name or field, or a value that the module refuses."""
    given = {"steps": steps} if parse_call(text, "modulation")[0] == "gains" else {}
    return parse_object(text, "modulation", MODULATIONS, "Leave it out for none.", **given)
