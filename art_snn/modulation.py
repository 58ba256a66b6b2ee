"""Modules next to neurons that change what they receive or give: gains, noise and random gates."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require_count, require_number
from art_snn.dynamics import MOST_STEPS
from art_snn.gradients.names import parse_call, parse_object
from art_snn.passes import modes_kept, watched


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


class Gates(Modulation):
    """Spikes that pass gates, opened at random in training and in evaluation (StoG, AAAI 2024).

    Every neuron has a number rho, which :class:`~art_snn.training.StoG` learns. For each sample and
    step its gate opens with probability p - 0.001, p = clip(rho, 0.1, 1), as in the authors' code.
    Draws come from torch's random state.

    While rho requires a gradient it gets minus that of the gates' relaxation of temperature 0.5, as
    the authors have it: -g s (1 - s) / (p (1 - p) / 2), s = sigmoid(2 (logit p + logit u)), for the
    gradient g at a gate and the draw u that decides on it.

    :param shape: of rho, which is 1 at first: that of the neurons, or () for all of them."""

    after = True
    rho: Tensor

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("rho", torch.ones(shape))

    def reset_parameters(self) -> None:
        """Set rho to 1."""
        nn.init.ones_(self.rho)

    def forward(self, spikes: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        # In half precision a probability of 0.999 would be 1.
        dtype = torch.promote_types(spikes.dtype, torch.float32)
        p = self.rho.detach().to(dtype).clamp(0.1, 1)
        u = torch.rand(spikes.shape, dtype=dtype, device=spikes.device)
        gates = (u > 1.001 - p).to(dtype)
        if self.rho.requires_grad:
            # The slope at 1 is no number; no gate is open more often than this.
            p = p.clamp(max=0.999)
            s = (2 * (p.logit() + u.logit())).sigmoid()
            gates = gates - 2 * s * (1 - s) / (p * (1 - p)) * (self.rho - self.rho.detach())
        return spikes * gates.to(spikes.dtype)

    def extra_repr(self) -> str:
        return f"shape={tuple(self.rho.shape)}"


def gates_of(network: nn.Module) -> list[Gates]:
    """The gates in a network."""
    return [module for module in network.modules() if isinstance(module, Gates)]


def size_gates(network: nn.Module, x: Tensor) -> None:
    """Give every neuron before gates a rho of its own, 1, by a pass of a sample x [1, ...]."""

    def size(gates: Gates, _: object, spikes: Tensor) -> None:
        gates.rho = spikes.new_ones(spikes.shape[2:])

    with ExitStack() as stack, torch.no_grad(), modes_kept(network, False):
        for gates in gates_of(network):
            stack.enter_context(watched(gates, size))
        network(x)


MODULATIONS: Mapping[str, type[Modulation]] = MappingProxyType(
    {"gains": Gains, "gates": Gates, "noise": Noise}
)
"""The modules by name."""


def parse_modulation(text: str, steps: int | None) -> Modulation:
    """The module of a text: "gains", "gates" or "noise(sigma=0.2)".

    :param steps: time steps T, which gains need.
    :raises ValueError: for an unknown name or field, or a value that the module refuses."""
    known: dict[str, dict[str, Any]] = {"gains": {"steps": steps}, "gates": {"shape": ()}}
    given = known.get(parse_call(text, "modulation")[0], {})
    return parse_object(text, "modulation", MODULATIONS, "Leave it out for none.", **given)
