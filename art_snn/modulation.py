"""Modules next to neurons: gains of the steps, noise in training, gates that open at random."""

import torch
from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import require_count, require_number
from art_snn.dynamics import MOST_STEPS
from art_snn.gradients.names import parse_object
from art_snn.gradients.shared import align


class Gains(Module):
    """Currents times a learnt gain for every step, 1 at first: DLIF (Ding et al., ICML 2024).

    Before :class:`~art_snn.LIF` that is u[t] = decay v[t-1] + gain[t] x[t]. A mean over
    all steps is multiplied by the mean gain, for rules by conversion.

    :param steps: time steps T, the length of `gain`."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        steps = require_count(
            "steps",
            steps,
            up_to=MOST_STEPS,
            remedy="Gains need an encoder that knows its time steps.",
        )
        self.gain = nn.Parameter(torch.ones(steps))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.gain)

    def forward(self, current: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        gain = self.gain.mean(0, keepdim=True) if len(current) == 1 else self.gain
        return current * align(gain, current).to(current.dtype)


class Noise(Module):
    """Currents with Gaussian noise, in training mode alone: NLIF of TGO (arXiv 2602.20548).

    :param sigma: deviation of the noise of a step, above 0, in the unit of the threshold."""

    def __init__(self, sigma: float = 0.2) -> None:
        super().__init__()
        self.sigma = require_number(
            "sigma", sigma, above=0, within=(1e-6, 1e4), remedy="Take 0.2."
        )

    def forward(self, current: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        if not self.training:
            return current
        noise = torch.randn(current.shape, dtype=current.dtype, device=current.device)
        return current + self.sigma * noise

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}"


class Gates(Module):
    """Spikes through gates that open at random, in evaluation too: StoG (Ding et al., AAAI 2024).

    For every sample and step a gate opens with probability p - 0.001, p =
    clip(rho, 0.1, 1), as in the authors' code. :class:`~art_snn.training.StoG` learns
    rho. Where that requires a gradient it is, as theirs, minus that of a relaxation: -2 g
    s (1 - s) / (p (1 - p)) of the gradient g at a gate, with s = sigmoid(2 (logit p +
    logit u)) of the draw u.

    :param shape: of rho, 1 at first: that of the neurons; None takes it from the first pass."""

    rho: Tensor

    def __init__(self, shape: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.register_buffer("rho", None if shape is None else torch.ones(shape))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.rho)

    def forward(self, spikes: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        if self.rho is None:
            self.rho = spikes.new_ones(spikes.shape[2:])
        # In half precision a probability of 0.999 would be 1.
        dtype = torch.promote_types(spikes.dtype, torch.float32)
        p = self.rho.detach().to(dtype).clamp(0.1, 1)
        u = torch.rand(spikes.shape, dtype=dtype, device=spikes.device)
        gates = (u > 1.001 - p).to(dtype)
        if self.rho.requires_grad:
            p = p.clamp(max=0.999)  # The slope at 1 is no number.
            s = (2 * (p.logit() + u.logit())).sigmoid()
            gates = gates - 2 * s * (1 - s) / (p * (1 - p)) * (
                self.rho - self.rho.detach()
            )
        return spikes * gates.to(spikes.dtype)


def gates_of(network: Module) -> list[Gates]:
    """The gates in a network."""
    return [module for module in network.modules() if isinstance(module, Gates)]


MODULATIONS: dict[str, type[Module]] = {"gains": Gains, "gates": Gates, "noise": Noise}
"""The modules by name."""


def parse_modulation(text: str, steps: int | None) -> Module:
    """The module of a text, "gains" over T steps, "gates" or "noise(sigma=0.2)".

    :raises ValueError: for an unknown name or field, or a value that the module refuses."""
    return parse_object(
        text, "modulation", MODULATIONS, "Leave it out for none.", steps=steps, shape=None
    )
