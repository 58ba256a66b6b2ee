"""Logits of gradient passes are compared with those of the model, as long as a network is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from art_snn.gradients import Gradient, Native
from art_snn.interop.adapted import Adapted
from art_snn.interop.compared import same_spikes
from art_snn.interop.passes import refused
from art_snn.interop.verify import changes
from art_snn.passes import unwatched

FIRST = (4, 8, 16)
EVERY = 32
"""Gradient passes after which the model is run once more."""


def due(passes: int) -> bool:
    """Whether the model is run once more after so many gradient passes."""
    return passes in FIRST or passes % EVERY == 0


class Watch:
    """Compares, of every gradient pass whose input was predicted last, and of others on a schedule.

    A network that draws at random gives other logits at every pass, and is compared neuron by
    neuron."""

    def __init__(self) -> None:
        self.passes = 0
        self._last: tuple[str, Tensor, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"passes": self.passes, "_last": None}

    def predicted(self, network: Adapted, x: Tensor, logits: Tensor) -> None:
        """Remember the logits [N, K] of the last prediction, of the input x [N, ...]."""
        if x.device.type == "cpu" and not network.traits.random:
            self._last = str(network.encoder), x.detach().clone(), logits.detach()

    def compare(
        self,
        network: Adapted,
        rule: Gradient,
        x: Tensor,
        logits: Tensor,
        predict: Callable[[Tensor], Tensor],
    ) -> None:
        """Refuse logits [N, K] of a gradient pass that are not those of the model.

        :param predict: gives those of the model, without a graph."""
        if not len(x) or changes(network) or torch.is_autocast_enabled(x.device.type):
            return
        self.passes += 1
        x, logits = x.detach(), logits.detach()
        if network.traits.random:
            if due(self.passes) and not isinstance(rule, Native):
                with unwatched(), torch.random.fork_rng([x.device] if x.is_cuda else []):
                    same_spikes(network, x)
            return
        last = self._last
        known = last is not None and last[0] == str(network.encoder) and _equal(last[1], x)
        if not known and not due(self.passes):
            return
        if known and last is not None and _close(last[2], logits, rule):
            return
        with torch.no_grad(), unwatched():
            alone = predict(x)
        if not _close(alone, logits, rule):
            raise _parted(rule, (alone - logits).abs().max().item())


def _parted(rule: Gradient, difference: float) -> ValueError:
    got = f"one whose logits under {rule} differ from its predictions by {difference:.3g}"
    remedy = (
        "A setting that its dynamics do not read has changed, or equations agree on the first "
        "samples alone: register_neuron(cls, dynamics=function) tells them."
    )
    return refused("one whose logits are the same in a gradient pass", got, remedy)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _close(alone: Tensor, ours: Tensor, rule: Gradient) -> bool:
    """Whether logits are those of the model: to rounding under its own rule, and on a GPU."""
    if isinstance(rule, Native) or alone.is_cuda:
        return torch.allclose(alone, ours, rtol=1e-3, atol=1e-5, equal_nan=True)
    return torch.equal(alone.nan_to_num(), ours.nan_to_num())
