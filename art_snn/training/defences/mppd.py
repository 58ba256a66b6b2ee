from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from art_snn.checks import require_choice, require_number, set_fields
from art_snn.dynamics import Dynamics, operand
from art_snn.network import SpikingNetwork
from art_snn.training.defences.base import Defence, Learner
from art_snn.training.defences.potentials import check_watched, run_watched

KINDS = ("l1", "l2")


@dataclass(frozen=True, kw_only=True)
class MPPD(Defence):
    """MPPD (Ding et al., ICML 2024; as total variation ICLR 2026): potentials that stay near.

    clean CE(f(x), y) + (1 - clean) CE(f(x_adv), y) + weight * mean(abs(Y)), or mean(Y^2). Y is the
    potential that the difference between the clean and the adversarial current would have in the
    last layer of neurons, without spikes: Y[t] = decay Y[t-1] + x_clean[t] - x_adv[t]. The clean
    current is a constant. The mean is over steps, samples and neurons.

    Clean and adversarial samples are two forward passes in training mode, in this order. Not
    settled by the source: the published weight. The learnt gains of its neurons are a module of the
    model; Y is of currents before them.

    :param kind: l1, of 2026, or l2, of 2024.
    :param weight: of the penalty, above 0.
    :param clean: share of the clean cross entropy, in [0, 1]; the authors' code has 0.5."""

    kind: Literal["l1", "l2"] = "l1"
    weight: float = 1.0
    clean: float = 0.5
    entropy_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_choice("kind", self.kind, KINDS, remedy="l1 is of 2026, l2 of 2024.")
        remedy, within = "TRADES and AT have no weight of potentials.", (1e-6, 1e6)
        weight = require_number("weight", self.weight, above=0, within=within, remedy=remedy)
        remedy = "The authors' code has 0.5."
        clean = require_number("clean", self.clean, at_least=0, up_to=1, remedy=remedy)
        set_fields(self, weight=weight, clean=clean)

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network whose currents are not seen."""
        check_watched(network, "MPPD")

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropies of clean and adversarial samples, and the weighted distance."""
        (natural, clean), (attacked, moved) = (run_watched(learner, z) for z in (x, adversarial))
        distance = accumulate(moved[-1][0].dynamics, clean[-1][1].detach() - moved[-1][1])
        entropies = (nn.functional.cross_entropy(z, y) for z in (natural, attacked))
        entropy = sum(k * e for k, e in zip((self.clean, 1 - self.clean), entropies, strict=True))
        size = distance.abs() if self.kind == "l1" else distance.square()
        return entropy + self.weight * size.mean()

    def describe(self) -> str:
        """Name, kind and weight."""
        return f"MPPD, {self.kind}, weight {self.weight:g}"


def accumulate(dynamics: Dynamics, current: Tensor) -> Tensor:
    """Potentials [T, N, ...] of a current that leaks and never fires, in single precision."""
    wide = current.to(torch.promote_types(current.dtype, torch.float32))
    potentials = [wide[0]]
    for x, decay in zip(wide[1:], dynamics.decays(len(wide))[1:], strict=True):
        potentials.append(x + operand(decay, x) * potentials[-1])
    return torch.stack(potentials)
